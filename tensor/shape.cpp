#include "tensor/shape.h"

#include "tensor/error.h"

namespace cutaway {

Shape::Shape(std::span<const int64_t> extents) {
  if (extents.size() > max_rank) {
    throw Error("a tensor has at most 4 extents, but " + std::to_string(extents.size()) + " were given");
  }
  for (const int64_t extent : extents) {
    if (extent < 1)
      throw Error("every extent of a tensor must be at least 1, but one is " + std::to_string(extent));
    if (__builtin_mul_overflow(count_, extent, &count_)) {
      throw Error("the extents of a tensor multiply to more numbers than memory can address");
    }
    extents_[static_cast<size_t>(rank_++)] = extent;
  }
}

int Shape::resolve(int axis) const {
  const int from_front = axis < 0 ? axis + rank_ : axis;
  if (from_front < 0 || from_front >= rank_) {
    throw Error("there is no axis " + std::to_string(axis) + " in a tensor of shape " + to_string(*this));
  }
  return from_front;
}

int64_t Shape::operator[](int axis) const { return extents_[static_cast<size_t>(resolve(axis))]; }

Shape Shape::with(int axis, int64_t extent) const {
  std::array<int64_t, max_rank> extents = extents_;
  extents[static_cast<size_t>(resolve(axis))] = extent;
  return Shape(std::span<const int64_t>(extents.data(), static_cast<size_t>(rank_)));
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  return text + "]";
}

}  // namespace cutaway

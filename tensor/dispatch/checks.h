// What operations check before they run. Everything here throws Error: one sentence with the layer's path.
#pragma once

#include <optional>
#include <string>

#include "tensor/dispatch/row_bands.h"
#include "tensor/error.h"
#include "tensor/tensor.h"
#include "tensor/trace.h"
#include "tensor/weight.h"

namespace cutaway::checks {

/// "conv2d at unet.conv_in: x is [1, 3, 8, 8], but ..."
inline std::string sentence(const char* operation, const std::string& reason) {
  const std::string& path = Scope::current_path();
  return std::string(operation) + (path.empty() ? "" : " at " + path) + ": " + reason;
}

[[noreturn]] inline void refuse(const char* operation, const std::string& reason) {
  if (Bands::now() != nullptr) bands::need_possible(operation);  // why a band's shapes do not fit
  throw Error(sentence(operation, reason));
}

/// "x is [1, 3, 8, 8]"
inline std::string is(const char* name, const Shape& shape) {
  return std::string(name) + " is " + to_string(shape);
}

inline void need_values(const char* operation, const char* name, const Tensor& x) {
  if (x.empty()) refuse(operation, std::string(name) + " has no values yet; make it before it is used");
}

inline void need_rank(const char* operation, const char* name, const Tensor& x, int rank,
                      const char* layout) {
  need_values(operation, name, x);
  if (x.shape().rank() != rank) refuse(operation, is(name, x.shape()) + ", but must be " + layout);
}

inline void need_picture(const char* operation, const Tensor& x) {
  need_rank(operation, "x", x, 4, "[N, C, H, W]");
}

inline void need_loaded(const char* operation, const char* name, const Weight& weight) {
  if (weight.loaded()) return;
  refuse(operation, std::string(name) + " " + to_string(weight.shape) +
                        " has not been loaded; call load_weights before the layer is run");
}

inline void need_rank(const char* operation, const char* name, const Weight& weight, int rank,
                      const char* layout) {
  need_loaded(operation, name, weight);
  if (weight.shape.rank() != rank) refuse(operation, is(name, weight.shape) + ", but must be " + layout);
}

inline void need_shape(const char* operation, const char* name, const Weight& weight, const Shape& needed) {
  need_loaded(operation, name, weight);
  if (weight.shape == needed) return;
  refuse(operation, is(name, weight.shape) + ", but must be " + to_string(needed) + " to fit x");
}

inline void need_bias(const char* operation, const std::optional<Weight>& bias, int64_t out) {
  if (bias) need_shape(operation, "bias", *bias, {out});
}

inline void need_equal(const char* operation, const Tensor& a, const Tensor& b) {
  need_values(operation, "a", a);
  need_values(operation, "b", b);
  if (a.shape() == b.shape()) return;
  refuse(operation, is("a", a.shape()) + " and " + is("b", b.shape()) + ", but the two must be equal");
}

inline void need_positive(const char* operation, const char* name, int64_t value) {
  if (value >= 1) return;
  refuse(operation, std::string(name) + " is " + std::to_string(value) + ", but must be at least 1");
}

/// The axis counted from the front, where a negative one is counted from the end.
inline int axis_from_front(const char* operation, const Tensor& x, int axis) {
  need_values(operation, "x", x);
  const int rank = x.shape().rank();
  if (axis < -rank || axis >= rank) {
    refuse(operation, is("x", x.shape()) + ", which has no axis " + std::to_string(axis));
  }
  return axis < 0 ? axis + rank : axis;
}

/// Of the result of conv2d: H' W'.
inline int64_t conv2d_pixels(const Tensor& x, const Weight& weight, const Conv2dOptions& options) {
  const Padding& p = options.padding;
  const auto extent = [&](int64_t size, int64_t kernel) {
    return (size - options.dilation * (kernel - 1) - 1) / options.stride + 1;
  };
  return extent(x.shape()[2] + p.top + p.bottom, weight.shape[2]) *
         extent(x.shape()[3] + p.left + p.right, weight.shape[3]);
}

}  // namespace cutaway::checks

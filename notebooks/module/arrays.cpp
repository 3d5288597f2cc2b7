#include "notebooks/module/arrays.h"

#include "notebooks/module/bindings.h"
#include "tensor/error.h"

namespace cutaway::python {
namespace {

std::string type_of(py::handle object) { return py::str(py::type::handle_of(object).attr("__name__")); }

std::string shown(py::handle object) {
  return py::isinstance<py::array>(object) ? "an array of " + std::string(py::str(object.attr("dtype"))) +
                                                 " of shape " + std::string(py::str(object.attr("shape")))
                                           : "a value of type " + type_of(object);
}

Shape shape_of(const py::array& array) {
  std::vector<int64_t> extents;
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) extents.push_back(array.shape(axis));
  return Shape(std::span<const int64_t>(extents));
}

// The tensor that this array is a view of, if it shows all of it, in its order.
const Tensor* viewed_tensor(const py::array& array) {
  if (!py::isinstance<py::array_t<float>>(array) || (array.flags() & py::array::c_style) == 0) return nullptr;
  py::object base = array;
  while (py::isinstance<py::array>(base)) base = base.attr("base");
  if (!py::isinstance<HeldTensor>(base)) return nullptr;
  const Tensor& tensor = base.cast<const HeldTensor&>().tensor;
  return array.data() == tensor.data() && array.size() == tensor.count() ? &tensor : nullptr;
}

}  // namespace

py::object to_array(const Tensor& tensor) {
  if (tensor.empty()) return py::none();
  std::vector<py::ssize_t> extents;
  for (int axis = 0; axis < tensor.shape().rank(); ++axis) extents.push_back(tensor.shape()[axis]);
  py::array array(py::dtype::of<float>(), extents, {}, tensor.data(), py::cast(HeldTensor{tensor}));
  array.attr("flags").attr("writeable") = false;
  return array;
}

Tensor to_tensor(py::handle object) {
  if (object.is_none()) return {};
  if (py::isinstance<HeldTensor>(object)) return object.cast<const HeldTensor&>().tensor;
  if (py::isinstance<py::array>(object)) {
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (const Tensor* tensor = viewed_tensor(array)) return tensor->reshaped(shape_of(array));
  }
  const auto any = py::array::ensure(object);
  if (!any || std::string("biuf").find(any.dtype().kind()) == std::string::npos) {
    PyErr_Clear();
    throw Error(shown(object) + " was given where an array of real numbers is needed");
  }
  const auto numbers = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(any);
  return Tensor(shape_of(numbers), {numbers.data(), static_cast<size_t>(numbers.size())});
}

TokenIds to_token_ids(py::handle object) {
  const auto any = py::array::ensure(object);
  if (!any || std::string("iu").find(any.dtype().kind()) == std::string::npos || any.ndim() < 1 ||
      any.ndim() > 2 || any.size() == 0) {
    PyErr_Clear();
    throw Error(shown(object) + " was given where token ids are needed: whole numbers, [N, T] or [T]");
  }
  const auto numbers = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(any);
  const bool one = numbers.ndim() == 1;
  return {.batch = one ? 1 : numbers.shape(0),
          .length = numbers.shape(one ? 0 : 1),
          .ids = std::vector<int64_t>(numbers.data(), numbers.data() + numbers.size())};
}

std::vector<float> to_timesteps(py::handle object, std::optional<int64_t> images) {
  const Tensor t = to_tensor(object);
  if (t.empty() || t.shape().rank() > 1) {
    throw Error(shown(object) + " was given where time steps are needed: a number, or one for each image");
  }
  std::vector<float> times(t.values().begin(), t.values().end());
  if (!images) return times;
  if (t.shape().rank() == 0) times.resize(static_cast<size_t>(*images), times.front());
  if (static_cast<int64_t>(times.size()) != *images) {
    throw Error(std::to_string(times.size()) + " time steps were given for " + std::to_string(*images) +
                " images; give one for each, or a single number");
  }
  return times;
}

Padding to_padding(py::handle object) {
  if (PyIndex_Check(object.ptr()) != 0) return Padding::all(object.cast<int64_t>());
  if (py::isinstance<py::sequence>(object) && py::len(object) == 4) {
    const auto sides = py::reinterpret_borrow<py::sequence>(object);
    const auto side = [&](size_t i) { return py::int_(py::object(sides[i])).cast<int64_t>(); };
    return {.left = side(0), .right = side(1), .top = side(2), .bottom = side(3)};
  }
  throw Error(shown(object) + " was given as padding: a number is needed, or (left, right, top, bottom)");
}

void bind_arrays(py::module_& module) {
  py::class_<HeldTensor>(
      module, "Tensor", py::buffer_protocol(),
      "The memory behind an array: read-only, float32, row-major. Arrays that the library returns\n"
      "are views of one (array.base), and numpy.asarray(tensor) is another.")
      .def(py::init([](const py::object& array) {
             if (array.is_none()) throw Error("None was given where an array of real numbers is needed");
             return HeldTensor{to_tensor(array)};
           }),
           py::arg("array"),
           "A copy of the array's numbers as float32, unless it is a view of a Tensor already.")
      .def_buffer([](const HeldTensor& held) {
        const Tensor& tensor = held.tensor;
        std::vector<py::ssize_t> extents;
        for (int axis = 0; axis < tensor.shape().rank(); ++axis) extents.push_back(tensor.shape()[axis]);
        const auto strides = py::detail::c_strides(extents, sizeof(float));
        return py::buffer_info(const_cast<float*>(tensor.data()), extents, strides, /*readonly=*/true);
      })
      .def(
          "numpy", [](const HeldTensor& held) { return to_array(held.tensor); }, "A view: nothing is copied.")
      .def_property_readonly("shape",
                             [](const HeldTensor& held) { return to_array(held.tensor).attr("shape"); })
      .def("__repr__",
           [](const HeldTensor& held) { return "<cutaway.Tensor " + to_string(held.tensor.shape()) + ">"; });
}

}  // namespace cutaway::python

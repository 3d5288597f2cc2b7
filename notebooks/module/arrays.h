// Tensors and numpy arrays: the way in and the way out.   Doc: docs/python.md#arrays
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "tensor/ops.h"
#include "tensor/tensor.h"

namespace cutaway::python {

namespace py = pybind11;

/// What a view leans on: while the array lives, its tensor does. Known in Python as cutaway.Tensor.
struct HeldTensor {
  Tensor tensor;
};

/// A view of the tensor's own memory, read-only, since other tensors may share it. None for an empty tensor.
py::object to_array(const Tensor& tensor);

/// An array that is a whole view of a tensor gives that tensor back; everything else is copied as float32,
/// for a tensor must not change when its maker's array does. None gives an empty tensor.
/// Throws Error for what is no array of numbers.
Tensor to_tensor(py::handle object);

/// Whole numbers, [N, T] or [T] for one text. Throws Error for anything else.
TokenIds to_token_ids(py::handle object);

/// One time step for each of `images`: a number counts for all of them.
/// Without `images`, as many as there are.
std::vector<float> to_timesteps(py::handle object, std::optional<int64_t> images = {});

/// One number for all four sides, or (left, right, top, bottom).
Padding to_padding(py::handle object);

/// Runs `work` while other Python threads may run too. It must not touch Python objects.
template <class Work>
auto without_gil(Work&& work) {
  const py::gil_scoped_release released;
  return work();
}

}  // namespace cutaway::python

// How pybind11 converts arguments and results. Errors in them are ours: one clear sentence.
namespace pybind11::detail {

template <>
struct type_caster<cutaway::Tensor> {
  PYBIND11_TYPE_CASTER(cutaway::Tensor, const_name("numpy.ndarray"));
  bool load(handle object, bool) {
    value = cutaway::python::to_tensor(object);
    return true;
  }
  static handle cast(const cutaway::Tensor& tensor, return_value_policy, handle) {
    return cutaway::python::to_array(tensor).release();
  }
};

template <>
struct type_caster<cutaway::Weight> {
  PYBIND11_TYPE_CASTER(cutaway::Weight, const_name("numpy.ndarray"));
  bool load(handle object, bool) {
    const cutaway::Tensor tensor = cutaway::python::to_tensor(object);
    if (!tensor.empty()) value = cutaway::Weight::of(tensor);
    return true;
  }
};

template <>
struct type_caster<cutaway::TokenIds> {
  PYBIND11_TYPE_CASTER(cutaway::TokenIds, const_name("ids"));
  bool load(handle object, bool) {
    value = cutaway::python::to_token_ids(object);
    return true;
  }
};

template <>
struct type_caster<cutaway::Padding> {
  PYBIND11_TYPE_CASTER(cutaway::Padding, const_name("padding"));
  bool load(handle object, bool) {
    value = cutaway::python::to_padding(object);
    return true;
  }
  static handle cast(const cutaway::Padding& p, return_value_policy, handle) {
    return make_tuple(p.left, p.right, p.top, p.bottom).release();
  }
};

}  // namespace pybind11::detail

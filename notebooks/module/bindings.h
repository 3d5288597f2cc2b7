// notebooks/module/: the Python module that notebooks import.
//
// The parts of the Python module.   Doc: docs/python.md
#pragma once

#include <pybind11/pybind11.h>

namespace cutaway::python {

void bind_arrays(pybind11::module_& module);      // cutaway.Tensor
void bind_operations(pybind11::module_& module);  // all of tensor/ops.h
void bind_trace(pybind11::module_& module);       // cutaway.trace
void bind_model(pybind11::module_& module);       // cutaway.StableDiffusion

}  // namespace cutaway::python

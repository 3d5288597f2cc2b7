// The Python module `cutaway`.   Doc: docs/python.md
#include "notebooks/module/arrays.h"
#include "notebooks/module/bindings.h"
#include "tensor/error.h"

PYBIND11_MODULE(cutaway, module) {
  module.doc() = "Stable Diffusion with the casing off: layers, operations and traces as numpy arrays.";
  pybind11::register_exception<cutaway::Error>(module, "Error");
  cutaway::python::bind_arrays(module);
  cutaway::python::bind_operations(module);
  cutaway::python::bind_trace(module);
  cutaway::python::bind_model(module);
}

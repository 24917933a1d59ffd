// slipway._core: the C++ and C APIs for Python. slipway/__init__.py says what is public.
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "errors.h"

namespace {

namespace py = pybind11;

// Every status that has a name, by name.
py::dict StatusCodes() {
  py::dict codes;
  for (int code = 64; code >= -2000; --code) {
    const std::string name = slipway_status_name(code);
    if (name != slipway_status_name(INT32_MIN)) codes[py::str(name)] = code;
  }
  return codes;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled part of slipway.";
  module.attr("version") = slipway_version();
  module.attr("status_codes") = StatusCodes();
  module.attr("numpy_names") = slipway::python::NumpyNames();
  slipway::python::TranslateErrors();
  slipway::python::BindEngine(module);
  slipway::python::BindStore(module);
}

// Failures as Python exceptions.
#ifndef SLIPWAY_SDK_PYTHON_SRC_ERRORS_H_
#define SLIPWAY_SDK_PYTHON_SRC_ERRORS_H_

#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "slipway/engine.h"
#include "slipway/status.hpp"

namespace slipway::python {

// A status on its way to Python, where it becomes slipway.Error or the subclass for its code. Carried by value, so that
// it may be thrown without the interpreter's lock.
struct StatusError {
  slipway_status code;
  std::string message;
};

inline void ThrowIfFailed(const Status& status) {
  if (!status.ok()) throw StatusError{status.code(), status.message()};
}

template <typename T>
T ValueOrThrow(Result<T> result) {
  ThrowIfFailed(result.status());
  return std::move(*result);
}

// Raises what `slipway.errors.raise_status` makes of each StatusError. Called once, by the module.
inline void TranslateErrors() {
  pybind11::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const StatusError& error) {
      try {
        pybind11::module_::import("slipway.errors")
            .attr("raise_status")(error.code, slipway_status_name(error.code), error.message);
      } catch (pybind11::error_already_set& raised) {
        raised.restore();
      }
    }
  });
}

}  // namespace slipway::python

#endif  // SLIPWAY_SDK_PYTHON_SRC_ERRORS_H_

// How the C API hands out text and failures.
#ifndef SLIPWAY_CORE_ENGINE_TEXT_OUT_H_
#define SLIPWAY_CORE_ENGINE_TEXT_OUT_H_

#include <string_view>

#include "slipway/engine.h"
#include "slipway/status.hpp"

namespace slipway {

// Fills `error`, where there is one, as far as its struct_size reaches, and returns the code.
slipway_status Report(const Status& status, slipway_failure* error);
slipway_status Report(slipway_status code, std::string_view message, slipway_failure* error);

// The two-call idiom of slipway/engine.h.
slipway_status PutText(std::string_view from, char* text, size_t* len);

// What to report about an exception that reached the boundary: out of memory, or a defect. Called in a handler.
slipway_status ReportException(slipway_failure* error);

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_TEXT_OUT_H_

// What the handles of the C API are, and how its entries are wrapped.
#ifndef SLIPWAY_CORE_ENGINE_HANDLES_H_
#define SLIPWAY_CORE_ENGINE_HANDLES_H_

#include <memory>

#include "core/engine/node.h"
#include "core/engine/text_out.h"
#include "slipway/engine.h"

// Owns a share of the node, as segments do, so that these outlive the engine.
struct slipway_engine {
  std::shared_ptr<slipway::Node> node;
};

struct slipway_segment {
  std::shared_ptr<slipway::Node> node;
  std::unique_ptr<slipway::SharedSegment> segment;
};

namespace slipway {

// Runs the body of an entry; no exception leaves it.
template <typename Body>
slipway_status Guarded(slipway_failure* error, Body body) noexcept {
  try {
    return body();
  } catch (...) {
    return ReportException(error);
  }
}

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_HANDLES_H_

#include <cstdlib>
#include <string_view>

#include "core/control/messages.h"
#include "tests/fuzz/control/targets.h"

namespace slipway {

void FuzzOpenRequest(const uint8_t* data, size_t size) {
  const Result<OpenRequest> request = OpenRequestFromJson({reinterpret_cast<const char*>(data), size});
  if (!request.ok()) {
    if (request.status().code() != SLIPWAY_E_INVALID) std::abort();
    // What the node answers must be readable on the other side.
    if (ErrorFromJson(ErrorToJson(request.status())).code() != SLIPWAY_E_INVALID) std::abort();
    return;
  }
  if (!IsSegmentName(request->segment) || request->protocols.size() > kMaxProtocols) std::abort();
  for (const ProtocolRange& range : request->protocols) {
    if (!IsProtocolName(range.name) || range.min > range.max) std::abort();
  }
  const Result<OpenRequest> again = OpenRequestFromJson(OpenRequestToJson(*request));
  if (!again.ok() || again->segment != request->segment || again->protocols != request->protocols) std::abort();
}

}  // namespace slipway

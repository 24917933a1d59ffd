#include <cstdlib>
#include <string_view>

#include "core/control/messages.h"
#include "tests/fuzz/control/targets.h"

namespace slipway {

void FuzzReply(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<std::vector<SegmentSummary>> list = SegmentListFromJson(text);
  if (list.ok()) {
    const Result<std::vector<SegmentSummary>> again = SegmentListFromJson(SegmentListToJson(*list));
    if (!again.ok() || *again != *list) std::abort();
  } else if (list.status().code() != SLIPWAY_E_BAD_REPLY) {
    std::abort();
  }
  const Status error = ErrorFromJson(text);
  if (error.ok()) std::abort();
  if (error.code() != SLIPWAY_E_BAD_REPLY) {
    for (const char c : error.message()) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
    }
  }
  (void)IsBoundedJson(text);
}

}  // namespace slipway

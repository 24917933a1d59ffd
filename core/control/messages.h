// The bodies of the control protocol, version 1, other than the descriptor.
#ifndef SLIPWAY_CORE_CONTROL_MESSAGES_H_
#define SLIPWAY_CORE_CONTROL_MESSAGES_H_

#include <string>
#include <string_view>
#include <vector>

#include "core/control/descriptor.h"
#include "slipway/status.hpp"

namespace slipway {

inline constexpr size_t kMaxProtocols = 64;  // in one open request
inline constexpr size_t kMaxListedSegments = 65536;

struct OpenRequest {
  std::string segment;
  std::vector<ProtocolRange> protocols;
};

std::string OpenRequestToJson(const OpenRequest& request);
// `text` is hostile. E_INVALID names what does not fit. Never throws.
Result<OpenRequest> OpenRequestFromJson(std::string_view text);

std::string SegmentListToJson(const std::vector<SegmentSummary>& segments);
// `text` is hostile. E_BAD_REPLY. Never throws.
Result<std::vector<SegmentSummary>> SegmentListFromJson(std::string_view text);

// {"error":{"status":"E_NO_SEGMENT","message":"..."}}
std::string ErrorToJson(const Status& status);
// The error that a peer reports, with its message shortened and without control characters; `text` is hostile.
// E_BAD_REPLY when it reports none, or one that a peer has no business with. Never OK, never throws.
Status ErrorFromJson(std::string_view text);

// Whether `text` is JSON and nested no deeper than this side accepts.
bool IsBoundedJson(std::string_view text);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_MESSAGES_H_

// Base64 (RFC 4648, section 4) as descriptors use it: padded, and with exactly one spelling for each value.
#ifndef SLIPWAY_CORE_CONTROL_BASE64_H_
#define SLIPWAY_CORE_CONTROL_BASE64_H_

#include <optional>
#include <string>
#include <string_view>

namespace slipway {

std::string Base64Encode(std::string_view bytes);

// Nothing for text that Base64Encode would not have written: white space, missing padding, stray bits at the end.
std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_BASE64_H_

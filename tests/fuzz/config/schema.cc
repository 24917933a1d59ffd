#include <cstdlib>
#include <string>
#include <string_view>

#include "core/config/schema_check.h"
#include "tests/fuzz/config/targets.h"

namespace slipway {

void FuzzSchema(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t gap = text.find("\n\n");
  const std::string schema(text.substr(0, gap));
  const std::string json(gap == std::string_view::npos ? "{}" : text.substr(gap + 2));
  const Status status = CheckAgainstSchema(schema, json, "/options", "fuzz");
  const slipway_status code = status.code();
  const bool known = code == SLIPWAY_OK || code == SLIPWAY_E_PLUGIN_CONFIG ||
                     (code <= SLIPWAY_E_CONFIG_SYNTAX && code >= SLIPWAY_E_CONFIG_VALUE);
  if (!known) std::abort();
}

}  // namespace slipway

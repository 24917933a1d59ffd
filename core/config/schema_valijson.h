// All of draft 7, by way of valijson. Internal to core/config; there only where valijson is.
#ifndef SLIPWAY_CORE_CONFIG_SCHEMA_VALIJSON_H_
#define SLIPWAY_CORE_CONFIG_SCHEMA_VALIJSON_H_

#include <optional>
#include <string>
#include <vector>

namespace slipway {

struct SchemaViolation {
  std::vector<std::string> path;  // keys and indices from the root of the value
  std::string description;
};
struct SchemaVerdict {
  std::string schema_error;  // not empty: the schema cannot be used
  std::optional<SchemaViolation> violation;
};

// Both texts have been parsed before, so they are JSON. Throws nothing but std::bad_alloc.
SchemaVerdict ValidateDraft7(const std::string& schema_text, const std::string& json);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_SCHEMA_VALIJSON_H_

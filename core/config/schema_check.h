// A plugin's part of the configuration against the plugin's own schema.
#ifndef SLIPWAY_CORE_CONFIG_SCHEMA_CHECK_H_
#define SLIPWAY_CORE_CONFIG_SCHEMA_CHECK_H_

#include <string>

#include "slipway/status.hpp"

namespace slipway {

// Whether everything of draft 7 is checked, or only keys, types, ranges and choices (see CMakeLists.txt).
bool ChecksWholeSchema();

// Checks the object `json` against `schema_text` (JSON Schema draft 7; empty: the plugin takes no keys). Messages begin
// with `source`; their pointers with `pointer_prefix`, as in /transports/0/options/lanes. Nothing is thrown.
//
// E_CONFIG_SYNTAX, E_CONFIG_TYPE, E_CONFIG_KEY, E_CONFIG_VALUE: of `json`.
// E_PLUGIN_CONFIG: the schema itself is unusable, which is the plugin's fault and not the configuration's.
Status CheckAgainstSchema(const std::string& schema_text, const std::string& json, const std::string& pointer_prefix,
                          const std::string& source);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_SCHEMA_CHECK_H_

// JSON Schema, and configurations made from one to be refused.
#ifndef SLIPWAY_TOOLS_CONFORM_SCHEMA_H_
#define SLIPWAY_TOOLS_CONFORM_SCHEMA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/conform/memory.h"

namespace slipway::conform {

// Why `schema` is no JSON Schema, or `json` not valid by it. Both empty: all is well.
struct SchemaVerdict {
  std::string schema_error, violation;
};
SchemaVerdict CheckSchema(const std::string& schema, const std::string& json);

// A configuration that the plugin must refuse at `key`.
struct WrongConfig {
  std::string key, json, type;
};
// `sample` with one key of another JSON type than its schema takes, for each key (nested ones, too) and type.
std::vector<WrongConfig> WrongTypes(const std::string& schema, const std::string& sample);
// `sample` with a key that no schema has, at the top and in each object inside that the schema describes.
std::vector<WrongConfig> UnknownKeys(const std::string& schema, const std::string& sample);
// `sample`, hurt: its structure or its bytes. May be no JSON at all.
std::string Mutate(const std::string& sample, const std::string& schema, Random& random);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_SCHEMA_H_

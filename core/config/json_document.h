// JSON text as a tree, stricter than the parser underneath: repeated keys are errors, nesting and size are bounded.
// Internal to core/config, because it brings in the JSON library.
#ifndef SLIPWAY_CORE_CONFIG_JSON_DOCUMENT_H_
#define SLIPWAY_CORE_CONFIG_JSON_DOCUMENT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/config/errors.h"

namespace slipway {

using Json = nlohmann::ordered_json;

inline constexpr size_t kMaxJsonDepth = 64;
inline constexpr size_t kMaxJsonBytes = 16u << 20;

// Parses one JSON value. False when the text is not one: then `errors` holds why, with line and column. Repeated keys
// are added to `errors`, the first of each is kept, and the result is true. Throws nothing but std::bad_alloc.
bool ParseJson(std::string_view text, Json& out, ConfigErrors& errors);

// What stands there, for a message: `string "x"`, `number 1.5`, `an array`.
std::string Found(const Json& value);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_JSON_DOCUMENT_H_

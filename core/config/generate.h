// What is written from the table of keys (slipway/options_fields.hpp) rather than by hand.
#ifndef SLIPWAY_CORE_CONFIG_GENERATE_H_
#define SLIPWAY_CORE_CONFIG_GENERATE_H_

#include <optional>
#include <string>

#include "slipway/options.hpp"

namespace slipway {

// Every key with its compiled default, pretty; sizes as people write them.
std::string ReferenceJson(const Options& options = {});

// A JSON Schema (draft 7) for editors. Whatever the reader accepts, it accepts.
std::string EditorSchemaJson();

// `readme` with what stands between the marks of the table of keys and of the environment variables written anew;
// nothing when a mark is missing.
std::optional<std::string> UpdateReadme(const std::string& readme);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_GENERATE_H_

// JSON text -> Options. Strict: whatever is not understood is an error that says where, what was found and what was
// expected. Nothing here throws.
#ifndef SLIPWAY_CORE_CONFIG_READER_H_
#define SLIPWAY_CORE_CONFIG_READER_H_

#include <string>
#include <string_view>

#include "core/config/environment.h"
#include "slipway/options.hpp"
#include "slipway/status.hpp"

namespace slipway {

// Keys that the text leaves out keep their defaults; then the environment overrides; then combinations are checked.
// `source_name` (a file, "options") begins every message. Up to ten errors are listed in one message; the code is that
// of the first.
//
// E_CONFIG_SYNTAX, E_CONFIG_TYPE, E_CONFIG_KEY, E_CONFIG_VALUE, E_CONFIG_ENV, E_CONFIG_CONFLICT.
Result<Options> ParseOptions(std::string_view json, const std::string& source_name, const Environment& environment);

// The same from a file of at most 16 MiB. E_CONFIG_FILE as well.
Result<Options> LoadOptionsFile(const std::string& path, const Environment& environment);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_READER_H_

// Whether a plugin's descriptor and tables fit this core. Reads constant data; runs nothing.
#ifndef SLIPWAY_CORE_LOADER_NEGOTIATE_H_
#define SLIPWAY_CORE_LOADER_NEGOTIATE_H_

#include <string>
#include <string_view>

#include "slipway/abi/plugin.h"
#include "slipway/status.hpp"

namespace slipway {

// The lists that a plugin may offer are at most this long.
inline constexpr size_t kTransportsPerPluginMax = 64;

// All that does not fit is in ONE message: E_PLUGIN_ABI_MISMATCH for headers and table sizes, E_PLUGIN_NAME for names,
// E_PLUGIN_INCOMPLETE for what is missing. `plugin_name` is the one in the file's name; `path` begins the message.
Status CheckDescriptor(const slipway_plugin& plugin, std::string_view plugin_name, const std::string& path);

}  // namespace slipway

#endif  // SLIPWAY_CORE_LOADER_NEGOTIATE_H_

// A look at a shared object as a file, before the system's loader gets to run any of its code.
#ifndef SLIPWAY_CORE_LOADER_ELF_FILE_H_
#define SLIPWAY_CORE_LOADER_ELF_FILE_H_

#include <string>

#include "slipway/status.hpp"

namespace slipway {

// OK when `path` is a complete shared object for this process that defines slipway_plugin_v1 itself. Otherwise
// E_PLUGIN_ARCH (no shared object at all, or for another machine), E_PLUGIN_OPEN (unreadable, truncated, malformed),
// E_PLUGIN_ABI_NEWER / _OLDER (has the entry of another major only), or E_PLUGIN_NO_ENTRY. A file whose section headers
// were stripped is OK: the system's loader has the last word.
//
// The file is hostile: every offset in it is checked against its size and all work on it is bounded.
Status CheckPluginFile(const std::string& path);

}  // namespace slipway

#endif  // SLIPWAY_CORE_LOADER_ELF_FILE_H_

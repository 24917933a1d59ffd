// The plugin as the child process sees it: opened, and its descriptors looked over.
#ifndef SLIPWAY_TOOLS_CONFORM_PLUGIN_FILE_H_
#define SLIPWAY_TOOLS_CONFORM_PLUGIN_FILE_H_

#include <string>
#include <vector>

#include "slipway/abi/plugin.h"

namespace slipway::conform {

struct PluginFile {
  void* handle = nullptr;  // of dlopen; never closed unless a case means to
  const slipway_plugin* plugin = nullptr;
};

// dlopen NOW|LOCAL and the symbol. On failure the reason, and `out` holds as much as there is.
std::string OpenPlugin(const std::string& path, PluginFile& out);

// Everything that is wrong with the descriptors; empty when nothing is. Reads no more of a table than its size covers.
std::vector<std::string> DescriptorFaults(const slipway_plugin& plugin);

// By name; "": the first. NULL where there is none.
const slipway_transport* FindTransport(const slipway_plugin& plugin, const std::string& name);
const slipway_memory_provider* FindProvider(const slipway_plugin& plugin, const std::string& name);

std::string Join(const std::vector<std::string>& items, const char* between = "; ");

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_PLUGIN_FILE_H_

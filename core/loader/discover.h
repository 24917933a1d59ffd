// Which plugins there are, by file name alone: nothing is opened, so nothing of a plugin runs.
#ifndef SLIPWAY_CORE_LOADER_DISCOVER_H_
#define SLIPWAY_CORE_LOADER_DISCOVER_H_

#include <string>
#include <string_view>
#include <vector>

namespace slipway {

struct PluginFile {
  std::string name;  // NAME of libslipway-NAME.so
  std::string path;
};

// Whether `name` can name a plugin, transport or protocol: [a-z0-9-]{1,31}. So it can never leave its folder.
bool IsPluginName(std::string_view name);

// Every file called libslipway-NAME.so in the folders, in the order of the path, by name within a folder. Folders that
// do not exist are passed over; a name found in two folders is there twice.
std::vector<PluginFile> DiscoverPlugins(const std::vector<std::string>& path);

}  // namespace slipway

#endif  // SLIPWAY_CORE_LOADER_DISCOVER_H_

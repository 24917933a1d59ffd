// The plugins that one engine has loaded.
#ifndef SLIPWAY_CORE_LOADER_REGISTRY_H_
#define SLIPWAY_CORE_LOADER_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/abi/plugin.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

struct LoadedPlugin {
  const slipway_plugin* descriptor;  // constant data of the shared object, which stays until the process ends
  std::string path;
};

// Opens a plugin when it is first asked for, and not before. Thread-safe. What it returns lives as long as the
// registry; the descriptors and tables live as long as the process, since plugins are never unloaded.
class PluginRegistry {
 public:
  // `path`: the folders to look in, in order.
  explicit PluginRegistry(std::vector<std::string> path) : path_(std::move(path)) {}
  PluginRegistry(const PluginRegistry&) = delete;
  PluginRegistry& operator=(const PluginRegistry&) = delete;

  const std::vector<std::string>& path() const { return path_; }

  // Errors: every SLIPWAY_E_PLUGIN_* but NO_TRANSPORT and CONFIG. A failed load is tried again at the next call.
  Result<const LoadedPlugin*> Load(std::string_view plugin_name) SLIPWAY_EXCLUDES(mutex_);

  // The transport or provider `name` of the plugin, which is loaded if need be. Otherwise E_PLUGIN_NO_TRANSPORT, with
  // what the plugin does offer, or why it cannot be loaded.
  Result<const slipway_transport*> FindTransport(std::string_view name, std::string_view plugin_name)
      SLIPWAY_EXCLUDES(mutex_);
  Result<const slipway_memory_provider*> FindMemoryProvider(std::string_view name, std::string_view plugin_name)
      SLIPWAY_EXCLUDES(mutex_);

 private:
  Result<std::string> Locate(const std::string& plugin_name) const;
  Status CheckUnique(const slipway_plugin& plugin, const std::string& path) const SLIPWAY_REQUIRES(mutex_);

  const std::vector<std::string> path_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<LoadedPlugin>, std::less<>> loaded_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_LOADER_REGISTRY_H_

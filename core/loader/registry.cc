#include "core/loader/registry.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/loader/discover.h"
#include "core/loader/elf_file.h"
#include "core/loader/negotiate.h"
#include "slipway/sdk/nearest.hpp"

namespace slipway {
namespace {

std::string DidYouMean(std::string_view word, const std::vector<std::string>& names) {
  const std::string nearest = sdk::Nearest(word, names);
  return nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?";
}

std::string Joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? "none" : out;
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat sa {
  }, sb{};
  return stat(a.c_str(), &sa) == 0 && stat(b.c_str(), &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

// Runs the plugin's initialisers. The object stays in the process whatever comes of it: unloading runs destructors of
// threads and statics at times that nobody can control.
Result<const slipway_plugin*> Open(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* const words = dlerror();
    return Status(SLIPWAY_E_PLUGIN_OPEN, path + ": the system cannot load it: " + (words != nullptr ? words : "?") +
                                             ". See `ldd " + path + "` for what it needs");
  }
  const void* const symbol = dlsym(handle, SLIPWAY_PLUGIN_SYMBOL);
  Dl_info info{};
  if (symbol == nullptr || dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) {
    return Status(SLIPWAY_E_PLUGIN_NO_ENTRY,
                  path + ": loaded, but does not define " SLIPWAY_PLUGIN_SYMBOL ": it is no Slipway plugin");
  }
  if (!SameFile(info.dli_fname, path)) {
    return Status(SLIPWAY_E_PLUGIN_NO_ENTRY, path + ": its " SLIPWAY_PLUGIN_SYMBOL " comes from " + info.dli_fname +
                                                 ", which it depends on: it is no Slipway plugin itself");
  }
  return static_cast<const slipway_plugin*>(symbol);
}

template <typename T>
std::vector<std::string> NamesOf(const T* const* tables) {
  std::vector<std::string> names;
  for (size_t i = 0; tables != nullptr && tables[i] != nullptr; ++i) names.emplace_back(tables[i]->name);
  return names;
}

template <typename T>
Result<const T*> Pick(const T* const* tables, std::string_view name, const LoadedPlugin& plugin, const char* kind) {
  for (size_t i = 0; tables != nullptr && tables[i] != nullptr; ++i) {
    if (name == tables[i]->name) return tables[i];
  }
  const std::vector<std::string> names = NamesOf(tables);
  return Status(SLIPWAY_E_PLUGIN_NO_TRANSPORT, "the plugin \"" + std::string(plugin.descriptor->plugin_name) + "\" (" +
                                                   plugin.path + ") has no " + kind + " \"" + std::string(name) +
                                                   "\"; it has: " + Joined(names) + DidYouMean(name, names));
}

// The first name that two lists share; empty when there is none.
template <typename T>
std::string SharedName(const T* const* a, const T* const* b) {
  const std::vector<std::string> others = NamesOf(b);
  for (const std::string& name : NamesOf(a)) {
    if (std::find(others.begin(), others.end(), name) != others.end()) return name;
  }
  return "";
}

template <typename T>
std::string RepeatedName(const T* const* tables) {
  std::vector<std::string> names = NamesOf(tables);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  return twice == names.end() ? "" : *twice;
}

}  // namespace

Result<std::string> PluginRegistry::Locate(const std::string& plugin_name) const {
  std::string found;
  for (const std::string& folder : path_) {
    const std::string file = (std::filesystem::path(folder) / ("libslipway-" + plugin_name + ".so")).string();
    std::error_code ec;
    if (!std::filesystem::exists(file, ec)) continue;
    if (found.empty()) {
      found = file;
    } else if (!SameFile(found, file)) {
      return Status(SLIPWAY_E_PLUGIN_DUPLICATE, "the plugin \"" + plugin_name + "\" is on the plugin path twice: " +
                                                    found + " and " + file + ": remove one");
    }
  }
  if (!found.empty()) return found;
  std::vector<std::string> names;
  for (const PluginFile& file : DiscoverPlugins(path_)) names.push_back(file.name);
  return Status(SLIPWAY_E_PLUGIN_NOT_FOUND, "no libslipway-" + plugin_name + ".so on the plugin path (" +
                                                Joined(path_) + ")" + DidYouMean(plugin_name, names) +
                                                "; plugins there: " + Joined(names));
}

Status PluginRegistry::CheckUnique(const slipway_plugin& plugin, const std::string& path) const {
  const auto refuse = [&](const std::string& kind, const std::string& name, const std::string& other) {
    return Status(SLIPWAY_E_PLUGIN_DUPLICATE, "the " + kind + " \"" + name + "\" is offered twice: by " + path +
                                                  " and by " + other + ": configure one of these plugins only");
  };
  if (const std::string t = RepeatedName(plugin.transports); !t.empty()) return refuse("transport", t, path);
  if (const std::string m = RepeatedName(plugin.memory_providers); !m.empty())
    return refuse("memory provider", m, path);
  for (const auto& [name, other] : loaded_) {
    const slipway_plugin& d = *other->descriptor;
    if (const std::string t = SharedName(plugin.transports, d.transports); !t.empty()) {
      return refuse("transport", t, other->path);
    }
    if (const std::string m = SharedName(plugin.memory_providers, d.memory_providers); !m.empty()) {
      return refuse("memory provider", m, other->path);
    }
  }
  return Status::Ok();
}

Result<const LoadedPlugin*> PluginRegistry::Load(std::string_view plugin_name) {
  if (!IsPluginName(plugin_name)) {
    return Status(SLIPWAY_E_PLUGIN_NAME, "\"" + std::string(plugin_name.substr(0, 64)) +
                                             "\" cannot name a plugin: 1 to 31 of a-z, 0-9 and -, as in \"NAME\" of "
                                             "libslipway-NAME.so");
  }
  MutexLock lock(mutex_);
  if (const auto it = loaded_.find(plugin_name); it != loaded_.end()) return it->second.get();
  const std::string name(plugin_name);
  Result<std::string> path = Locate(name);
  if (!path.ok()) return path.status();
  SLIPWAY_RETURN_IF_ERROR(CheckPluginFile(*path));
  const Result<const slipway_plugin*> opened = Open(*path);
  if (!opened.ok()) return opened.status();
  const slipway_plugin& plugin = **opened;
  SLIPWAY_RETURN_IF_ERROR(CheckDescriptor(plugin, name, *path));
  SLIPWAY_RETURN_IF_ERROR(CheckUnique(plugin, *path));
  auto& slot = loaded_[name];
  slot = std::make_unique<LoadedPlugin>(LoadedPlugin{&plugin, *std::move(path)});
  return slot.get();
}

Result<const slipway_transport*> PluginRegistry::FindTransport(std::string_view name, std::string_view plugin_name) {
  const Result<const LoadedPlugin*> plugin = Load(plugin_name);
  if (!plugin.ok()) return plugin.status();
  return Pick((*plugin)->descriptor->transports, name, **plugin, "transport");
}

Result<const slipway_memory_provider*> PluginRegistry::FindMemoryProvider(std::string_view name,
                                                                          std::string_view plugin_name) {
  const Result<const LoadedPlugin*> plugin = Load(plugin_name);
  if (!plugin.ok()) return plugin.status();
  return Pick((*plugin)->descriptor->memory_providers, name, **plugin, "memory provider");
}

}  // namespace slipway

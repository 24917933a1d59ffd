// What the author of a plugin with memory providers includes. Such a plugin is one class a provider and one line:
//
//   SLIPWAY_MEMORY_PLUGIN("my-plugin", "1.0.0", MyProvider)
//
// at namespace scope in one source file; see memory_provider.hpp for the classes to derive from. The line defines the
// one exported symbol as constant data, so that no code runs when the plugin is looked at.
#ifndef SLIPWAY_SDK_MEMORY_PROVIDER_PLUGIN_HPP_
#define SLIPWAY_SDK_MEMORY_PROVIDER_PLUGIN_HPP_

#include <array>
#include <concepts>
#include <type_traits>

#include "slipway/abi/group.h"
#include "slipway/abi/plugin.h"
#include "slipway/sdk/memory_provider_glue.hpp"
#include "slipway/sdk/plugin.hpp"

namespace slipway::sdk::detail {

template <typename T>
concept PinsHost = requires {
  requires T::kPinsHost;
};
template <typename T>
concept ExportsDmabuf = requires {
  requires T::kExportsDmabuf;
};

// The constant table of memory provider T.
template <typename T>
constexpr slipway_memory_provider MakeProviderTable() {
  const ProviderInfo& i = T::kInfo;
  slipway_memory_provider t{};
  t.struct_size = sizeof(slipway_memory_provider);
  t.name = i.name;
  t.version = i.version;
  t.vendor = i.vendor;
  t.description = i.description;
  t.config_schema = i.config_schema;
  t.mem_kind = i.mem_kind;
  t.probe = ProviderGlue::Probe<T>;
  t.create = ProviderGlue::Create<T>;
  t.destroy = ProviderGlue::Destroy;
  t.classify = ProviderGlue::Classify;
  if constexpr (PinsHost<T>) {
    t.pin_host = ProviderGlue::PinHost;
    t.unpin_host = ProviderGlue::UnpinHost;
  }
  t.queue_open = ProviderGlue::QueueOpen;
  t.queue_close = ProviderGlue::QueueClose;
  t.copy_submit = ProviderGlue::CopySubmit;
  t.copy_poll = ProviderGlue::CopyPoll;
  if constexpr (ExportsDmabuf<T>) t.export_dmabuf = ProviderGlue::ExportDmabuf;
  if constexpr (HasGetExtension<T>) t.get_extension = Glue::GetExtension<T>;
  return t;
}

template <typename T>
inline constexpr slipway_memory_provider kProviderTable = MakeProviderTable<T>();

template <typename... Ts>
struct MemoryPluginTables {
  static_assert((std::is_base_of_v<MemoryProvider, Ts> && ...),
                "SLIPWAY_MEMORY_PLUGIN takes classes derived from sdk::MemoryProvider");
  static constexpr std::array<const slipway_memory_provider*, sizeof...(Ts) + 1> kProviders = {&kProviderTable<Ts>...,
                                                                                               nullptr};
};

template <typename... Ts>
constexpr slipway_plugin MakeMemoryPlugin(const char* name, const char* version, const char* build_info) {
  slipway_plugin p = MakePlugin<>(name, version, build_info);
  p.memory_providers = MemoryPluginTables<Ts...>::kProviders.data();
  return p;
}

}  // namespace slipway::sdk::detail

namespace slipway::sdk {

// What GetExtension() answers SLIPWAY_MEMORY_GROUP_ID with where the provider's queues have SubmitGroup().
inline constexpr slipway_memory_group kGroupTable = {sizeof(slipway_memory_group), 0,
                                                     detail::ProviderGlue::GroupSubmit};

}  // namespace slipway::sdk

// SLIPWAY_MEMORY_PLUGIN(name, version, classes...)
#define SLIPWAY_MEMORY_PLUGIN(name, version, ...)                              \
  extern "C" SLIPWAY_EXPORT constinit const slipway_plugin slipway_plugin_v1 = \
      ::slipway::sdk::detail::MakeMemoryPlugin<__VA_ARGS__>((name), (version), "C++ " __VERSION__);

#endif  // SLIPWAY_SDK_MEMORY_PROVIDER_PLUGIN_HPP_

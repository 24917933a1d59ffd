// What a plugin's author includes. A plugin is one class a transport and one line:
//
//   SLIPWAY_PLUGIN("my-plugin", "1.0.0", MyTransport)
//
// at namespace scope in one source file; see transport.hpp for the classes to derive from. The line defines the one
// exported symbol as constant data, so that no code runs when the plugin is looked at.
#ifndef SLIPWAY_SDK_PLUGIN_HPP_
#define SLIPWAY_SDK_PLUGIN_HPP_

#include <array>
#include <type_traits>

#include "slipway/abi/plugin.h"
#include "slipway/sdk/transport.hpp"
#include "slipway/sdk/transport_table.hpp"

namespace slipway::sdk::detail {

template <typename... Ts>
struct PluginTables {
  static_assert((std::is_base_of_v<Transport, Ts> && ...), "SLIPWAY_PLUGIN takes classes derived from sdk::Transport");
  static constexpr std::array<const slipway_transport*, sizeof...(Ts) + 1> kTransports = {&kTransportTable<Ts>...,
                                                                                          nullptr};
};

template <typename... Ts>
constexpr slipway_plugin MakePlugin(const char* name, const char* version, const char* build_info) {
  slipway_plugin p{};
  p.magic = SLIPWAY_ABI_MAGIC;
  p.struct_size = sizeof(slipway_plugin);
  p.abi_major = SLIPWAY_ABI_MAJOR;
  p.abi_minor = SLIPWAY_ABI_MINOR;
  p.pointer_bits = 8 * sizeof(void*);
  p.plugin_name = name;
  p.plugin_version = version;
  p.build_info = build_info;
  p.transports = PluginTables<Ts...>::kTransports.data();
  return p;
}

}  // namespace slipway::sdk::detail

// SLIPWAY_PLUGIN(name, version, classes...)
#define SLIPWAY_PLUGIN(name, version, ...)                                     \
  extern "C" SLIPWAY_EXPORT constinit const slipway_plugin slipway_plugin_v1 = \
      ::slipway::sdk::detail::MakePlugin<__VA_ARGS__>((name), (version), "C++ " __VERSION__);

#endif  // SLIPWAY_SDK_PLUGIN_HPP_

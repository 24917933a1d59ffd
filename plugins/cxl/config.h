// The plugin's configuration; README.md tells a person what each key does.
#ifndef SLIPWAY_PLUGINS_CXL_CONFIG_H_
#define SLIPWAY_PLUGINS_CXL_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/sdk/error.hpp"

namespace slipway::cxl {

// Who else maps the windows, and whether their caches are kept coherent by hardware.
enum class Sharing {
  kHost,         // processes of this host
  kCoherent,     // several hosts, coherent
  kNonCoherent,  // several hosts, not: everything is written back before it is said to be done
};

struct WindowConfig {
  std::string device;    // daxX.Y, memN, regionN, or a path
  uint64_t offset = 0;   // of the part that this instance may give to peers
  uint64_t bytes = 0;    // its length; 0: up to the end
  std::string identity;  // "": as the device tells
  uint32_t numa_node = kAnyNode;

  static constexpr uint32_t kAnyNode = UINT32_MAX;
};

struct Config {
  std::vector<WindowConfig> windows;
  Sharing sharing = Sharing::kHost;
  uint32_t host_index = 0;  // 0 .. kHostsMax - 1, of this host among those that share
  bool persistent = false;
  uint64_t streaming_bytes = 0;  // from here on past the caches; 0: see plugin.cc
  uint64_t piece_bytes = 1 << 20;
  uint64_t max_slice_bytes = uint64_t{1} << 30;
  uint32_t max_inflight = 256;
  uint32_t peer_timeout_ms = 1000;

  bool multi_host() const { return sharing != Sharing::kHost; }
  bool coherent() const { return sharing != Sharing::kNonCoherent; }
};

inline constexpr uint32_t kHostsMax = 16;
inline constexpr size_t kWindowsMax = 16;

extern const char kConfigSchema[];

// The keys of `json` over the defaults. Looks at no device.
slipway_status ReadConfig(std::string_view json, Config& out, sdk::Error& err);

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_CONFIG_H_

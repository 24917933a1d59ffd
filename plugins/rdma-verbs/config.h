// The configuration object of an instance. The schema and configs/README.md say what each key does.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_CONFIG_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/sdk/error.hpp"

namespace slipway::rdma {

inline constexpr uint32_t kDevicesMax = 8;
inline constexpr uint32_t kLanesMax = 16;

struct Config {
  enum class AddressFamily { kAny, kIpv4, kIpv6 };
  enum class Completion { kEvent, kPolling };

  // Changes behaviour.
  std::vector<std::string> devices;  // "NAME" or "NAME:PORT"; empty: chosen
  uint32_t max_devices = 1;          // of those chosen
  AddressFamily address_family = AddressFamily::kAny;
  uint32_t gid_index = kAnyGid;
  uint32_t listen_port = 0;
  uint32_t peer_timeout_ms = 5000;
  uint32_t connect_timeout_ms = 3000;
  uint32_t keepalive_s = 10;
  uint32_t link_down_grace_ms = 1000;
  uint32_t retry_count = 7;
  uint32_t rnr_retry_count = 6;
  uint32_t max_connections = 1024;
  uint32_t max_inflight = 1024;    // per channel
  uint32_t max_registrations = 0;  // 0: as many as the device has
  uint64_t max_slice_bytes = uint64_t{64} << 20;
  bool on_demand_paging = false;
  bool relaxed_ordering = false;
  bool dmabuf = true;
  bool fork_safe = false;

  // Changes performance.
  uint64_t preferred_slice_bytes = uint64_t{1} << 20;
  uint32_t lanes = 2;  // per peer and channel
  uint32_t queue_depth = 128;
  uint32_t max_reads = 16;
  uint32_t inline_bytes = 220;
  uint32_t signal_interval = 16;
  uint32_t mtu_bytes = 0;  // 0: the link's
  uint32_t traffic_class = 0;
  Completion completion = Completion::kEvent;
  uint32_t event_delay_us = 50;

  static constexpr uint32_t kAnyGid = ~0u;
};

// JSON Schema, draft 7. Its defaults are those of Config, by a test.
extern const char kConfigSchema[];

// Strict: an unknown key, a wrong type or a value out of bounds is E_CONFIG, with the JSON pointer in err.where.
slipway_status ReadConfig(std::string_view json, Config* out, sdk::Error& err);

// "NAME" or "NAME:PORT" taken apart; port 0 where none is said. False: neither.
bool SplitDeviceName(std::string_view text, std::string* name, uint32_t* port);

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_CONFIG_H_

#include "plugins/rdma-verbs/config.h"

#include <charconv>

#include "slipway/sdk/config_reader.hpp"

namespace slipway::rdma {

bool SplitDeviceName(std::string_view text, std::string* name, uint32_t* port) {
  const size_t colon = text.find(':');
  *name = text.substr(0, colon);
  *port = 0;
  if (name->empty() || name->size() > 63) return false;
  if (colon == std::string_view::npos) return true;
  const std::string_view number = text.substr(colon + 1);
  const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), *port);
  return ec == std::errc() && end == number.data() + number.size() && *port >= 1 && *port <= 255;
}

slipway_status ReadConfig(std::string_view text, Config* out, sdk::Error& err) {
  constexpr uint64_t kKiB = 1 << 10, kGiB = 1 << 30;
  nlohmann::json json;
  if (const slipway_status s = sdk::ParseConfig(text, json, err); s != SLIPWAY_OK) return s;
  Config c;
  size_t family = 0, completion = 0;
  sdk::ConfigReader reader(json, "", err);
  reader.Strings("devices", c.devices, kDevicesMax);
  reader.UInt("max_devices", c.max_devices, 1, kDevicesMax);
  reader.Choice("address_family", family, {"any", "ipv4", "ipv6"});
  reader.UInt("gid_index", c.gid_index, 0, 255);
  reader.UInt("listen_port", c.listen_port, 0, 65535);
  reader.UInt("peer_timeout_ms", c.peer_timeout_ms, 100, 3600000);
  reader.UInt("connect_timeout_ms", c.connect_timeout_ms, 10, 600000);
  reader.UInt("keepalive_s", c.keepalive_s, 1, 3600);
  reader.UInt("link_down_grace_ms", c.link_down_grace_ms, 0, 600000);
  reader.UInt("retry_count", c.retry_count, 0, 7);
  reader.UInt("rnr_retry_count", c.rnr_retry_count, 0, 6);
  reader.UInt("max_connections", c.max_connections, 1, 65536);
  reader.UInt("max_inflight", c.max_inflight, 1, 16384);
  reader.UInt("max_registrations", c.max_registrations, 0, 1u << 24);
  reader.Bytes("max_slice_bytes", c.max_slice_bytes, 4 * kKiB, kGiB);
  reader.Bool("on_demand_paging", c.on_demand_paging);
  reader.Bool("relaxed_ordering", c.relaxed_ordering);
  reader.Bool("dmabuf", c.dmabuf);
  reader.Bool("fork_safe", c.fork_safe);
  reader.Bytes("preferred_slice_bytes", c.preferred_slice_bytes, 4 * kKiB, kGiB);
  reader.UInt("lanes", c.lanes, 1, kLanesMax);
  reader.UInt("queue_depth", c.queue_depth, 2, 8192);
  reader.UInt("max_reads", c.max_reads, 1, 255);
  reader.UInt("inline_bytes", c.inline_bytes, 0, 4096);
  reader.UInt("signal_interval", c.signal_interval, 1, 1024);
  reader.UInt("mtu_bytes", c.mtu_bytes, 0, 4096);
  reader.UInt("traffic_class", c.traffic_class, 0, 255);
  reader.UInt("event_delay_us", c.event_delay_us, 0, 1000000);
  reader.Choice("completion", completion, {"event", "polling"});
  for (size_t i = 0; i < c.devices.size(); ++i) {
    std::string name;
    uint32_t port = 0;
    if (!SplitDeviceName(c.devices[i], &name, &port)) {
      reader.Refuse("devices", "\"" + c.devices[i] + "\" is neither NAME nor NAME:PORT with a port from 1 to 255");
    }
  }
  if (c.mtu_bytes != 0 && (c.mtu_bytes < 256 || (c.mtu_bytes & (c.mtu_bytes - 1)) != 0)) {
    reader.Refuse("mtu_bytes", "expected 0, 256, 512, 1024, 2048 or 4096");
  }
  if (c.preferred_slice_bytes > c.max_slice_bytes) {
    if (json.contains("preferred_slice_bytes")) {
      reader.Refuse("preferred_slice_bytes", "larger than max_slice_bytes: lower it or raise max_slice_bytes");
    }
    c.preferred_slice_bytes = c.max_slice_bytes;
  }
  if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
  c.address_family = static_cast<Config::AddressFamily>(family);
  c.completion = static_cast<Config::Completion>(completion);
  *out = std::move(c);
  return SLIPWAY_OK;
}

}  // namespace slipway::rdma

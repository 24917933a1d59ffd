// The configuration object of an instance. README.md and the schema say what each key does.
#ifndef SLIPWAY_PLUGINS_TCP_CONFIG_H_
#define SLIPWAY_PLUGINS_TCP_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/sdk/error.hpp"

namespace slipway::tcp {

struct Config {
  // Changes behaviour.
  std::vector<std::string> listen = {"127.0.0.1:0"};
  std::vector<std::string> advertise;
  uint32_t peer_timeout_ms = 5000;
  uint32_t connect_timeout_ms = 3000;
  uint32_t handshake_timeout_ms = 2000;
  uint32_t keepalive_s = 30;
  uint32_t max_connections = 1024;
  uint32_t max_inflight = 1024;                // per channel
  uint32_t max_requests_per_connection = 256;  // on the wire, both ways
  uint64_t max_slice_bytes = uint64_t{64} << 20;

  // Changes performance.
  uint64_t preferred_slice_bytes = uint64_t{1} << 20;
  uint32_t lanes = 2;
  uint32_t io_threads = 1;
  std::string congestion = "auto";
  uint64_t socket_buffer_bytes = 0;  // 0: 4 MiB near by, the kernel's elsewhere
  bool nodelay = true;
  uint32_t busy_poll_us = 50;
  bool poll_receives = true;
  uint64_t inline_send_bytes = uint64_t{64} << 10;
  uint64_t splice_bytes = uint64_t{64} << 10;  // 0: never
};

// JSON Schema, draft 7. Its defaults are those of Config, by a test.
extern const char kConfigSchema[];

// Strict: an unknown key, a wrong type or a value out of bounds is E_CONFIG, with the JSON pointer in err.where.
slipway_status ParseConfig(std::string_view json, Config* out, sdk::Error& err);

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_CONFIG_H_

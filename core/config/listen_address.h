// The address that the control plane listens on, as configured. Nothing is resolved here.
#ifndef SLIPWAY_CORE_CONFIG_LISTEN_ADDRESS_H_
#define SLIPWAY_CORE_CONFIG_LISTEN_ADDRESS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slipway {

struct ListenAddress {
  std::string host;  // without brackets; may be empty: every address
  uint16_t port = 0;
};

// HOST:PORT or [V6]:PORT; nothing for anything else.
std::optional<ListenAddress> ParseListenAddress(std::string_view text);

// Whether nobody outside of this machine can reach `host`: 127.0.0.0/8, ::1 or localhost. Every other name counts as
// reachable, whatever it may resolve to, and so does the empty host.
bool IsLoopbackHost(std::string_view host);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_LISTEN_ADDRESS_H_

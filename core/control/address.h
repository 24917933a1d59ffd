// Hosts and ports: parsing, resolving within a bound, connecting and listening.
#ifndef SLIPWAY_CORE_CONTROL_ADDRESS_H_
#define SLIPWAY_CORE_CONTROL_ADDRESS_H_

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/control/unique_fd.h"
#include "slipway/status.hpp"

namespace slipway {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// "name:80", "10.0.0.1:80", "[::1]:80". E_ADDRESS.
Result<HostPort> ParseHostPort(std::string_view text);
// The other way round, with brackets where the host needs them.
std::string FormatHostPort(const std::string& host, uint16_t port);

bool IsIpLiteral(const std::string& host);  // without brackets

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  bool IsLoopback() const;
  uint16_t Port() const;
  std::string Text() const;  // numeric, with the port
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Looks names up. The system's call cannot be given a limit, so that each look-up of a name runs on a thread of its
// own, at most kMaxLookups at once, which is left behind when the caller's time is over. Thread-safe.
class Resolver {
 public:
  static constexpr size_t kMaxLookups = 4;

  explicit Resolver(const Clock& clock);
  ~Resolver();  // waits for look-ups that are under way, as long as the system's resolver needs
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // At least one address. E_ADDRESS: there is no such name; E_UNREACHABLE: no answer before the deadline.
  Result<std::vector<Address>> Resolve(const std::string& host, uint16_t port, uint64_t deadline_ns);

 private:
  struct State;

  const Clock& clock_;
  const std::unique_ptr<State> state_;
};

// A connected, non-blocking socket. E_UNREACHABLE.
Result<UniqueFd> ConnectTo(const Address& address, uint64_t deadline_ns, const Clock& clock);

// A listening, non-blocking socket, bound to the first address that this machine has. `bound` receives where.
// E_ADDRESS_IN_USE, E_ADDRESS.
Result<UniqueFd> ListenOn(const std::vector<Address>& addresses, Address* bound);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_ADDRESS_H_

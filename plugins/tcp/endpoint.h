// Sockets: names to addresses, listening, options that every connection gets.
#ifndef SLIPWAY_PLUGINS_TCP_ENDPOINT_H_
#define SLIPWAY_PLUGINS_TCP_ENDPOINT_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "plugins/tcp/config.h"
#include "plugins/tcp/wire.h"
#include "slipway/sdk/error.hpp"

namespace slipway::tcp {

// An owned descriptor. Sockets are shut down before they are closed: a child forked meanwhile may hold a copy, and the
// peer must not wait for that.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { Close(); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close();
  // Closes at once with a reset: what the peer's system has not handed to the peer by then is marked as broken, and
  // what waits here is dropped. For bytes that may not arrive any more.
  void Abort();

 private:
  int fd_ = -1;
};

std::string ErrnoText(int error);

// "host:port", "[IPv6]:port", or, where `port` is not NULL on entry, "host" alone.
bool SplitHostPort(const std::string& text, bool port_optional, std::string* host, std::string* port);

// E_CONFIG, with `where` as given, when `text` is malformed or does not resolve. A numeric host does no look-up.
slipway_status Resolve(const std::string& text, const std::string& where, uint16_t default_port, bool for_listening,
                       std::vector<SocketAddress>* out, sdk::Error& err);

socklen_t ToSockaddr(const SocketAddress& in, sockaddr_storage* out);
bool FromSockaddr(const sockaddr_storage& in, SocketAddress* out);

// Binds and listens; *bound is the address with its port. What is accepted begins with the congestion control of a near
// peer: see ApplyOptions. E_CONFIG for addresses that are not this host's or may not be bound, E_IO for those in use.
slipway_status Listen(const SocketAddress& address, const std::string& where, const Config& config, Socket* out,
                      SocketAddress* bound, sdk::Error& err);

// The networks of this host's interfaces, as of when it was made. Constant, so thread-safe.
class LocalNetworks {
 public:
  LocalNetworks();
  // Loopback, an address of this host, or of a network that an interface is directly on.
  bool Near(const SocketAddress& peer) const;

 private:
  struct Network {
    SocketAddress address;
    std::array<uint8_t, 16> mask{};
  };
  std::vector<Network> networks_;
};

// Options of a connection, before connect or after accept. What the system refuses is left as it is: all of them only
// change how fast a connection is, except for the time limits, which the io threads check as well.
void ApplyOptions(int fd, const Config& config, bool near_peer);

// What the kernel takes of the parts now, or -1 and errno: never blocks, never raises SIGPIPE. `more_follows`: a packet
// that is not full may wait for what is sent next.
ssize_t SendParts(int fd, iovec* parts, size_t count, bool more_follows);

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_ENDPOINT_H_

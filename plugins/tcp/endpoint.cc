#include "plugins/tcp/endpoint.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>

namespace slipway::tcp {
namespace {

constexpr int kListenBacklog = 1024;

bool IsLoopback(const SocketAddress& a) {
  if (a.family == 4) return a.bytes[0] == 127;
  std::array<uint8_t, 16> one{};
  one[15] = 1;
  return a.bytes == one;
}

// What loopback and links of the same subnet are given where the configuration leaves it open and the system permits
// it: the kernel's own sizing grows too slowly there and then stays small. README.md has figures.
constexpr uint64_t kNearBufferBytes = 4 << 20;

// Whether a program may have socket buffers of `bytes`, as the limit in the file says. Asking for more would not fail:
// it would fix the buffer at the limit, which may be less than what the kernel sizes by itself.
bool Permits(const char* limit_file, uint64_t bytes) {
  uint64_t limit = 0;
  std::ifstream(limit_file) >> limit;
  return limit >= bytes;
}

bool UseCongestion(int fd, const std::string& name) {
  return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) == 0;
}

std::string CongestionOf(int fd) {
  char name[16] = {};  // TCP_CA_NAME_MAX of the kernel, with the zero at its end
  socklen_t length = sizeof(name);
  return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0 ? std::string(name, strnlen(name, length))
                                                                         : "";
}

void SetCongestion(int fd, const Config& config, bool near_peer) {
  if (config.congestion == "system") return;
  if (config.congestion != "auto") {
    UseCongestion(fd, config.congestion);
  } else if (near_peer) {
    // bbr paces what it sends, which halves the rate where there is no bottleneck to probe for. README.md has figures.
    if (!UseCongestion(fd, "reno")) UseCongestion(fd, "cubic");
  } else {
    std::string system;  // what a connection has that nobody gave another; an accepted one has its listener's
    std::ifstream("/proc/sys/net/ipv4/tcp_congestion_control") >> system;
    if (!system.empty() && system != CongestionOf(fd)) UseCongestion(fd, system);
  }
}

bool ParsePort(const std::string& text, uint16_t* out) {
  if (text.empty() || text.size() > 5) return false;
  uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  *out = static_cast<uint16_t>(value);
  return value <= 65535;
}

}  // namespace

std::string ErrnoText(int error) {
  char buffer[128];
  return strerror_r(error, buffer, sizeof(buffer));
}

void Socket::Close() {
  if (fd_ < 0) return;
  shutdown(fd_, SHUT_RDWR);
  close(fd_);
  fd_ = -1;
}

void Socket::Abort() {
  if (fd_ < 0) return;
  // Disconnecting resets the connection also where a forked child holds a copy of the descriptor.
  sockaddr unspecified{};
  unspecified.sa_family = AF_UNSPEC;
  connect(fd_, &unspecified, sizeof(unspecified));
  close(fd_);
  fd_ = -1;
}

bool SplitHostPort(const std::string& text, bool port_optional, std::string* host, std::string* port) {
  port->clear();
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == std::string::npos) return false;
    *host = text.substr(1, end - 1);
    if (end + 1 == text.size()) return port_optional && !host->empty();
    if (text[end + 1] != ':') return false;
    *port = text.substr(end + 2);
    return !host->empty() && !port->empty();
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || text.find(':') != colon) {
    // No colon, or several: an IPv6 address without brackets has no port.
    *host = text;
    return port_optional && !host->empty();
  }
  *host = text.substr(0, colon);
  *port = text.substr(colon + 1);
  return !host->empty() && !port->empty();
}

slipway_status Resolve(const std::string& text, const std::string& where, uint16_t default_port, bool for_listening,
                       std::vector<SocketAddress>* out, sdk::Error& err) {
  std::string host, port_text;
  uint16_t port = default_port;
  if (!SplitHostPort(text, !for_listening, &host, &port_text) || (!port_text.empty() && !ParsePort(port_text, &port))) {
    return err.Fail(SLIPWAY_E_CONFIG, "'" + text + "': expected host:port or [IPv6]:port with a port from 0 to 65535",
                    where);
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | (for_listening ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  int rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (rc == EAI_NONAME) {
    hints.ai_flags &= ~AI_NUMERICHOST;
    rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  }
  if (rc != 0) {
    return err.Fail(SLIPWAY_E_CONFIG,
                    "'" + host + "' does not resolve (" + gai_strerror(rc) + "): use an address or fix the name", where,
                    rc == EAI_SYSTEM ? errno : 0);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, freeaddrinfo);
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    sockaddr_storage storage{};
    std::memcpy(&storage, a->ai_addr, std::min<size_t>(a->ai_addrlen, sizeof(storage)));
    SocketAddress address;
    if (!FromSockaddr(storage, &address)) continue;
    address.port = port;
    if (std::find(out->begin(), out->end(), address) == out->end()) out->push_back(address);
  }
  return SLIPWAY_OK;
}

socklen_t ToSockaddr(const SocketAddress& in, sockaddr_storage* out) {
  std::memset(out, 0, sizeof(*out));
  if (in.family == 6) {
    auto* a = reinterpret_cast<sockaddr_in6*>(out);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(in.port);
    a->sin6_scope_id = in.scope;
    std::memcpy(&a->sin6_addr, in.bytes.data(), 16);
    return sizeof(*a);
  }
  auto* a = reinterpret_cast<sockaddr_in*>(out);
  a->sin_family = AF_INET;
  a->sin_port = htons(in.port);
  std::memcpy(&a->sin_addr, in.bytes.data(), 4);
  return sizeof(*a);
}

bool FromSockaddr(const sockaddr_storage& in, SocketAddress* out) {
  *out = {};
  if (in.ss_family == AF_INET6) {
    const auto* a = reinterpret_cast<const sockaddr_in6*>(&in);
    out->family = 6;
    out->port = ntohs(a->sin6_port);
    out->scope = a->sin6_scope_id;
    std::memcpy(out->bytes.data(), &a->sin6_addr, 16);
    return true;
  }
  if (in.ss_family != AF_INET) return false;
  const auto* a = reinterpret_cast<const sockaddr_in*>(&in);
  out->port = ntohs(a->sin_port);
  std::memcpy(out->bytes.data(), &a->sin_addr, 4);
  return true;
}

slipway_status Listen(const SocketAddress& address, const std::string& where, const Config& config, Socket* out,
                      SocketAddress* bound, sdk::Error& err) {
  sockaddr_storage storage;
  socklen_t len = ToSockaddr(address, &storage);
  Socket s(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto fail = [&](int error) {
    const bool in_use = error == EADDRINUSE;
    const bool config = error == EADDRNOTAVAIL || error == EACCES || error == EAFNOSUPPORT;
    return err.Fail(config ? SLIPWAY_E_CONFIG : SLIPWAY_E_IO,
                    "cannot listen on " + address.ToString() + ": " + ErrnoText(error) +
                        (in_use   ? "; another process has the port: choose another, or 0 for any"
                         : config ? "; use an address of this host and a port that may be bound"
                                  : ""),
                    where, error, in_use ? SLIPWAY_ERR_RETRYABLE : 0);
  };
  if (!s.open()) return fail(errno);
  const int on = 1;
  setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.family == 6) setsockopt(s.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  // A connection that begins with bbr, which may be the system's choice, stays paced whatever it is given once
  // accepted: packets then leave by a timer on another core, out of order on loopback.
  SetCongestion(s.fd(), config, true);
  if (bind(s.fd(), reinterpret_cast<sockaddr*>(&storage), len) != 0) return fail(errno);
  if (listen(s.fd(), kListenBacklog) != 0) return fail(errno);
  len = sizeof(storage);
  if (getsockname(s.fd(), reinterpret_cast<sockaddr*>(&storage), &len) != 0) return fail(errno);
  FromSockaddr(storage, bound);
  bound->scope = address.scope;
  *out = std::move(s);
  return SLIPWAY_OK;
}

LocalNetworks::LocalNetworks() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_netmask == nullptr) continue;
    const bool v6 = i->ifa_addr->sa_family == AF_INET6;
    if (!v6 && i->ifa_addr->sa_family != AF_INET) continue;
    const size_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    sockaddr_storage storage{};
    Network network;
    SocketAddress mask;
    std::memcpy(&storage, i->ifa_addr, size);
    if (!FromSockaddr(storage, &network.address)) continue;
    std::memcpy(&storage, i->ifa_netmask, size);
    storage.ss_family = i->ifa_addr->sa_family;
    if (!FromSockaddr(storage, &mask)) continue;
    network.mask = mask.bytes;
    networks_.push_back(network);
  }
  freeifaddrs(list);
}

bool LocalNetworks::Near(const SocketAddress& peer) const {
  if (IsLoopback(peer)) return true;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& n) {
    if (n.address.family != peer.family) return false;
    for (size_t i = 0; i < (peer.family == 6 ? 16u : 4u); ++i) {
      if (((n.address.bytes[i] ^ peer.bytes[i]) & n.mask[i]) != 0) return false;
    }
    return true;
  });
}

void ApplyOptions(int fd, const Config& config, bool near_peer) {
  const auto set = [fd](int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof(value)); };
  if (config.nodelay) set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (config.socket_buffer_bytes != 0) {
    set(SOL_SOCKET, SO_SNDBUF, static_cast<int>(config.socket_buffer_bytes));
    set(SOL_SOCKET, SO_RCVBUF, static_cast<int>(config.socket_buffer_bytes));
  } else if (near_peer) {
    const int bytes = static_cast<int>(kNearBufferBytes);
    if (Permits("/proc/sys/net/core/wmem_max", kNearBufferBytes)) set(SOL_SOCKET, SO_SNDBUF, bytes);
    if (Permits("/proc/sys/net/core/rmem_max", kNearBufferBytes)) set(SOL_SOCKET, SO_RCVBUF, bytes);
  }
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(config.keepalive_s));
  set(IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(std::max(1u, config.keepalive_s / 3)));
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(config.peer_timeout_ms));
  SetCongestion(fd, config, near_peer);
}

ssize_t SendParts(int fd, iovec* parts, size_t count, bool more_follows) {
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more_follows ? MSG_MORE : 0);
  if (count == 1) return send(fd, parts->iov_base, parts->iov_len, flags);  // cheaper
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  return sendmsg(fd, &message, flags);
}

}  // namespace slipway::tcp

#include "core/control/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/control/descriptor.h"

namespace slipway {
namespace {

constexpr size_t kMaxHostBytes = 253;

Status BadAddress(std::string_view text, const std::string& why) {
  constexpr size_t kShown = 128;
  return Status(SLIPWAY_E_ADDRESS, "\"" + std::string(text.substr(0, kShown)) + "\": " + why +
                                       "; write it as host:port, 10.0.0.1:port or [::1]:port");
}

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHostBytes && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool IsIpv6(const std::string& text) {
  in6_addr parsed;
  return inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

std::string ErrnoText(int error) {
  std::array<char, 128> buffer{};
  return strerror_r(error, buffer.data(), buffer.size());  // GNU's: returns the text
}

}  // namespace

Result<HostPort> ParseHostPort(std::string_view text) {
  HostPort out;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return BadAddress(text, "has no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    out.host = host.substr(1, host.size() - 2);
    if (!IsIpv6(out.host)) return BadAddress(text, "no IPv6 address between the brackets");
  } else {
    if (host.find(':') != std::string_view::npos) return BadAddress(text, "an IPv6 address needs brackets");
    if (!IsHostName(host)) return BadAddress(text, "no host name or address before the port");
    out.host = host;
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return BadAddress(text, "the port is not a number from 0 to 65535");
  }
  return out;
}

std::string FormatHostPort(const std::string& host, uint16_t port) {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool IsIpLiteral(const std::string& host) {
  in_addr parsed;
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 || IsIpv6(host);
}

Result<SegmentUrl> ParseSegmentUrl(std::string_view text) {
  constexpr std::string_view kScheme = "slipway://";
  std::string_view rest = text;
  if (rest.substr(0, kScheme.size()) == kScheme) rest.remove_prefix(kScheme.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return BadAddress(text, "no segment name; expected host:port/name");
  Result<HostPort> where = ParseHostPort(rest.substr(0, slash));
  if (!where.ok()) return where.status();
  if (where->port == 0) return BadAddress(text, "port 0 cannot be reached");
  const std::string_view name = rest.substr(slash + 1);
  if (!IsSegmentName(name)) return BadAddress(text, "the segment's name is not of the form [A-Za-z0-9._-/]{1,255}");
  return SegmentUrl{where->host, where->port, std::string(name)};
}

bool Address::IsLoopback() const {
  if (storage.ss_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr.s_addr) >> 24 == 127;
  }
  if (storage.ss_family != AF_INET6) return false;
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

uint16_t Address::Port() const {
  if (storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  return 0;
}

std::string Address::Text() const {
  std::array<char, NI_MAXHOST> host{};
  if (getnameinfo(get(), length, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0) return "?";
  return FormatHostPort(host.data(), Port());
}

Result<UniqueFd> ConnectTo(const Address& address, uint64_t deadline_ns, const Clock& clock) {
  UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto failed = [&](int error) {
    std::string advice = "; check the address and that the node is running";
    if (error == ECONNREFUSED) advice = "; nothing listens there: check the port and that the node is running";
    if (error == EMFILE || error == ENFILE) advice = "; raise the limit of open files (ulimit -n)";
    return Status(SLIPWAY_E_UNREACHABLE, address.Text() + ": " + ErrnoText(error) + advice);
  };
  if (!fd.valid()) return failed(errno);
  const int on = 1;
  (void)setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd.get(), address.get(), address.length) == 0) return fd;
  if (errno != EINPROGRESS) return failed(errno);
  for (;;) {
    const uint64_t now_ns = clock.NowNs();
    if (now_ns >= deadline_ns) return failed(ETIMEDOUT);
    pollfd entry{fd.get(), POLLOUT, 0};
    const uint64_t left_ms = (deadline_ns - now_ns) / 1'000'000 + 1;
    const int ready = poll(&entry, 1, static_cast<int>(std::min<uint64_t>(left_ms, 500)));
    if (ready < 0 && errno != EINTR) return failed(errno);
    if (ready > 0) break;
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return failed(error);
  // A connection to a free port of one's own machine can meet itself; nobody listens there either.
  Address own;
  own.length = sizeof own.storage;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.length) == 0 &&
      own.length == address.length && own.Text() == address.Text()) {
    return failed(ECONNREFUSED);
  }
  return fd;
}

Result<UniqueFd> ListenOn(const std::vector<Address>& addresses, Address* bound) {
  Status last(SLIPWAY_E_ADDRESS, "no address to listen on");
  for (const Address& address : addresses) {
    UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // Only lets a port be taken again whose old connections linger; a listener there is still an error.
    const int on = 1;
    if (fd.valid()) (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd.valid() && bind(fd.get(), address.get(), address.length) == 0 && listen(fd.get(), SOMAXCONN) == 0) {
      bound->length = sizeof bound->storage;
      if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound->storage), &bound->length) == 0) return fd;
    }
    const int error = errno;
    const std::string where = "cannot listen on " + address.Text() + ": " + ErrnoText(error);
    if (error == EADDRINUSE) {
      return Status(SLIPWAY_E_ADDRESS_IN_USE, where + "; stop the process that holds it (ss -ltnp), or use port 0");
    }
    std::string advice = "; give an address of this machine in control.listen";
    if (error == EACCES) advice = "; ports below 1024 need a privilege: choose a higher one in control.listen";
    last = Status(SLIPWAY_E_ADDRESS, where + advice);
  }
  return last;
}

}  // namespace slipway

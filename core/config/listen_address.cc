#include "core/config/listen_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace slipway {
namespace {

constexpr size_t kMaxHostBytes = 253;  // of a DNS name

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

// The scope ("%eth0") is for the system to judge.
bool IsV6(std::string_view text) {
  in6_addr address{};
  const size_t percent = text.find('%');
  if (percent != std::string_view::npos) {
    const std::string_view scope = text.substr(percent + 1);
    if (scope.empty() || !std::all_of(scope.begin(), scope.end(), IsHostCharacter)) return false;
  }
  const std::string plain(text.substr(0, percent));
  return inet_pton(AF_INET6, plain.c_str(), &address) == 1;
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

std::optional<ListenAddress> ParseListenAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.size() > kMaxHostBytes) return std::nullopt;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (!IsV6(host)) return std::nullopt;
  } else if (!std::all_of(host.begin(), host.end(), IsHostCharacter)) {
    return std::nullopt;
  }
  return ListenAddress{std::string(host), *port};
}

bool IsLoopbackHost(std::string_view host) {
  const std::string text(host);
  if (text == "localhost") return true;
  if (in_addr v4{}; inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  if (in6_addr v6{}; inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return false;
}

}  // namespace slipway

// Who may speak to a control server.
#ifndef SLIPWAY_CORE_CONTROL_GATE_H_
#define SLIPWAY_CORE_CONTROL_GATE_H_

#include <array>
#include <string>
#include <string_view>

#include "core/control/http_head.h"
#include "slipway/status.hpp"

namespace slipway {

// Whether `secret` can travel in a header: visible ASCII, at most 4096 bytes. Empty is none, and fine.
// E_CONFIG_VALUE.
Status CheckSecret(const std::string& secret);

// Constant after construction, and thread-safe.
class Gate {
 public:
  // `host` is the configured name of the listener. `loopback` says that only this machine reaches it, but any web page
  // that a browser here shows can make it send requests, also under a name of its own that resolves to this machine.
  Gate(const std::string& secret, std::string host, bool loopback);

  Refusal Admit(const RequestHead& head) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static bool Hash(std::string_view text, Digest* digest);

  bool HostAllowed(const std::string& header) const;
  bool SecretMatches(const HttpHeaders& headers) const;

  const bool has_secret_;
  const std::string host_;
  const bool loopback_;
  Digest digest_{};  // of the secret
  bool digest_ok_ = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_GATE_H_

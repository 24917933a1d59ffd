// Asks other nodes' control servers.
#ifndef SLIPWAY_CORE_CONTROL_CLIENT_H_
#define SLIPWAY_CORE_CONTROL_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/control/channel.h"
#include "core/control/descriptor.h"
#include "slipway/options.hpp"
#include "slipway/status.hpp"

namespace slipway {

struct ControlClientStats {
  uint64_t connections_opened = 0;
  uint64_t connections_idle = 0;  // now, kept for later requests
};

// Keeps connections for later requests: at most 4 a node and 64 in all. Thread-safe. Every call returns at its timeout
// at the latest, and its errors begin with the node's address:
//   E_ADDRESS          the host does not resolve
//   E_UNREACHABLE      nobody answers, or not in time
//   E_TLS              the two sides do not agree on TLS, or the certificate is not trusted
//   E_UNAUTHENTICATED  the node knows another secret
//   E_BAD_REPLY        what answers is not a control server, or breaks the protocol
//   E_TOO_LARGE        the reply exceeds max_body_bytes
// and what the node itself reports: E_NO_SEGMENT, E_NO_ROUTE, ...
class ControlClient {
 public:
  // Of `options`, tls and max_body_bytes count. TLS is used where certificate_file or ca_file is set. `clock` must
  // outlive the client. E_TLS; E_CONFIG_VALUE for a secret that no header can carry.
  static Result<std::unique_ptr<ControlClient>> Create(const ControlOptions& options, const std::string& secret,
                                                       const Clock& clock);
  ~ControlClient();  // no call may be under way

  Result<SegmentDescriptor> Open(const SegmentUrl& url, const std::vector<ProtocolRange>& protocols,
                                 uint64_t timeout_ms);
  Result<std::vector<SegmentSummary>> List(const std::string& host, uint16_t port, uint64_t timeout_ms);
  Result<std::string> Describe(const std::string& host, uint16_t port, uint64_t timeout_ms);  // JSON text

  // A connection on which the node speaks `protocol` from now on, the caller's to keep and to close.
  Result<std::unique_ptr<Channel>> OpenStream(const std::string& host, uint16_t port, const std::string& protocol,
                                              uint64_t timeout_ms);

  ControlClientStats stats() const;

 private:
  class Impl;

  explicit ControlClient(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_CLIENT_H_

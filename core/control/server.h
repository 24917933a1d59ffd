// The control plane's server: answers which segments a node has, and how to reach them.
//
//   POST /v1/open      {"segment","version":1,"protocols":[{"name","min","max"}]} -> a segment descriptor
//   GET  /v1/segments  the published segments
//   GET  /v1/describe  the node
//   GET  /metrics      Prometheus text
//   GET  /healthz      whether it answers
//   GET  /v1/stream    with "Upgrade: PROTOCOL": a connection that the source serves itself from then on
#ifndef SLIPWAY_CORE_CONTROL_SERVER_H_
#define SLIPWAY_CORE_CONTROL_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/control/channel.h"
#include "core/control/descriptor.h"
#include "slipway/options.hpp"
#include "slipway/status.hpp"

namespace slipway {

// Where the answers come from. Called from many threads at once; each call must be short, since stopping the server
// waits for it. An exception becomes an answer of 500.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  // E_NO_SEGMENT, E_NO_ROUTE where no protocol is shared, E_SEGMENT_ACCESS: what is returned reaches the peer.
  virtual Result<SegmentDescriptor> OpenSegment(const std::string& name,
                                                const std::vector<ProtocolRange>& client_protocols) = 0;
  virtual std::vector<SegmentSummary> ListSegments() = 0;
  virtual std::string DescribeJson() = 0;
  // Prometheus text; the server adds its own lines, slipway_control_*.
  virtual std::string MetricsText() = 0;
  // What serves a connection that asks for `protocol`, which has been let in like any other request: called with the
  // connection and with what arrived on it already, on a thread of its own, until it returns. It returns soon after the
  // channel was interrupted. E_NO_STORE, E_UNSUPPORTED: such connections are not taken.
  using Stream = std::function<void(Channel& channel, std::string received)>;
  virtual Result<Stream> OpenStream(const std::string& protocol) {
    return Status(SLIPWAY_E_UNSUPPORTED, "\"" + protocol.substr(0, 64) + "\" is not spoken here");
  }
};

struct ControlStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;      // at max_connections, none of them idle
  uint64_t connections_evicted = 0;      // idle, closed in favour of a new one
  uint64_t connections_idle_closed = 0;  // idle for idle_timeout_ms
  uint64_t connections_open = 0;         // now
  uint64_t connections_busy = 0;         // now
  uint64_t threads = 0;                  // now
  uint64_t requests = 0;                 // that reached an endpoint
  uint64_t bad_input = 0;                // control_bad_input: not the protocol
  uint64_t unauthenticated = 0;
  uint64_t forbidden = 0;  // Origin or Host
  uint64_t timed_out = 0;  // cut at request_timeout_ms
  uint64_t tls_failed = 0;
};

class ControlServer {
 public:
  // Listens at options.listen and answers until it is destroyed. `source`, `clock` and `logger` must outlive it.
  // E_ADDRESS, E_ADDRESS_IN_USE, E_TLS; E_CONFIG_VALUE for a secret that no header can carry; E_CONFIG_CONFLICT for an
  // address beyond loopback without a secret.
  static Result<std::unique_ptr<ControlServer>> Start(const ControlOptions& options, const std::string& secret,
                                                      SegmentSource* source, const Clock& clock, Logger& logger);
  // Cuts requests that are under way; returns when calls to `source` have.
  ~ControlServer();

  std::string host() const;  // as configured, without brackets
  uint16_t port() const;     // the one bound, also where 0 was configured
  ControlStats stats() const;

 private:
  class Impl;

  explicit ControlServer(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_SERVER_H_

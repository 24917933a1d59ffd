// What a connection's bytes mean: TLS, requests, endpoints.
#ifndef SLIPWAY_CORE_CONTROL_HTTP_FRONTEND_H_
#define SLIPWAY_CORE_CONTROL_HTTP_FRONTEND_H_

#include <atomic>
#include <memory>
#include <string>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/control/connections.h"
#include "core/control/gate.h"
#include "core/control/server.h"
#include "core/control/tls.h"

namespace slipway {

// Thread-safe.
class HttpFrontend {
 public:
  // `tls` may be null: plain HTTP.
  HttpFrontend(const ControlOptions& options, std::unique_ptr<Gate> gate, std::unique_ptr<TlsContext> tls,
               SegmentSource* source, const Clock& clock, Logger& logger);
  ~HttpFrontend();

  // Serves the request that has begun to arrive, and those right behind it. Whether the connection can be kept. Never
  // throws.
  bool Serve(Connection& connection);

  void AddTo(ControlStats* stats) const;
  // Asked for by /metrics. Set once, before the first Serve.
  void set_stats(std::function<ControlStats()> stats) { stats_ = std::move(stats); }

 private:
  class Endpoints;
  struct Counters {
    std::atomic<uint64_t> requests{0}, bad_input{0}, unauthenticated{0}, forbidden{0}, timed_out{0}, tls_failed{0};
  };

  bool ServeAll(Connection& connection);
  bool ServeOne(Connection& connection);
  bool StartTls(Connection& connection);
  bool ServeStream(Connection& connection, const RequestHead& head);
  bool Refuse(Connection& connection, const Refusal& refusal, bool head_only);
  void Count(const Connection& connection, const Refusal& refusal);

  const ControlOptions options_;
  SegmentSource* const source_;
  const std::unique_ptr<Gate> gate_;
  const std::unique_ptr<TlsContext> tls_;
  const Clock& clock_;
  Logger& logger_;
  std::function<ControlStats()> stats_;
  Counters counters_;
  std::atomic<uint64_t> last_warning_ns_{0};
  std::unique_ptr<Endpoints> endpoints_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_HTTP_FRONTEND_H_

#include "core/control/server.h"

#include <algorithm>

#include "core/control/address.h"
#include "core/control/connections.h"
#include "core/control/gate.h"
#include "core/control/http_frontend.h"
#include "core/control/tls.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kResolveNs = 10'000'000'000;

}  // namespace

class ControlServer::Impl {
 public:
  Impl(std::string host, uint16_t port, std::unique_ptr<HttpFrontend> frontend, UniqueFd listener,
       const ControlOptions& options, const Clock& clock, Logger& logger)
      : host_(std::move(host)),
        port_(port),
        frontend_(std::move(frontend)),
        connections_(
            std::move(listener), {options.max_connections, options.idle_timeout_ms * kNsPerMs},
            [this](Connection& connection) { return frontend_->Serve(connection); }, clock, logger) {
    frontend_->set_stats([this] { return stats(); });
  }

  Status Start() { return connections_.Start(); }
  const std::string& host() const { return host_; }
  uint16_t port() const { return port_; }

  ControlStats stats() const {
    const ConnectionCounts counts = connections_.counts();
    ControlStats out;
    out.connections_accepted = counts.accepted;
    out.connections_refused = counts.refused;
    out.connections_evicted = counts.evicted;
    out.connections_idle_closed = counts.idle_closed;
    out.connections_open = counts.open;
    out.connections_busy = counts.busy;
    out.threads = connections_.threads();
    frontend_->AddTo(&out);
    return out;
  }

 private:
  const std::string host_;
  const uint16_t port_;
  const std::unique_ptr<HttpFrontend> frontend_;
  Connections connections_;  // last: its workers use everything above
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;
std::string ControlServer::host() const { return impl_->host(); }
uint16_t ControlServer::port() const { return impl_->port(); }
ControlStats ControlServer::stats() const { return impl_->stats(); }

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const ControlOptions& options, const std::string& secret,
                                                            SegmentSource* source, const Clock& clock, Logger& logger) {
  const auto at_listen = [](const Status& status) {
    return Status(status.code(), "control.listen: " + status.message());
  };
  SLIPWAY_RETURN_IF_ERROR(CheckSecret(secret));
  if (options.max_connections == 0) {
    return Status(SLIPWAY_E_CONFIG_VALUE, "control.max_connections is 0; at least 1 is needed to answer anybody");
  }
  Result<HostPort> where = ParseHostPort(options.listen);
  if (!where.ok()) return at_listen(where.status());
  Result<std::vector<Address>> addresses =
      Resolver(SystemClock()).Resolve(where->host, where->port, DeadlineAfter(SystemClock().NowNs(), kResolveNs));
  if (!addresses.ok()) return at_listen(addresses.status());
  const bool loopback =
      std::all_of(addresses->begin(), addresses->end(), [](const Address& address) { return address.IsLoopback(); });
  if (!loopback && secret.empty()) {
    return Status(SLIPWAY_E_CONFIG_CONFLICT,
                  "control.listen: \"" + options.listen +
                      "\" can be reached from other machines, and there is no secret; set control.secret_file, or "
                      "listen on 127.0.0.1");
  }
  std::unique_ptr<TlsContext> tls;
  if (!options.tls.certificate_file.empty()) {
    Result<std::unique_ptr<TlsContext>> made = TlsContext::ForServer(options.tls);
    if (!made.ok()) return made.status();
    tls = *std::move(made);
  }
  if (!loopback && tls == nullptr) {
    logger.Warning("control server: " + options.listen +
                   " answers other machines without TLS, so that the secret travels readable; set "
                   "control.tls.certificate_file unless the network is trusted");
  }
  Address bound;
  Result<UniqueFd> listener = ListenOn(*addresses, &bound);
  if (!listener.ok()) return at_listen(listener.status());
  auto frontend = std::make_unique<HttpFrontend>(options, std::make_unique<Gate>(secret, where->host, loopback),
                                                 std::move(tls), source, clock, logger);
  auto impl = std::make_unique<Impl>(where->host, bound.Port(), std::move(frontend), *std::move(listener), options,
                                     clock, logger);
  SLIPWAY_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

}  // namespace slipway

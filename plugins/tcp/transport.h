// One configured instance: what it owns, and the bookkeeping that its parts share.
#ifndef SLIPWAY_PLUGINS_TCP_TRANSPORT_H_
#define SLIPWAY_PLUGINS_TCP_TRANSPORT_H_

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "plugins/tcp/channel.h"
#include "plugins/tcp/config.h"
#include "plugins/tcp/direct.h"
#include "plugins/tcp/endpoint.h"
#include "plugins/tcp/listener.h"
#include "plugins/tcp/memory.h"
#include "plugins/tcp/peer.h"
#include "plugins/tcp/progress.h"
#include "plugins/tcp/stats.h"
#include "slipway/sdk/plugin.hpp"

namespace slipway::tcp {

class Session;

// Fills in what an instance with this configuration offers.
void FillAttrs(const Config& config, slipway_attrs* attrs);

class TcpInstance : public sdk::Instance {
 public:
  // Listens and starts its threads. On failure nothing is left.
  static slipway_status Make(sdk::Host host, const slipway_attrs& attrs, Config config,
                             std::unique_ptr<sdk::Instance>& out, sdk::Error& err);
  ~TcpInstance() override;

  slipway_status Quiesce(uint64_t timeout_ns, sdk::Error& err) override;
  void Stop() noexcept override;
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override;
  slipway_status DeregisterMemory(sdk::Registration& mr) override;
  slipway_status QueryRegistered(const slipway_range& range, slipway_reg_info& out) override;
  slipway_status ExportAddress(std::string& out, sdk::Error& err) override;
  slipway_status ExportMr(sdk::Registration& mr, std::string& out, sdk::Error& err) override;
  slipway_status Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override;
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) override;
  slipway_status StatsJson(std::string& out) override;

  // ---- for its parts; thread-safe ----
  const Config& config() const { return config_; }
  const LocalNetworks& networks() const { return networks_; }
  const Key& id() const { return id_; }
  Stats& stats() { return stats_; }
  RegistrationTable& table() { return table_; }
  DirectLanes& direct() { return direct_; }
  IoLoop* NextLoop();  // by turns
  bool loops_running() const { return loops_running_.load(std::memory_order_acquire); }
  // Calls the core for every channel in the set, with no lock held; the one that is being polled need not be told.
  void Wake(WakeSet* wakes, const TcpChannel* poller = nullptr);
  // Logs the first message of its kind.
  void LogOnce(uint32_t level, Counter kind, const std::string& message);

  // Accepts a connection, or refuses it when there are too many.
  void Adopt(Socket socket, const SocketAddress& from);
  void OnSessionGreeted() { strangers_.fetch_sub(1); }
  void OnSessionGone(bool greeted);

  void ForgetChannel(uint32_t index) { channels_[index].store(nullptr); }
  void ForgetPeer(TcpPeer* peer);
  bool CancelAnywhere(const TcpChannel* channel, uint64_t token);

 private:
  TcpInstance(sdk::Host host, const slipway_attrs& attrs, Config config);
  slipway_status Start(sdk::Error& err);
  slipway_status ResolveAdvertised(const std::vector<SocketAddress>& bound, sdk::Error& err);
  void CloseTarget();
  template <typename Visit>
  void ForEachSession(Visit&& visit);  // on each loop's thread in turn

  // Constant after Start.
  const Config config_;
  const LocalNetworks networks_;
  Key id_{};
  std::vector<SocketAddress> advertised_;
  std::vector<std::unique_ptr<IoLoop>> loops_;
  std::vector<std::unique_ptr<Listener>> listeners_;  // on the first loop

  Stats stats_;
  RegistrationTable table_;
  DirectLanes direct_;
  std::array<std::atomic<TcpChannel*>, kChannelsMax> channels_{};
  std::atomic<uint32_t> next_loop_{0};
  std::atomic<bool> loops_running_{false};
  std::atomic<uint32_t> connections_{0};  // accepted and open
  std::atomic<uint32_t> strangers_{0};    // of those, without HELLO so far

  Mutex peers_mutex_;
  std::vector<TcpPeer*> peers_ SLIPWAY_GUARDED_BY(peers_mutex_);
};

struct TcpTransport : public sdk::Transport {
  static constexpr sdk::TransportInfo kInfo = {
      "tcp",
      "1.0.0",
      "slipway",
      "TCP between processes and hosts",
      "slipway-tcp",
      kProtocolVersion,
      kProtocolVersion,
      SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_CROSS_HOST | SLIPWAY_CAP_READ |
          SLIPWAY_CAP_WRITE | SLIPWAY_CAP_CANCEL | SLIPWAY_CAP_EVENT_FD | SLIPWAY_CAP_PEER_FAILURE |
          SLIPWAY_CAP_REG_THREADSAFE,
      SLIPWAY_MEM_HOST,
      kConfigSchema,
  };
  static slipway_status Probe(sdk::Host host, std::string_view json, slipway_attrs& out, sdk::Error& err);
  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err);
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_TRANSPORT_H_

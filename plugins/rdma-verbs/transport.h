// One configured instance: what it owns, and the bookkeeping that its parts share.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_TRANSPORT_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_TRANSPORT_H_

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "plugins/rdma-verbs/channel.h"
#include "plugins/rdma-verbs/config.h"
#include "plugins/rdma-verbs/memory.h"
#include "plugins/rdma-verbs/peer.h"
#include "plugins/rdma-verbs/progress.h"
#include "plugins/rdma-verbs/queue_pair.h"
#include "plugins/rdma-verbs/stats.h"
#include "plugins/rdma-verbs/target.h"
#include "slipway/sdk/plugin.hpp"

namespace slipway::rdma {

class RdmaInstance : public sdk::Instance, private Member {
 public:
  // Listens and starts its thread. On failure nothing is left.
  static slipway_status Make(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                             sdk::Error& err);
  ~RdmaInstance() override;

  slipway_status Quiesce(uint64_t timeout_ns, sdk::Error& err) override;
  void Stop() noexcept override;
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override;
  slipway_status DeregisterMemory(sdk::Registration& mr) override;
  slipway_status ExportAddress(std::string& out, sdk::Error& err) override;
  slipway_status ExportMr(sdk::Registration& mr, std::string& out, sdk::Error& err) override;
  slipway_status Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override;
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) override;
  slipway_status StatsJson(std::string& out) override;

  // ---- for its parts; constant or thread-safe ----
  const Verbs& verbs() const { return *verbs_; }
  const Config& config() const { return config_; }
  const Devices& devices() const { return devices_; }
  const Key& id() const { return id_; }
  const Key& secret() const { return secret_; }
  Stats& stats() { return stats_; }
  Loop& loop() { return *loop_; }
  uint8_t ReadsOut(const Device& device) const;
  // Logs the first message of its kind.
  void LogOnce(uint32_t level, Counter kind, const std::string& message);
  void DeviceFailed(const std::string& why);
  // [any but the loop's thread] Waits until `done`, asked on the loop's thread, says so. False: it did not in time.
  bool Settle(const std::function<bool()>& done, uint64_t timeout_ns) SLIPWAY_EXCLUDES(settled_mutex_);
  void NoteSettled() SLIPWAY_EXCLUDES(settled_mutex_);

  // ---- on the loop's thread ----
  RdmaChannel* channel(uint32_t index) const { return channels_[index]; }
  ControlQueue* control(uint32_t device) const { return controls_[device].get(); }

  void ForgetChannel(RdmaChannel* channel);
  void ForgetPeer(RdmaPeer* peer);

 private:
  RdmaInstance(sdk::Host host, const slipway_attrs& attrs, std::unique_ptr<Verbs> verbs, Config config,
               Devices devices);
  slipway_status Start(sdk::Error& err);
  void OnTick(uint64_t) override {}
  void OnScheduled() override;
  void OnDeviceEvent(Device* device, const ibv_async_event& event);
  void EndAll(const std::string& why);
  bool AllEnded() const;

  // Constant after Start.
  const std::unique_ptr<Verbs> verbs_;
  const Config config_;
  const Devices devices_;
  Key id_{}, secret_{};
  std::vector<SocketAddress> endpoints_;  // by device
  std::vector<std::unique_ptr<ControlQueue>> controls_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Target> target_;

  Stats stats_;
  std::array<RdmaChannel*, kChannelsMax> channels_{};  // the loop's thread only
  std::vector<RdmaPeer*> peers_;                       // the loop's thread only
  uint32_t channels_taken_ = 0;                        // a bit a channel; [control]

  std::atomic<bool> device_failed_{false};

  Mutex settled_mutex_;
  CondVar settled_cv_;
  uint64_t settled_ SLIPWAY_GUARDED_BY(settled_mutex_) = 0;
};

struct RdmaTransport : public sdk::Transport {
  static constexpr sdk::TransportInfo kInfo = {
      "rdma-verbs",
      "1.0.0",
      "slipway",
      "RDMA (InfiniBand, RoCE) through verbs",
      "slipway-rdma-verbs",
      kProtocolVersion,
      kProtocolVersion,
      SLIPWAY_CAP_NEEDS_LOCAL_REG | SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_CROSS_HOST |
          SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE | SLIPWAY_CAP_CANCEL | SLIPWAY_CAP_EVENT_FD | SLIPWAY_CAP_PEER_FAILURE |
          SLIPWAY_CAP_REG_THREADSAFE | SLIPWAY_CAP_DMABUF,
      SLIPWAY_MEM_HOST | SLIPWAY_MEM_CUDA | SLIPWAY_MEM_ROCM | SLIPWAY_MEM_MUSA | SLIPWAY_MEM_CXL,
      kConfigSchema,
  };
  static slipway_status Probe(sdk::Host host, std::string_view json, slipway_attrs& out, sdk::Error& err);
  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err);
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_TRANSPORT_H_

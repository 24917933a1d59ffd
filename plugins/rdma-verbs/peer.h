// Another instance, as this one reaches it: its lanes, and the registrations imported from it.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_PEER_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_PEER_H_

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "plugins/rdma-verbs/channel.h"
#include "plugins/rdma-verbs/lane.h"
#include "plugins/rdma-verbs/wire.h"

namespace slipway::rdma {

class RdmaRemote : public sdk::Remote {
 public:
  RdmaRemote(RdmaPeer* owner, const RemoteRegistration& r)
      : sdk::Remote(r.length, r.access & (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE)),
        peer(owner),
        base(r.base) {
    for (size_t i = 0; i < rkeys_.size(); ++i) rkeys_[i] = r.rkeys[i < r.rkeys.size() ? i : 0];
  }
  uint32_t rkey(uint32_t remote_device) const { return rkeys_[remote_device]; }

  RdmaPeer* const peer;
  const uint64_t base;
  std::atomic<bool> stale{false};  // the target said so once, which cost a queue pair

 private:
  std::array<uint32_t, kDevicesMax> rkeys_;
};

// A peer fails as a whole and for good: when a connection breaks that was ready, or the first cannot be made. What
// breaks a queue pair for the fault of one slice costs that slice alone: the lane is made again.
class RdmaPeer : public sdk::Peer, public Member {
 public:
  RdmaPeer(RdmaInstance* owner, InstanceAddress address);
  ~RdmaPeer() override;

  // [control] Begins to connect: lanes for the channels that are open, one to see that the peer is there otherwise.
  void Start();

  slipway_status Ready(sdk::Error& err) override;
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;
  slipway_status Disconnect() override;

  // [any] The first reason stays. All lanes end soon, and what is outstanding completes with `status`.
  void Fail(slipway_status status, const std::string& why, int native);
  bool failed() const { return status() < 0; }
  slipway_status status() const { return status_.load(std::memory_order_acquire); }
  // [any] The channel of this number has slices and no lane.
  void WantLanes(uint32_t channel);
  // The longest slice that the peer's device takes, in bytes; no bound until it has answered.
  uint64_t slice_bytes_max() const { return slice_bytes_max_.load(std::memory_order_relaxed); }

  // [loop]
  bool ended() const { return lanes_.empty(); }
  void DropChannel(RdmaChannel* channel);  // begins to end its lanes; ServesChannel() says when they are gone
  bool ServesChannel(const RdmaChannel* channel) const;
  void OnScheduled() override;
  void DropLanes() { lanes_.clear(); }  // at once
  void OnLaneReady(uint64_t slice_bytes_max);
  void OnLaneEnded();
  void OnLaneLost(Lane* lane, slipway_status status, const std::string& why, int native);

  RdmaInstance* owner() const { return owner_; }
  const InstanceAddress& address() const { return address_; }
  Outbox* outbox(uint32_t channel) { return &outboxes_[channel]; }

 private:
  void OnTick(uint64_t) override {}
  void MakeLanes(RdmaChannel* channel);

  RdmaInstance* const owner_;
  const InstanceAddress address_;
  std::array<Outbox, kChannelsMax> outboxes_;  // each guarded by its channel's mutex

  std::atomic<slipway_status> status_{SLIPWAY_IN_PROGRESS};
  std::atomic<uint64_t> slice_bytes_max_{~uint64_t{0}};
  std::atomic<uint32_t> wanted_{0};  // channels by bit that want lanes, and kAnyLane

  // The loop's thread only.
  std::vector<std::unique_ptr<Lane>> lanes_;

  Mutex mutex_;
  std::string why_ SLIPWAY_GUARDED_BY(mutex_);
  int native_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_PEER_H_

// One connection to a peer, as initiator: it is made by the connection manager, carries the queue pair that a channel
// posts on, and is taken down, all on the loop's thread.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_LANE_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_LANE_H_

#include <array>
#include <string>

#include "plugins/rdma-verbs/progress.h"
#include "plugins/rdma-verbs/queue_pair.h"
#include "plugins/rdma-verbs/send_queue.h"

namespace slipway::rdma {

class RdmaChannel;
class RdmaInstance;
class RdmaPeer;

class Lane final : public CmHandler, public Member, public ControlUser {
 public:
  // `channel` may be NULL: then it only shows that the peer is there.
  Lane(RdmaPeer* peer, RdmaChannel* channel, uint32_t number);
  ~Lane() override;

  // [loop] Tries the peer's endpoints one after the other, the one that fits this lane's number first.
  void Connect();
  // [loop] Begins to take the connection down. What is outstanding completes with `status`; with OK it is sent again,
  // and the lane is made again afterwards.
  void End(slipway_status status);
  // [any] Has the loop look at the lane: its queue pair broke.
  void LookSoon();

  bool ready() const { return state_ == State::kReady; }
  bool ended() const { return state_ == State::kEnded; }
  RdmaChannel* channel() const { return channel_; }
  uint32_t local_device() const { return local_device_; }

  void OnCmEvent(const CmEvent& event) override;
  void OnTick(uint64_t now_ns) override;
  void OnScheduled() override;
  void OnControl(const ibv_wc& wc) override;

 private:
  enum class State { kIdle, kAddress, kRoute, kConnecting, kReady, kFlushing, kEnded };

  void TryNext();
  void AttemptFailed(slipway_status status, const std::string& why, int native);
  void OnAddress();
  void OnRoute();
  void OnReply(const CmEvent& event);
  void OnRefused(const CmEvent& event);
  void OnGone(const std::string& why);
  void TakeDown();
  void Watch(uint64_t now_ns);

  RdmaPeer* const peer_;
  RdmaInstance* const instance_;
  RdmaChannel* const channel_;
  const uint32_t number_;

  // The loop's thread only.
  State state_ = State::kIdle;
  uint32_t local_device_ = 0, remote_device_ = 0;
  std::unique_ptr<SendQueue> queue_;  // NULL without a channel
  bool attached_ = false;
  rdma_cm_id* id_ = nullptr;
  QueuePair qp_;
  uint64_t control_id_ = 0;
  std::array<uint8_t, kRequestBytes> request_{};
  uint32_t attempt_ = 0, stale_attempts_ = 0;
  uint64_t deadline_ns_ = 0;  // of connecting, or of flushing
  uint64_t retry_ns_ = 0;     // when to try the same endpoint again; 0: not
  slipway_status end_status_ = SLIPWAY_OK;
  slipway_status last_status_ = SLIPWAY_E_PEER;
  std::string last_error_;
  int last_native_ = 0;
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_LANE_H_

// Where slices are submitted and completions polled: a fixed number of places for slices, a completion queue a device
// that the queue pairs of all peers share, and the slices that wait for a queue pair.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_CHANNEL_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_CHANNEL_H_

#include <atomic>
#include <memory>
#include <vector>

#include "plugins/rdma-verbs/send_queue.h"
#include "slipway/sdk/transport.hpp"

namespace slipway::rdma {

class RdmaInstance;
class RdmaPeer;

inline constexpr uint32_t kChannelsMax = 16;

// What one channel has for one peer. Lives in the peer; guarded by the channel's mutex.
struct Outbox {
  RdmaPeer* peer = nullptr;
  OpList waiting;  // for a queue pair with room
  std::array<SendQueue*, kLanesMax> queues{};
  uint32_t queue_count = 0;
  bool lanes_wanted = false;  // the peer was told to make some
  bool dirty = false;         // in the channel's list of those to be looked at
  Outbox* next_dirty = nullptr;
};

// A device's completion queue, and the descriptor through which the device says that there is something in it.
class CompletionQueue {
 public:
  // `entries`: as many as there can be work requests. With `events`, armed.
  static slipway_status Make(const Device& device, uint32_t entries, bool events, std::unique_ptr<CompletionQueue>* out,
                             sdk::Error& err);
  ~CompletionQueue();

  ibv_cq* cq() const { return cq_; }
  int fd() const { return events_ == nullptr ? -1 : events_->fd; }
  // Up to `max` completions. Negative: the device failed.
  int Poll(ibv_wc* out, int max);
  // To be called when nothing is left to poll. Something was polled and its event not taken: then the descriptor is
  // readable, or will be, and for `delay_ns` after the last completion it stays so, at no cost. After that the event is
  // taken and the next one asked for. True: there may be something again.
  bool Rearm(uint64_t now_ns, uint64_t delay_ns, Stats& stats);
  bool wants_rearm() const { return dirty_ || !armed_; }

 private:
  explicit CompletionQueue(const Device& device) : device_(device) {}

  const Device& device_;
  ibv_comp_channel* events_ = nullptr;
  ibv_cq* cq_ = nullptr;
  bool armed_ = false;     // an event comes, or has come and was not taken
  bool dirty_ = false;     // something was polled since
  uint64_t dirty_ns_ = 0;  // since when nothing was; 0: something was, just now
  unsigned unacknowledged_ = 0;
};

class RdmaChannel final : public sdk::Channel, private OpSink {
 public:
  // `index`: below kChannelsMax, the instance's to give and take back.
  static slipway_status Make(RdmaInstance* owner, uint32_t index, std::unique_ptr<RdmaChannel>* out, sdk::Error& err);
  ~RdmaChannel() override;

  slipway_status Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) override;
  slipway_status Poll(sdk::Completions& out) override;
  slipway_status Cancel(uint64_t token) override;
  int EventFd() override { return event_fd_; }

  uint32_t index() const { return index_; }
  ibv_cq* cq(uint32_t device) const { return queues_[device]->cq(); }
  OpSink* sink() { return this; }

  // [loop] A queue pair is ready, or ends. `status` as in SendQueue::Abandon.
  void Attach(Outbox* box, SendQueue* queue, ibv_qp* qp, uint32_t depth, uint32_t inline_bytes)
      SLIPWAY_EXCLUDES(mutex_);
  void Close(SendQueue* queue) SLIPWAY_EXCLUDES(mutex_);
  void Detach(Outbox* box, SendQueue* queue, slipway_status status) SLIPWAY_EXCLUDES(mutex_);
  // [loop] Completes what waits with an error.
  void FailWaiting(Outbox* box, slipway_status status) SLIPWAY_EXCLUDES(mutex_);
  // [loop] Takes completions off the devices' queues, for poll() to find. Gives what `queue` (may be NULL) still has.
  uint32_t Drain(const SendQueue* queue) SLIPWAY_EXCLUDES(mutex_);
  // [loop] As Drain, where nobody else is at it: for a thread that polls all the time.
  void DrainIfFree() SLIPWAY_EXCLUDES(mutex_);
  // [loop] What the queue has outstanding, the bytes of what completes next, and since when it has been silent.
  struct Pulse {
    uint32_t outstanding = 0;
    uint64_t next_bytes = 0, progress_ns = 0;
    SendQueue::Fault fault = SendQueue::Fault::kNone;
  };
  Pulse PulseOf(const SendQueue* queue) SLIPWAY_EXCLUDES(mutex_);

 private:
  RdmaChannel(RdmaInstance* owner, uint32_t index);

  // OpSink; with the mutex.
  void Finish(Op* op, slipway_status status, int32_t native) override SLIPWAY_REQUIRES(mutex_);
  void SendAgain(Op* op) override SLIPWAY_REQUIRES(mutex_);
  Stats& stats() override;

  slipway_status Accept(const slipway_slice& slice) SLIPWAY_REQUIRES(mutex_);
  void LookAt(Outbox* box) SLIPWAY_REQUIRES(mutex_);
  static bool Holds(const Outbox* box);
  void PumpDirty(uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void Pump(Outbox* box, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  // Polls the devices until `enough` slices are done. True: all of their queues were empty at the end.
  // `now_ns` is 0, and the time afterwards where that had to be looked at.
  bool PollDevices(uint32_t enough, uint64_t& now_ns) SLIPWAY_REQUIRES(mutex_);
  void OnCompletion(const ibv_wc& wc, uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  bool Rearm(uint64_t now_ns) SLIPWAY_REQUIRES(mutex_);
  void Emit(sdk::Completions& out) SLIPWAY_REQUIRES(mutex_);
  void Signal() SLIPWAY_REQUIRES(mutex_);
  void Unsignal() SLIPWAY_REQUIRES(mutex_);

  // Constant after Make.
  RdmaInstance* const owner_;
  const uint32_t index_;
  std::vector<std::unique_ptr<CompletionQueue>> queues_;  // by device
  int event_fd_ = -1;                                     // an epoll set of the devices' descriptors and software_fd_
  int software_fd_ = -1;                                  // readable while done_ is not empty and nobody was told

  Mutex mutex_;
  std::vector<Op> ops_ SLIPWAY_GUARDED_BY(mutex_);  // of constant size
  OpList free_ SLIPWAY_GUARDED_BY(mutex_);
  OpList done_ SLIPWAY_GUARDED_BY(mutex_);
  uint32_t done_count_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  bool signaled_ SLIPWAY_GUARDED_BY(mutex_) = false;
  struct Slot {
    SendQueue* queue = nullptr;
    Outbox* box = nullptr;
    uint16_t generation = 0;
  };
  std::vector<Slot> slots_ SLIPWAY_GUARDED_BY(mutex_);  // by the slot in a work request's id
  Outbox* dirty_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;  // something new waits, or there is room again
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_CHANNEL_H_

// A queue pair as its channel sees it: what was posted on it, in order, and what its completions mean for slices.
//
// Everything here is guarded by the mutex of the channel that it belongs to. The queue pair itself is made, changed and
// destroyed by its lane, on the loop's thread, which calls Close() before and Abandon() after.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_SEND_QUEUE_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_SEND_QUEUE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "plugins/rdma-verbs/memory.h"
#include "plugins/rdma-verbs/stats.h"

namespace slipway::rdma {

class Lane;
class RdmaRemote;
struct Outbox;

// A slice on its way: one of a channel's fixed number of places.
struct Op {
  enum class State : uint8_t { kFree, kWaiting, kPosted, kDone };

  Op* next = nullptr;  // in the list that it is in
  uint64_t token = 0;
  RdmaRemote* remote = nullptr;
  Registration* mr = nullptr;
  Outbox* outbox = nullptr;
  uint8_t* local = nullptr;
  uint64_t length = 0, remote_offset = 0;
  uint64_t bytes = 0;  // once done
  slipway_status status = SLIPWAY_OK;
  int32_t native = 0;
  State state = State::kFree;
  bool write = false, canceled = false;
  uint8_t flushes = 0;  // how often it was on a queue pair that broke for another's fault
};

struct OpList {
  Op* first = nullptr;
  Op* last = nullptr;
  bool empty() const { return first == nullptr; }
  void PushBack(Op* op) {
    op->next = nullptr;
    (first == nullptr ? first : last->next) = op;
    last = op;
  }
  Op* PopFront() {
    Op* op = first;
    first = op->next;
    return op;
  }
  // Walks to it; false when it is not there.
  bool Remove(Op* op);
};

// What becomes of slices: their channel.
class OpSink {
 public:
  // The slice is over. Its memory is not touched any more.
  virtual void Finish(Op* op, slipway_status status, int32_t native) = 0;
  // The slice was not carried out, through no fault of its own.
  virtual void SendAgain(Op* op) = 0;
  virtual Stats& stats() = 0;

 protected:
  ~OpSink() = default;
};

class SendQueue {
 public:
  // Why a queue pair came to its end.
  enum class Fault : uint8_t { kNone, kSlice, kPeer, kDevice };

  // `local_device`, `remote_device`: which keys go with it. `slot` tells it from the others of the channel in work
  // request ids; `depth` is what the queue pair holds.
  SendQueue(Lane* lane, OpSink* sink, const Config& config, uint32_t local_device, uint32_t remote_device);

  void Open(ibv_qp* qp, uint32_t depth, uint32_t inline_bytes, uint16_t slot, uint16_t generation, uint64_t now_ns);
  // Nothing is posted from here on.
  void Close() { open_ = false; }
  // The queue pair is gone: what was posted and not completed is sent again, or fails with `status` where that is an
  // error.
  void Abandon(slipway_status status);

  bool open() const { return open_; }
  bool full() const { return tail_ - head_ >= depth_; }
  uint32_t outstanding() const { return static_cast<uint32_t>(tail_ - head_); }
  uint64_t outstanding_bytes() const { return bytes_; }
  // Of the slice that completes next.
  uint64_t next_bytes() const { return head_ == tail_ ? 0 : ring_[head_ & mask_]->length; }
  uint64_t progress_ns() const { return progress_ns_; }
  Fault fault() const { return fault_; }
  Lane* lane() const { return lane_; }
  uint16_t slot() const { return slot_; }
  uint16_t generation() const { return generation_; }
  uint32_t local_device() const { return local_device_; }

  // Puts the slice at the end of the chain that Post() hands to the device. Not full, and open.
  void Add(Op* op, uint64_t now_ns);
  // False: the device refused, and the queue pair is of no use any more.
  bool Post();
  // A completion of this queue pair. Gives the fault that came to light with it.
  Fault OnCompletion(const ibv_wc& wc, slipway_status peer_status, uint64_t now_ns);

  static uint16_t SlotOf(uint64_t wr_id) { return static_cast<uint16_t>(wr_id >> 48); }
  static uint16_t GenerationOf(uint64_t wr_id) { return static_cast<uint16_t>(wr_id >> 32); }

 private:
  static constexpr uint32_t kChainMax = 32;

  Op*& At(uint64_t index) { return ring_[index & mask_]; }
  void Done(Op* op);
  void Failed(Op* op, const ibv_wc& wc, slipway_status peer_status);
  void Again(Op* op, slipway_status otherwise);

  // Constant after construction.
  Lane* const lane_;
  OpSink* const sink_;
  const uint32_t local_device_, remote_device_, signal_interval_;

  // Constant between Open() and Abandon().
  ibv_qp* qp_ = nullptr;
  uint32_t depth_ = 0, inline_bytes_ = 0;
  uint16_t slot_ = 0, generation_ = 0;

  bool open_ = false;
  Fault fault_ = Fault::kNone;
  std::vector<Op*> ring_;  // posted slices by running number
  uint64_t mask_ = 0, head_ = 0, tail_ = 0;
  uint64_t bytes_ = 0;
  uint64_t progress_ns_ = 0;  // when one completed last, or when work began
  uint32_t unsignaled_ = 0;
  uint64_t unsignaled_bytes_ = 0;

  uint32_t chained_ = 0;
  std::array<ibv_send_wr, kChainMax> chain_;
  std::array<ibv_sge, kChainMax> pieces_;
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_SEND_QUEUE_H_

// A reliable queue pair from its making to its end, and the completion queue of everything that is not a slice.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_QUEUE_PAIR_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_QUEUE_PAIR_H_

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "plugins/rdma-verbs/device.h"
#include "plugins/rdma-verbs/stats.h"

namespace slipway::rdma {

// What a connection is set to, beyond what the connection manager finds out.
struct ConnectionLimits {
  ibv_mtu mtu = IBV_MTU_1024;
  unsigned access = 0;    // IBV_ACCESS_REMOTE_*: what the other side may do
  uint8_t reads_out = 0;  // reads that this side has under way at once
  uint8_t reads_in = 0;   // and the other side
};

// A peer is given up after three quarters of peer_timeout_ms: taking its queue pairs down belongs to that time, too.
constexpr uint64_t GiveUpNs(uint32_t peer_timeout_ms) { return uint64_t{peer_timeout_ms} * 750'000; }
// For how long at most the completions of a queue pair that is taken down are waited for.
constexpr uint64_t FlushNs(uint32_t peer_timeout_ms) {
  return std::min(uint64_t{peer_timeout_ms} * 125'000, uint64_t{500'000'000});
}

// The device's acknowledgement timer, 4.096 us * 2^exponent, and its retries. All of them together end within
// GiveUpNs().
struct AckTimer {
  uint8_t exponent = 0, retry_count = 0;
};
AckTimer AckTimerOf(const Config& config, bool software_device);

// Not thread-safe: the loop's.
class QueuePair {
 public:
  QueuePair() = default;
  ~QueuePair() { Destroy(); }
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  // 0 or errno. `inline_bytes` is what is wanted: inline_bytes() says what it became.
  int Make(const Device& device, ibv_cq* send_cq, ibv_cq* receive_cq, uint32_t depth, uint32_t inline_bytes);
  // 0 or errno: through the states to where it sends and receives, over the connection of `id`.
  int Connect(rdma_cm_id* id, const Config& config, const ConnectionLimits& limits);
  // Every work request completes, with an error where it was not carried out.
  void Break();
  // After it the device touches no memory on behalf of it. Idempotent.
  void Destroy();
  // A place for one message of the other side's, without any bytes; its completion is `wr_id`. 0 or errno.
  int Receive(uint64_t wr_id);
  // A message without any bytes, which the other side's device acknowledges. 0 or errno.
  int Probe(uint64_t wr_id);

  ibv_qp* qp() const { return qp_; }
  uint32_t number() const { return qp_ == nullptr ? 0 : qp_->qp_num; }
  uint32_t depth() const { return depth_; }
  uint32_t inline_bytes() const { return inline_bytes_; }

 private:
  const Device* device_ = nullptr;
  ibv_qp* qp_ = nullptr;
  uint32_t depth_ = 0, inline_bytes_ = 0;
};

// Whose keep-alive messages complete on a ControlQueue. On the loop's thread.
class ControlUser {
 public:
  virtual void OnControl(const ibv_wc& wc) = 0;

 protected:
  ~ControlUser() = default;
};

// A device's completion queue for keep-alive messages, looked at now and then. On the loop's thread.
class ControlQueue {
 public:
  static slipway_status Make(const Device& device, uint32_t entries, std::unique_ptr<ControlQueue>* out,
                             sdk::Error& err);
  ~ControlQueue();

  ibv_cq* cq() const { return cq_; }
  // A work request id that leads to `user` until Remove().
  uint64_t Add(ControlUser* user);
  void Remove(uint64_t id) { users_.erase(id); }
  void Poll();

 private:
  ControlQueue(const Device& device, ibv_cq* cq) : device_(device), cq_(cq) {}

  const Device& device_;
  ibv_cq* const cq_;
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, ControlUser*> users_;
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_QUEUE_PAIR_H_

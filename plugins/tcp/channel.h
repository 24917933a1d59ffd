// Where completions wait for the core. A slice is submitted on one and completes there.
#ifndef SLIPWAY_PLUGINS_TCP_CHANNEL_H_
#define SLIPWAY_PLUGINS_TCP_CHANNEL_H_

#include <atomic>
#include <vector>

#include "slipway/sdk/transport.hpp"

namespace slipway::tcp {

class TcpInstance;

inline constexpr uint32_t kChannelsMax = 64;

// The channels whose core is to be woken once a lock is released: one bit each.
class WakeSet {
 public:
  // False when it was there already.
  bool Add(uint32_t channel_index) {
    const uint64_t bit = uint64_t{1} << channel_index;
    const bool added = (bits_ & bit) == 0;
    bits_ |= bit;
    return added;
  }
  uint64_t Take() { return std::exchange(bits_, 0); }

 private:
  uint64_t bits_ = 0;
};

class TcpChannel : public sdk::Channel {
 public:
  // `index`: below kChannelsMax, the instance's to give and take back. Throws bad_alloc.
  TcpChannel(TcpInstance* owner, uint32_t index, void* cookie, uint32_t inflight_max);
  ~TcpChannel() override;
  // Before anything else, where the instance has CAP_EVENT_FD. 0, or errno.
  int OpenEventFd();

  slipway_status Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) override;
  slipway_status Poll(sdk::Completions& out) override;
  slipway_status Cancel(uint64_t token) override;
  int EventFd() override { return event_fd_; }

  // [any] Queues a completion; never blocks, never allocates. Since the core bounds what it has in flight, there is
  // room. Where the core may be asleep it adds the channel to `wakes`: WakeCore() must then be called once, soon, with
  // no lock held.
  void Push(uint64_t token, slipway_status status, uint64_t bytes, int32_t native, WakeSet* wakes)
      SLIPWAY_EXCLUDES(mutex_);
  void WakeCore();
  // Instead of WakeCore, by the thread that is about to poll.
  void NeedNotWake();

  uint32_t index() const { return index_; }

 private:
  void Ring();
  struct Entry {
    uint64_t token, bytes;
    slipway_status status;
    int32_t native;
  };

  // Constant after construction.
  TcpInstance* const owner_;
  const uint32_t index_;
  void* const cookie_;
  const uint32_t mask_;
  int event_fd_ = -1;  // an epoll set of bell_fd_ and the direct lanes; -1: the core is woken by a call
  int bell_fd_ = -1;

  std::atomic<bool> rung_{false};    // bell_fd_ is readable, or about to be
  std::atomic<uint32_t> waking_{0};  // in a WakeSet, and WakeCore() has not returned
  std::atomic<uint32_t> ready_{0};   // completions queued; written under the mutex

  Mutex mutex_;
  std::vector<Entry> ring_ SLIPWAY_GUARDED_BY(mutex_);  // of constant size
  uint32_t head_ SLIPWAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_CHANNEL_H_

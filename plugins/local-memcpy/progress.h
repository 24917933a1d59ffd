// Where slices are copied: the submitting thread does the short ones, a few threads share out the long ones.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_PROGRESS_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_PROGRESS_H_

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "plugins/local-memcpy/config.h"
#include "plugins/local-memcpy/memory.h"
#include "plugins/local-memcpy/wire.h"
#include "slipway/abi/direct.h"
#include "slipway/sdk/plugin.hpp"

namespace slipway::local_memcpy {

class DeviceCopies;
class LocalChannel;
class LocalInstance;
class LocalRemote;

class OpList;

// One accepted slice. It is in exactly one place: its channel's free list, one of the pool's lists or in the hands of
// copying threads (guarded by the pool's mutex), or its channel's list of completions.
struct Op {
  LocalChannel* channel = nullptr;
  LocalRemote* remote = nullptr;
  uint64_t token = 0, length = 0;
  char* local = nullptr;
  uint64_t remote_offset = 0;
  char* to = nullptr;  // NULL on the peer's side where that is another process's private memory
  const char* from = nullptr;
  uint64_t to_kind = SLIPWAY_MEM_HOST, from_kind = SLIPWAY_MEM_HOST;
  bool read = false, overlaps = false, streaming = false;
  OpList* list = nullptr;  // of the pool's, that it is in
  uint32_t running = 0;    // threads that copy a piece of it now
  uint64_t claimed = 0;    // bytes that a thread has taken or that will not be copied any more
  uint64_t copied = 0;
  slipway_status status = SLIPWAY_OK;
  int32_t native = 0;
  Op *prev = nullptr, *next = nullptr;
};

// A doubly linked list through Op::prev and next.
class OpList {
 public:
  bool empty() const { return head_ == nullptr; }
  Op* front() const { return head_; }
  void PushBack(Op& op);
  void Remove(Op& op);
  Op* PopFront();
  void Append(OpList& other);  // leaves `other` empty

 private:
  Op *head_ = nullptr, *tail_ = nullptr;
};

struct Counters {
  std::atomic<uint64_t> slices{0}, inline_slices{0}, device_slices{0}, bytes_read{0}, bytes_written{0}, pieces{0},
      canceled{0}, failed{0};
};

// The threads of one instance. They take turns between the slices in the queue, a piece at a time, so that a long one
// does not hold up the others.
class Pool {
 public:
  Pool(const Config& config, const sdk::Host& host, Counters& counters);
  ~Pool() { Stop(); }

  void Start();  // throws std::system_error when the system refuses a thread; Stop() cleans up

  // Some remotes are not pending any more: what waited for them goes on.
  void LookAtWaiting() SLIPWAY_EXCLUDES(mutex_);
  // Takes every op of the list. False, with the list untouched, after Close().
  bool Enqueue(OpList& ops) SLIPWAY_EXCLUDES(mutex_);
  // Ends the queued ops of `channel` (any channel: NULL) with that token (any token: NULL) as CANCELED.
  void Cancel(const LocalChannel* channel, const uint64_t* token) SLIPWAY_EXCLUDES(mutex_);
  // Accepts no more, cancels what is queued, and waits for the pieces being copied. False when some are left then.
  bool Close(uint64_t timeout_ns) SLIPWAY_EXCLUDES(mutex_);
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  // Joins the threads; slices may stay uncompleted.
  void Stop() SLIPWAY_EXCLUDES(mutex_);

 private:
  void Run(uint32_t lane) SLIPWAY_EXCLUDES(mutex_);
  uint64_t PieceLength(const Op& op) const;
  void Put(OpList& list, Op& op) SLIPWAY_REQUIRES(mutex_);
  void CopyPiece(Op& op, uint64_t offset, uint64_t length, uint32_t lane) SLIPWAY_REQUIRES(mutex_);
  void CancelIn(OpList& list, const LocalChannel* channel, const uint64_t* token, OpList& done)
      SLIPWAY_REQUIRES(mutex_);
  void EndEarly(Op& op, slipway_status status) SLIPWAY_REQUIRES(mutex_);

  const Config config_;
  const sdk::Host host_;
  Counters& counters_;
  std::vector<std::thread> threads_;  // touched by Start() and Stop() alone
  std::atomic<bool> closed_{false};
  Mutex mutex_;
  CondVar work_;
  OpList queue_ SLIPWAY_GUARDED_BY(mutex_);
  OpList waiting_ SLIPWAY_GUARDED_BY(mutex_);            // for remotes that are pending
  uint64_t outstanding_ SLIPWAY_GUARDED_BY(mutex_) = 0;  // enqueued and not completed
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

// See sdk::Channel. Allocates nothing after it was made.
class LocalChannel final : public sdk::Channel {
 public:
  // `lane`: its own among those of wire.h. `devices` is null where the host copies host memory alone.
  LocalChannel(LocalInstance& owner, void* cookie, uint32_t lane, std::unique_ptr<DeviceCopies> devices);
  ~LocalChannel() override;

  slipway_status Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) override;
  slipway_status Poll(sdk::Completions& out) override;
  slipway_status Cancel(uint64_t token) override;

  // As slipway/abi/direct.h says.
  slipway_status Enter(LocalRemote& remote, bool hold, slipway_direct_view& out) SLIPWAY_EXCLUDES(mutex_);
  void Leave(LocalRemote& remote, bool hold, const slipway_direct_use& use) SLIPWAY_EXCLUDES(mutex_);

  // Makes completions of the ops, which their copying is done with, and wakes the core if there were none before. Any
  // thread.
  void Complete(OpList& ops) SLIPWAY_EXCLUDES(mutex_);
  // Ends copies of devices' memory, and waits until the core has left what it entered; false when some are left at
  // `deadline_ns` of the host's clock.
  bool FinishDevices(uint64_t deadline_ns) SLIPWAY_EXCLUDES(mutex_);
  // The same, and what is left then is not waited for any more.
  void AbandonDevices(uint64_t deadline_ns) SLIPWAY_EXCLUDES(mutex_);
  uint32_t lane() const { return lane_; }

  // What the core copied itself, while it had entered; read by any thread.
  struct Direct {
    std::atomic<uint64_t> brief{0}, held{0}, bytes_read{0}, bytes_written{0};
  };
  Direct direct;

  // Waits for a submit() in progress on another thread.
  void WaitForSubmit() SLIPWAY_EXCLUDES(submit_mutex_) { MutexLock lock(submit_mutex_); }

 private:
  void Prepare(Op& op, const slipway_slice& slice);
  void CopyNow(Op& op) const;
  void Account(const OpList& ops);

  LocalInstance& owner_;
  void* const cookie_;
  const uint32_t lane_;
  const std::unique_ptr<DeviceCopies> devices_;
  const sdk::ForkGuard fork_guard_;
  std::vector<Op> ops_;
  Mutex submit_mutex_;
  Mutex mutex_;
  CondVar woken_;
  OpList free_ SLIPWAY_GUARDED_BY(mutex_);
  OpList done_ SLIPWAY_GUARDED_BY(mutex_);
  uint32_t waking_ SLIPWAY_GUARDED_BY(mutex_) = 0;             // threads that use the cookie now
  std::atomic<uint32_t> entered_{0};                           // by the core
  std::vector<LocalRemote*> held_ SLIPWAY_GUARDED_BY(mutex_);  // of those, for long; each as often as it was entered
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_PROGRESS_H_

// The threads of an instance. They copy between the ring and pageable memory, and see to it that what flies on streams
// is noticed when nobody polls.
#ifndef SLIPWAY_PLUGINS_CUDA_COPIERS_H_
#define SLIPWAY_PLUGINS_CUDA_COPIERS_H_

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "plugins/cuda/lane.h"
#include "plugins/cuda/ring.h"
#include "plugins/cuda/sleepers.h"
#include "slipway/sdk/host.hpp"

namespace slipway::cuda {

class CudaQueue;

// Down: a chunk is issued to a stream, lands, is copied out portion by portion, and is free again. Up: it is filled
// portion by portion, issued, lands, and is free again. Lanes that wait for chunks take turns, a chunk at a time, so
// that a long copy does not hold up the others.
//
// Locks are taken in the order: a queue's, then this one's.
class Copiers {
 public:
  Copiers(const Driver& driver, sdk::Host host, const Config& config, Ring& ring, Counters& counters);
  ~Copiers() { Stop(); }

  void Start();  // throws std::system_error when the system refuses a thread; Stop() cleans up
  // Waits up to `timeout_ns` for what is under way, then joins the threads. Whether all of it came to an end.
  bool Drain(uint64_t timeout_ns);
  void Stop() SLIPWAY_EXCLUDES(mutex_);

  void Add(CudaQueue& queue) SLIPWAY_EXCLUDES(mutex_);
  // No thread looks at the queue afterwards.
  void Remove(CudaQueue& queue) SLIPWAY_EXCLUDES(mutex_);

  // Pageable pieces, linked through Op::next, whose host, device and left are set. The context of the lane is current.
  // With `inline_bytes` of them at most and a chunk at hand, this thread copies.
  void Copy(Lane& lane, Op* first, Op* last, uint64_t bytes) SLIPWAY_EXCLUDES(mutex_);
  // A chunk of a flight that is over, and those that went with it, with their results set. `wake`: the core is told of
  // what completes with it.
  void Landed(Chunk& chunk, bool wake) SLIPWAY_EXCLUDES(mutex_);
  // For who polls: copies one portion of a chunk of the queue's, if there is one to copy.
  void Help(CudaQueue& queue) SLIPWAY_EXCLUDES(mutex_);
  // Whether a thread looks at the streams now.
  bool watching() const { return watching_.load(); }
  // A flight more, or fewer, is on a stream; whether it is that of a chunk that threads will copy.
  void Launched(bool chunk);
  void Ended(bool chunk);

 private:
  static constexpr uint32_t kPumpAfterChunk = 2;
  // Filling the ring takes more threads than emptying it with streaming stores does, where more are in each other's
  // way.
  static constexpr uint32_t kThreadsDown = 6;

  void Run() SLIPWAY_EXCLUDES(mutex_);
  // Of the threads beyond those: they fill chunks that go up, and do nothing else.
  void RunUp() SLIPWAY_EXCLUDES(mutex_);
  // Looks at the streams until there is something to copy, or nothing flies any more.
  void Watch() SLIPWAY_EXCLUDES(mutex_);
  bool HarvestQueues() SLIPWAY_EXCLUDES(mutex_);
  void SpinForWork() const;
  void SpinForUp() const;

  // Copies a portion of a chunk, where there is one to copy; of one that goes up, for `up_only`.
  bool CopyOne(bool up_only) SLIPWAY_EXCLUDES(mutex_);
  Chunk* Claim(uint32_t& portion) SLIPWAY_REQUIRES(mutex_);
  void CopyPortion(const Chunk& chunk, uint32_t portion) const;
  void PortionDone(Chunk& chunk, bool wake) SLIPWAY_EXCLUDES(mutex_);
  // Where there is no ring: a piece for the driver to copy.
  bool PlainWaits() SLIPWAY_EXCLUDES(mutex_);
  bool CopyOnePlain() SLIPWAY_EXCLUDES(mutex_);
  Op* ClaimPlain(Lane*& lane) SLIPWAY_REQUIRES(mutex_);
  void CopyPlain(Lane& lane, Op& op) SLIPWAY_EXCLUDES(mutex_);

  void List(Lane& lane) SLIPWAY_REQUIRES(mutex_);
  void Unlist(Lane& lane) SLIPWAY_REQUIRES(mutex_);
  Chunk* TakeChunk(Lane& lane) SLIPWAY_REQUIRES(mutex_);
  void FillParts(Chunk& chunk) SLIPWAY_REQUIRES(mutex_);
  void MakeReady(Chunk& chunk) SLIPWAY_REQUIRES(mutex_);
  // Threads for so many portions, where that many sleep.
  void Wake(uint32_t portions, bool up);
  uint64_t ChunkBytes(const Lane& lane) const;
  // Gives chunks to the lanes that wait, at most `count` of them.
  void Pump(uint32_t count) SLIPWAY_EXCLUDES(mutex_);
  void AddFilled(Chunk& chunk) SLIPWAY_REQUIRES(mutex_);
  // What goes up next, by Chunk::with. NULL: nothing is filled, or enough flies.
  Chunk* TakeFilled(Lane& lane) SLIPWAY_REQUIRES(mutex_);
  void IssueFilled(Lane& lane, bool wake) SLIPWAY_EXCLUDES(mutex_);
  // With those that go with it. False when they could not be put on the stream; they are over then.
  bool Issue(Chunk& chunk, bool wake) SLIPWAY_EXCLUDES(mutex_);
  void LandedUp(Chunk& chunk, bool wake) SLIPWAY_EXCLUDES(mutex_);
  void Finish(Chunk& chunk, bool wake) SLIPWAY_EXCLUDES(mutex_);
  void FailWaiting(Lane& lane, Result result) SLIPWAY_EXCLUDES(mutex_);

  const Driver& driver_;
  const sdk::Host host_;
  const Config& config_;
  Ring& ring_;
  Counters& counters_;

  std::vector<std::thread> threads_;  // touched by Start() and Stop() alone
  std::atomic<bool> stopping_{false};
  std::atomic<uint32_t> flights_{0}, chunk_flights_{0};
  std::atomic<uint32_t> ready_portions_{0};  // that nobody has claimed
  std::atomic<uint32_t> ready_up_{0};        // of these, those of chunks that go up
  std::atomic<uint32_t> busy_up_{0};         // chunks in use that go up
  std::atomic<bool> watching_{false};        // a thread is in Watch()

  Sleepers sleepers_, sleepers_up_;

  Mutex mutex_;                    // taken with a BriefLock
  std::atomic<uint32_t> busy_{0};  // chunks in use, and pieces that the driver copies; changed under the mutex
  Chunk* free_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;  // the last used first, which the caches still hold
  Chunk *ready_first_ SLIPWAY_GUARDED_BY(mutex_) = nullptr, *ready_last_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  Lane *waiting_first_ SLIPWAY_GUARDED_BY(mutex_) = nullptr, *waiting_last_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  std::vector<CudaQueue*> queues_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_COPIERS_H_

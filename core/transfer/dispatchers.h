// Several dispatchers of one engine, so that threads that submit share no lock: each thread has one, and threads share
// one only when there are more of them than dispatchers.
#ifndef SLIPWAY_CORE_TRANSFER_DISPATCHERS_H_
#define SLIPWAY_CORE_TRANSFER_DISPATCHERS_H_

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/transfer/dispatcher.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

class Dispatchers;

// A segment that the application opened. A dispatcher opens it when a thread of its first uses it. Constant but for
// that.
class SharedSegment {
 public:
  uint64_t length() const { return target_.length; }
  Locality locality() const { return target_.locality; }

 private:
  friend class Dispatchers;
  static constexpr size_t kMost = 64;

  explicit SharedSegment(const SegmentTarget& target) : target_(target) {}

  const SegmentTarget target_;
  std::array<std::atomic<RemoteSegment*>, kMost> opened_{};  // by dispatcher
};

// Thread-safe.
class Dispatchers {
 public:
  static constexpr size_t kMost = SharedSegment::kMost;

  // At most `count`, 1 to kMost. What `parts` points to outlives them.
  Dispatchers(const Dispatcher::Parts& parts, size_t count);

  // The first; the others are started when a thread needs them.
  Status Start() SLIPWAY_EXCLUDES(mutex_);
  void Stop() SLIPWAY_EXCLUDES(mutex_);  // all; see Dispatcher::Stop

  Result<std::unique_ptr<SharedSegment>> Open(const SegmentTarget& target);
  void Close(std::unique_ptr<SharedSegment> segment);

  // The calling thread's. One that cannot be started, where a transport has no more channels say, is replaced by the
  // first.
  size_t Mine() SLIPWAY_EXCLUDES(mutex_);
  Dispatcher& operator[](size_t i) { return *all_[i]; }
  // The segment as that dispatcher knows it.
  Result<RemoteSegment*> In(SharedSegment& segment, size_t i) {
    RemoteSegment* const opened = segment.opened_[i].load(std::memory_order_acquire);
    if (opened != nullptr) return opened;
    return OpenIn(segment, i);
  }
  // Null where it is not open there yet.
  static RemoteSegment* OpenedIn(const SharedSegment& segment, size_t i) {
    return segment.opened_[i].load(std::memory_order_acquire);
  }

  // As of one dispatcher, for all of them.
  bool WaitRangeIdle(uint64_t begin, uint64_t bytes, uint64_t timeout_ns);
  std::vector<Dispatcher::LinkView> Links();
  // The one whose channel or queue was opened with that cookie; any other cookie: all.
  void Wake(const void* cookie);

 private:
  enum class State : uint8_t { kIdle, kStarted, kRefused };

  Result<RemoteSegment*> OpenIn(SharedSegment& segment, size_t i) SLIPWAY_EXCLUDES(mutex_);
  size_t Assign() SLIPWAY_EXCLUDES(mutex_);

  const uint64_t id_;  // among all that this process has ever had
  const Clock& clock_;
  Logger& log_;
  std::vector<std::unique_ptr<Dispatcher>> all_;
  Mutex mutex_;
  std::vector<State> states_ SLIPWAY_GUARDED_BY(mutex_);
  std::unordered_map<std::thread::id, size_t> by_thread_ SLIPWAY_GUARDED_BY(mutex_);
  bool stopped_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_DISPATCHERS_H_

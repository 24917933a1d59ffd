// Copies between user memory and staging on threads of its own, so that a large copy holds nobody up.
#ifndef SLIPWAY_CORE_MEMORY_HOST_COPIER_H_
#define SLIPWAY_CORE_MEMORY_HOST_COPIER_H_

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

// One copy between host addresses; the caller's, and must stay until it comes back from Drain().
struct CopyJob {
  void* dst = nullptr;
  const void* src = nullptr;
  uint64_t length = 0;
  uint64_t took_ns = 0;     // how long the copy took, by the copier's clock; 0 where it has none
  CopyJob* next = nullptr;  // the copier's
};

// Thread-safe. With 0 threads copies run inside Submit(); they are started with the first copy.
class HostCopier {
 public:
  // `wake` is called, from a copying thread, when Drain() has something after having had nothing.
  HostCopier(uint64_t threads, std::function<void()> wake, const Clock* clock = nullptr);
  ~HostCopier();  // finishes what was submitted

  void Submit(CopyJob* job) SLIPWAY_EXCLUDES(mutex_);
  // The finished jobs, as a list through `next`; null when there is none.
  CopyJob* Drain() SLIPWAY_EXCLUDES(mutex_);

 private:
  void Run() SLIPWAY_EXCLUDES(mutex_);

  const uint64_t thread_count_;
  const std::function<void()> wake_;
  const Clock* const clock_;
  Mutex mutex_;
  CondVar work_;
  CopyJob* first_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  CopyJob* last_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  CopyJob* finished_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_HOST_COPIER_H_

// Host memory that is about to be unpinned, and the copies that may still use it.
#ifndef SLIPWAY_PLUGINS_CUDA_UNPINNING_H_
#define SLIPWAY_PLUGINS_CUDA_UNPINNING_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "plugins/cuda/driver_api.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway::cuda {

class CudaQueue;

// Of the whole process: what one instance pinned, the driver lets the queues of all instances copy directly.
// Thread-safe.
class Unpinning {
 public:
  static Unpinning& Get();

  void Add(CudaQueue& queue) SLIPWAY_EXCLUDES(mutex_);
  void Remove(CudaQueue& queue) SLIPWAY_EXCLUDES(mutex_);
  // Calls `unpin` where no copy in flight uses [begin, begin + length), which devices call by addresses that are
  // `delta` higher. What is submitted meanwhile takes the range for pageable. False, and not called, where some copy
  // does.
  bool Run(uintptr_t begin, uint64_t length, DeviceAddress delta, const std::function<void()>& unpin)
      SLIPWAY_EXCLUDES(mutex_);
  // For who submits, between the queue's submission having begun and its end: no longer to be counted as pinned.
  bool Holds(uintptr_t at) const { return at < end_.load() && at >= begin_.load(); }

 private:
  Mutex mutex_;
  std::vector<CudaQueue*> queues_ SLIPWAY_GUARDED_BY(mutex_);
  std::atomic<uintptr_t> begin_{0}, end_{0};  // of the one range; written under the mutex
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_UNPINNING_H_

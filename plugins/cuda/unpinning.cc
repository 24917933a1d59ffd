#include "plugins/cuda/unpinning.h"

#include <algorithm>

#include "plugins/cuda/queue.h"
#include "slipway/sdk/process_wide.hpp"

namespace slipway::cuda {
namespace {

sdk::ProcessWide<Unpinning> of_this_process;

}  // namespace

Unpinning& Unpinning::Get() { return of_this_process.Get(); }

void Unpinning::Add(CudaQueue& queue) {
  MutexLock lock(mutex_);
  queues_.push_back(&queue);
}

void Unpinning::Remove(CudaQueue& queue) {
  MutexLock lock(mutex_);
  std::erase(queues_, &queue);
}

bool Unpinning::Run(uintptr_t begin, uint64_t length, DeviceAddress delta, const std::function<void()>& unpin) {
  MutexLock lock(mutex_);
  // Sequentially consistent, as is the beginning of a submission: it either sees the range here, or is seen below.
  begin_.store(begin);
  end_.store(begin + length);
  bool used = false;
  for (CudaQueue* queue : queues_) {
    queue->AwaitSubmission();
    used = used || queue->Uses(begin + delta, begin + delta + length);
  }
  if (!used) unpin();
  end_.store(0);
  return !used;
}

}  // namespace slipway::cuda

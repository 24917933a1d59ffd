// Threads made when there is work, and let go when there is none.
#ifndef SLIPWAY_CORE_CONTROL_WORKER_POOL_H_
#define SLIPWAY_CORE_CONTROL_WORKER_POOL_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <thread>
#include <vector>

#include "slipway/sdk/mutex.hpp"

namespace slipway {

// Thread-safe. Its owner bounds the number of tasks that are submitted and not yet done.
class WorkerPool {
 public:
  explicit WorkerPool(size_t max_threads) : max_threads_(max_threads) {}
  ~WorkerPool() { Stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False when there is no thread to run the task, and none can be made, or the pool was stopped; the task is then
  // dropped. A task must not throw.
  bool Submit(std::function<void()> task);
  // Drops tasks that have not begun and waits for those that have.
  void Stop();

  size_t threads() const;

 private:
  using Threads = std::list<std::thread>;

  void Work(Threads::iterator self);

  const size_t max_threads_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ SLIPWAY_GUARDED_BY(mutex_);
  Threads threads_ SLIPWAY_GUARDED_BY(mutex_);
  Threads finished_ SLIPWAY_GUARDED_BY(mutex_);  // have only their return left to do
  size_t waiting_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  bool stopped_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_WORKER_POOL_H_

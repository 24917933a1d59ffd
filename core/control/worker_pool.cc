#include "core/control/worker_pool.h"

#include <system_error>

#include "core/control/quiet_thread.h"

namespace slipway {
namespace {

constexpr std::chrono::seconds kIdleThreadLife{10};

void JoinAll(std::list<std::thread>& threads) {
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

bool WorkerPool::Submit(std::function<void()> task) {
  Threads finished;
  bool accepted = true;
  {
    MutexLock lock(mutex_);
    finished.swap(finished_);
    if (stopped_) {
      accepted = false;
    } else {
      tasks_.push_back(std::move(task));
      if (waiting_ < tasks_.size() && threads_.size() < max_threads_) {
        threads_.emplace_back();
        const Threads::iterator self = std::prev(threads_.end());
        try {
          *self = QuietThread([this, self] { Work(self); });
        } catch (const std::system_error&) {
          threads_.erase(self);
          accepted = !threads_.empty();  // the others will come to it
          if (!accepted) tasks_.pop_back();
        }
      }
      if (accepted) changed_.NotifyOne();
    }
  }
  JoinAll(finished);
  return accepted;
}

void WorkerPool::Work(Threads::iterator self) {
  MutexLock lock(mutex_);
  for (;;) {
    bool rested = false;
    while (tasks_.empty() && !stopped_ && !rested) {
      ++waiting_;
      rested = !changed_.WaitFor(mutex_, kIdleThreadLife);
      --waiting_;
    }
    if (stopped_) return;  // Stop joins
    if (tasks_.empty()) break;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.Unlock();
    task();
    task = nullptr;
    lock.Lock();
  }
  finished_.splice(finished_.end(), threads_, self);
}

void WorkerPool::Stop() {
  Threads threads, finished;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    tasks_.clear();
    threads.swap(threads_);
    finished.swap(finished_);
    changed_.NotifyAll();
  }
  JoinAll(threads);
  JoinAll(finished);
}

size_t WorkerPool::threads() const {
  MutexLock lock(mutex_);
  return threads_.size();
}

}  // namespace slipway

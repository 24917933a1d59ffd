// Copies between host memory that the store makes itself: by the calling thread, or by several for long values.
#ifndef SLIPWAY_CORE_STORE_HOST_COPY_H_
#define SLIPWAY_CORE_STORE_HOST_COPY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "slipway/sdk/mutex.hpp"

namespace slipway {

// As memcpy. For what will not be read again soon: long copies go past the caches.
void StreamCopy(void* to, const void* from, size_t bytes);

// Threads that share one job at a time with the thread that brings it. Thread-safe; threads are made at first use.
class CopyTeam {
 public:
  // `threads` counts the caller's; 0: one a core, at most 4.
  explicit CopyTeam(size_t threads);
  ~CopyTeam();
  CopyTeam(const CopyTeam&) = delete;
  CopyTeam& operator=(const CopyTeam&) = delete;

  // Calls work(0) .. work(count - 1), each once, in any order, from the calling thread and others; returns when all
  // are done. While the team has another job, the calling thread does it alone. `work` must not throw.
  void Run(uint64_t count, const std::function<void(uint64_t)>& work) SLIPWAY_EXCLUDES(job_mutex_, mutex_);

  size_t threads() const { return helpers_wanted_ + 1; }

 private:
  struct Job {
    uint64_t count = 0;
    const std::function<void(uint64_t)>* work = nullptr;
    std::atomic<uint64_t> next{0};
    size_t helpers = 0;  // working on it; guarded by mutex_
  };

  void Help() SLIPWAY_EXCLUDES(mutex_);
  static void WorkOn(Job& job);

  const size_t helpers_wanted_;
  Mutex job_mutex_;  // held while a job is shared
  Mutex mutex_;
  CondVar changed_;
  Job* job_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  uint64_t jobs_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> helpers_ SLIPWAY_GUARDED_BY(job_mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_HOST_COPY_H_

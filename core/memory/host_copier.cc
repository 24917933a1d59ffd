#include "core/memory/host_copier.h"

#include <system_error>
#include <utility>

#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {

HostCopier::HostCopier(uint64_t threads, std::function<void()> wake, const Clock* clock)
    : thread_count_(threads), wake_(std::move(wake)), clock_(clock) {}

HostCopier::~HostCopier() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  work_.NotifyAll();
  for (std::thread& t : threads) t.join();
}

void HostCopier::Submit(CopyJob* job) {
  MutexLock lock(mutex_);
  try {
    while (threads_.size() < thread_count_) threads_.emplace_back([this] { Run(); });
  } catch (const std::system_error&) {  // as many as there are
  }
  if (threads_.empty()) {
    lock.Unlock();
    sdk::CopyBytes(job->dst, job->src, job->length);
    lock.Lock();
    job->next = std::exchange(finished_, job);
    return;
  }
  job->next = nullptr;
  (first_ == nullptr ? first_ : last_->next) = job;
  last_ = job;
  work_.NotifyOne();
}

CopyJob* HostCopier::Drain() {
  MutexLock lock(mutex_);
  return std::exchange(finished_, nullptr);
}

void HostCopier::Run() {
  MutexLock lock(mutex_);
  for (;;) {
    while (first_ == nullptr && !stopping_) work_.Wait(mutex_);
    if (first_ == nullptr) return;
    CopyJob* job = first_;
    first_ = job->next;
    lock.Unlock();
    const uint64_t begin_ns = clock_ == nullptr ? 0 : clock_->NowNs();
    sdk::CopyBytes(job->dst, job->src, job->length);
    job->took_ns = clock_ == nullptr ? 0 : clock_->NowNs() - begin_ns;
    lock.Lock();
    const bool was_empty = finished_ == nullptr;
    job->next = std::exchange(finished_, job);
    if (!was_empty) continue;
    lock.Unlock();
    wake_();
    lock.Lock();
  }
}

}  // namespace slipway

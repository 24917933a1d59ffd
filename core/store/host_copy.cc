#include "core/store/host_copy.h"

#include <algorithm>
#include <cstring>
#include <system_error>

#include "core/control/quiet_thread.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace slipway {

void StreamCopy(void* to, const void* from, size_t bytes) {
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
  constexpr size_t kLine = 64;
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  const size_t head = std::min(bytes, (kLine - reinterpret_cast<uintptr_t>(out) % kLine) % kLine);
  std::memcpy(out, in, head);
  out += head;
  in += head;
  bytes -= head;
  for (; bytes >= kLine; bytes -= kLine, in += kLine, out += kLine) {
    const auto* source = reinterpret_cast<const __m128i*>(in);
    auto* target = reinterpret_cast<__m128i*>(out);
    const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
  }
  std::memcpy(out, in, bytes);
  _mm_sfence();  // what follows in this thread, and with it whoever it tells, sees the bytes
#else
  std::memcpy(to, from, bytes);
#endif
}

CopyTeam::CopyTeam(size_t threads)
    : helpers_wanted_((threads > 0 ? threads : std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 4)) - 1) {}

CopyTeam::~CopyTeam() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  MutexLock job(job_mutex_);
  for (std::thread& helper : helpers_) helper.join();
}

void CopyTeam::WorkOn(Job& job) {
  for (;;) {
    const uint64_t at = job.next.fetch_add(1, std::memory_order_relaxed);
    if (at >= job.count) return;
    (*job.work)(at);
  }
}

void CopyTeam::Run(uint64_t count, const std::function<void(uint64_t)>& work) {
  Job job;
  job.count = count;
  job.work = &work;
  if (count < 2 || helpers_wanted_ == 0 || !job_mutex_.TryLock()) {
    WorkOn(job);
    return;
  }
  try {
    while (helpers_.size() < helpers_wanted_) helpers_.push_back(QuietThread([this] { Help(); }));
  } catch (const std::system_error&) {
    // As many as the system has to give.
  }
  {
    MutexLock lock(mutex_);
    job_ = &job;
    ++jobs_;
  }
  changed_.NotifyAll();
  WorkOn(job);
  {
    MutexLock lock(mutex_);
    job_ = nullptr;  // nobody joins any more
    while (job.helpers > 0) changed_.Wait(mutex_);
  }
  job_mutex_.Unlock();
}

void CopyTeam::Help() {
  uint64_t seen = 0;
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (job_ == nullptr || jobs_ == seen) {
      changed_.Wait(mutex_);
      continue;
    }
    seen = jobs_;
    Job* const job = job_;
    ++job->helpers;
    lock.Unlock();
    WorkOn(*job);
    lock.Lock();
    if (--job->helpers == 0) changed_.NotifyAll();
  }
}

}  // namespace slipway

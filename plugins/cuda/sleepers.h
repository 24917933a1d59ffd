// Where threads sleep until there is work, and a lock that is taken without sleeping.
#ifndef SLIPWAY_PLUGINS_CUDA_SLEEPERS_H_
#define SLIPWAY_PLUGINS_CUDA_SLEEPERS_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "slipway/sdk/mutex.hpp"

namespace slipway::cuda {

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Threads that are woken together take no lock on their way out, as they would from a condition variable: there they
// queue for it, asleep again. Thread-safe.
class Sleepers {
 public:
  // Taken before looking for work: who finds none sleeps with it, unless somebody was woken meanwhile.
  uint32_t Ticket() const { return wakes_.load(); }
  // At most so long; NULL: until woken. May return early.
  void Sleep(uint32_t ticket, const std::chrono::microseconds* at_most);
  // So many of them, after there is work.
  void Wake(uint32_t count);

 private:
  std::atomic<uint32_t> wakes_{0}, sleeping_{0};
};

// Holds, for a scope, a mutex that others hold for moments only: sleeping takes longer than waiting for it does.
class SLIPWAY_TSA(scoped_lockable) BriefLock {
 public:
  explicit BriefLock(Mutex& mutex) SLIPWAY_ACQUIRE(mutex) SLIPWAY_NO_TSA : mutex_(mutex) {
    for (int i = 0; i < kLooks; ++i) {
      if (mutex_.TryLock()) return;
      Pause();
    }
    mutex_.Lock();  // its holder has lost its processor
  }
  ~BriefLock() SLIPWAY_RELEASE() { mutex_.Unlock(); }
  BriefLock(const BriefLock&) = delete;
  BriefLock& operator=(const BriefLock&) = delete;

 private:
  static constexpr int kLooks = 200;
  Mutex& mutex_;
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_SLEEPERS_H_

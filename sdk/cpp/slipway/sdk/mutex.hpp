// A mutex that clang's thread-safety analysis understands (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html), its
// lock, and a condition variable. Used by the core and by plugins; with other compilers the annotations vanish.
#ifndef SLIPWAY_SDK_MUTEX_HPP_
#define SLIPWAY_SDK_MUTEX_HPP_

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define SLIPWAY_TSA(x) __attribute__((x))
#else
#define SLIPWAY_TSA(x)
#endif

#define SLIPWAY_GUARDED_BY(m) SLIPWAY_TSA(guarded_by(m))
#define SLIPWAY_PT_GUARDED_BY(m) SLIPWAY_TSA(pt_guarded_by(m))
#define SLIPWAY_REQUIRES(...) SLIPWAY_TSA(requires_capability(__VA_ARGS__))
#define SLIPWAY_EXCLUDES(...) SLIPWAY_TSA(locks_excluded(__VA_ARGS__))
#define SLIPWAY_ACQUIRE(...) SLIPWAY_TSA(acquire_capability(__VA_ARGS__))
#define SLIPWAY_RELEASE(...) SLIPWAY_TSA(release_capability(__VA_ARGS__))
#define SLIPWAY_TRY_ACQUIRE(...) SLIPWAY_TSA(try_acquire_capability(__VA_ARGS__))
#define SLIPWAY_NO_TSA SLIPWAY_TSA(no_thread_safety_analysis)

namespace slipway {

class SLIPWAY_TSA(capability("mutex")) Mutex {
 public:
  void Lock() SLIPWAY_ACQUIRE() { m_.lock(); }
  void Unlock() SLIPWAY_RELEASE() { m_.unlock(); }
  bool TryLock() SLIPWAY_TRY_ACQUIRE(true) { return m_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex m_;
};

// Holds a mutex for a scope; may be released early and taken again inside it.
class SLIPWAY_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& m) SLIPWAY_ACQUIRE(m) : m_(&m) { m.Lock(); }
  ~MutexLock() SLIPWAY_RELEASE() {
    if (held_) m_->Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() SLIPWAY_RELEASE() {
    held_ = false;
    m_->Unlock();
  }
  void Lock() SLIPWAY_ACQUIRE() {
    m_->Lock();
    held_ = true;
  }

 private:
  Mutex* const m_;
  bool held_ = true;
};

// Waits release and retake the mutex, which the caller holds. Spurious wake-ups happen: wait in a loop.
class CondVar {
 public:
  void Wait(Mutex& m) SLIPWAY_REQUIRES(m) {
    std::unique_lock<std::mutex> lock(m.m_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // False when `timeout` passed first.
  bool WaitFor(Mutex& m, std::chrono::nanoseconds timeout) SLIPWAY_REQUIRES(m) {
    std::unique_lock<std::mutex> lock(m.m_, std::adopt_lock);
    const bool notified = cv_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace slipway

#endif  // SLIPWAY_SDK_MUTEX_HPP_

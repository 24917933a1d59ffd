// What the driver says of an address.
#ifndef SLIPWAY_PLUGINS_CUDA_POINTERS_H_
#define SLIPWAY_PLUGINS_CUDA_POINTERS_H_

#include <array>
#include <cstdint>
#include <map>

#include "plugins/cuda/driver.h"
#include "slipway/abi/memory_provider.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway::cuda {

// What an address is, for classify(): false where it is no memory of a device (host memory too, also pinned).
bool ClassifyAddress(const Driver& driver, const void* addr, slipway_mem_info& out);

// The host memory that an instance itself has pinned, for all devices. Thread-safe.
class OwnPins {
 public:
  void Add(uintptr_t start, uint64_t length) SLIPWAY_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ends_[start] = start + length;
  }
  void Remove(uintptr_t start) SLIPWAY_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ends_.erase(start);
  }
  bool Hold(uintptr_t at) const SLIPWAY_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto next = ends_.upper_bound(at);
    return next != ends_.begin() && at < std::prev(next)->second;
  }

 private:
  mutable Mutex mutex_;
  std::map<uintptr_t, uintptr_t> ends_ SLIPWAY_GUARDED_BY(mutex_);  // by start
};

// How a run of addresses can be copied.
struct Run {
  enum Kind : uint8_t { kPageable, kPinned, kDevice };
  uintptr_t begin = 0, end = 0;  // [begin, end)
  Kind kind = kPageable;
  bool managed = false;     // of kDevice: the host may touch it too
  bool kernel = false;      // kernels in the context asked about may read and write it
  int32_t device = -1;      // of kDevice; -1: managed memory that is on no device
  DeviceAddress delta = 0;  // added to a host address: what kernels and copies call it
  bool Holds(uintptr_t at, uint64_t length) const { return at >= begin && at < end && length <= end - at; }
};

// Answers for the pieces of one submission, asking the driver once for a run and not for every piece. An answer is good
// only while the caller keeps the memory, so a cache lives as long as a submission.
class RunCache {
 public:
  RunCache(const Driver& driver, const OwnPins& pins) : driver_(&driver), pins_(&pins) {}
  // The run that `at` lies in, which reaches up to at + length at most where the driver does not tell its end. The
  // current context is what `kernel` is about. What is said to be pageable may be a guess, which serves as well for a
  // host's address and not for what should be a device's.
  const Run& FindHost(uintptr_t at, uint64_t length) { return Find(at, length, Run::kPageable); }
  const Run& FindDevice(uintptr_t at, uint64_t length) { return Find(at, length, Run::kDevice); }
  void Clear() {
    used_ = recent_ = asked_ = 0;
    runs_[0] = Run{};
  }
  uint64_t asked() const { return asked_; }  // how often the driver was asked since

 private:
  static constexpr size_t kRuns = 32;

  static bool Serves(const Run& run, uintptr_t at, Run::Kind wanted) {
    return run.Holds(at, 1) && (run.kind == Run::kDevice || wanted != Run::kDevice);
  }
  const Run& Find(uintptr_t at, uint64_t length, Run::Kind wanted) {
    const Run& recent = runs_[recent_];
    return Serves(recent, at, wanted) ? recent : Search(at, length, wanted);
  }
  const Run& Search(uintptr_t at, uint64_t length, Run::Kind wanted);
  Run Ask(uintptr_t at, uint64_t length);

  const Driver* driver_;
  const OwnPins* pins_;
  std::array<Run, kRuns> runs_;
  size_t used_ = 0, recent_ = 0;
  uint64_t asked_ = 0;
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_POINTERS_H_

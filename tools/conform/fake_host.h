// The core as a plugin sees it, made for tests: a clock that can be driven, a pin budget that can be small, and a
// record of calls that come when none may.
#ifndef SLIPWAY_TOOLS_CONFORM_FAKE_HOST_H_
#define SLIPWAY_TOOLS_CONFORM_FAKE_HOST_H_

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "slipway/abi/host.h"
#include "tools/conform/memory.h"

namespace slipway::conform {

// Thread-safe. Outlives the instance it was lent to.
class FakeHost {
 public:
  explicit FakeHost(Shape shape = Shape::kPlain);
  const slipway_host* table() const { return table_.get(); }

  // From now on a call of any entry is a violation.
  void InstanceDestroyed() { destroyed_ = true; }
  // While one is alive, this thread is inside query_registered, where the host must not be called.
  class InsideQuery {
   public:
    InsideQuery() { ++depth_; }
    ~InsideQuery() { --depth_; }

   private:
    friend class FakeHost;
    static thread_local int depth_;
  };

  std::vector<std::string> Violations() const;
  uint64_t calls() const { return calls_; }  // of all entries
  void Advance(uint64_t ns) { offset_ns_ += ns; }
  void SetPinBudget(uint64_t bytes) { pin_budget_ = bytes; }
  // Memory of alloc() that was not returned, and returned with another size than was asked for.
  uint64_t live_allocations() const;

  uint64_t Wakes(void* cookie) const;
  // True as soon as there were more than `seen` wakes.
  bool WaitForWake(void* cookie, uint64_t seen, uint64_t timeout_ms) const;

 private:
  struct Entries;
  void Called(const char* entry);

  Shaped<slipway_host> table_;
  std::atomic<bool> destroyed_{false};
  std::atomic<uint64_t> calls_{0}, offset_ns_{0}, pinned_{0}, pin_budget_{UINT64_MAX};
  mutable std::mutex mutex_;
  mutable std::condition_variable woken_;
  std::vector<std::string> violations_;
  std::map<void*, uint64_t> wakes_;
  std::map<void*, size_t> allocations_;
};

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_FAKE_HOST_H_

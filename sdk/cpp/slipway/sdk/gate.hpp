// Closing something while other threads use it: memory that peers copy to, or an instance that shuts down.
#ifndef SLIPWAY_SDK_GATE_HPP_
#define SLIPWAY_SDK_GATE_HPP_

#include <atomic>
#include <cstdint>
#include <limits>
#include <thread>

#include "slipway/sdk/host.hpp"

namespace slipway::sdk {

inline constexpr uint64_t kNoTimeoutNs = std::numeric_limits<uint64_t>::max();

// Open when made. Any number of threads are inside at once, each between an Enter() that was true and its Leave();
// whoever closes the gate waits for those inside. Thread-safe. Entering neither waits nor allocates.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // False once the gate is closed.
  bool Enter() {
    // Looked at first, so that those who go on trying do not keep Close() from seeing that nobody is inside.
    if (closed()) return false;
    if ((state_.fetch_add(1, std::memory_order_acquire) & kClosed) == 0) return true;
    Leave();
    return false;
  }
  void Leave() { state_.fetch_sub(1, std::memory_order_release); }

  // From now on nobody enters. False when somebody was still inside after `timeout_ns` of the host's clock; the gate
  // stays closed then, and this may be called again. Not from inside.
  bool Close(const Host& host, uint64_t timeout_ns) {
    state_.fetch_or(kClosed, std::memory_order_acq_rel);
    const uint64_t begin_ns = host.NowNs();
    while (state_.load(std::memory_order_acquire) != kClosed) {
      if (timeout_ns != kNoTimeoutNs && host.NowNs() - begin_ns >= timeout_ns) return false;
      std::this_thread::yield();
    }
    return true;
  }
  // As Close, but where that fails the gate is open again: what deregister_memory needs to say E_BUSY.
  bool TryClose(const Host& host, uint64_t timeout_ns) {
    if (Close(host, timeout_ns)) return true;
    state_.fetch_and(~kClosed, std::memory_order_release);
    return false;
  }
  bool closed() const { return (state_.load(std::memory_order_acquire) & kClosed) != 0; }

 private:
  static constexpr uint64_t kClosed = uint64_t{1} << 63;
  std::atomic<uint64_t> state_{0};  // how many are inside, and kClosed
};

// Inside a gate for a scope, where the gate is open: if (const Pass pass(gate); pass) ...
class Pass {
 public:
  explicit Pass(Gate& gate) : gate_(gate.Enter() ? &gate : nullptr) {}
  ~Pass() {
    if (gate_ != nullptr) gate_->Leave();
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  explicit operator bool() const { return gate_ != nullptr; }

 private:
  Gate* const gate_;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_GATE_HPP_

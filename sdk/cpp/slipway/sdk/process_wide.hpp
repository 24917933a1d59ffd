// What all instances of a plugin in one process share. That is seldom right, since two engines in a process have
// nothing to do with each other; it is for transports whose instances find each other in the process.
#ifndef SLIPWAY_SDK_PROCESS_WIDE_HPP_
#define SLIPWAY_SDK_PROCESS_WIDE_HPP_

#include <atomic>
#include <memory>

#include "slipway/sdk/host.hpp"

namespace slipway::sdk {

// One T for each process, made when it is first asked for: a forked child gets a fresh one of its own, whatever lock
// the parent held. For a variable of namespace scope: nothing runs when the plugin is loaded, and since a T is never
// destroyed, threads may go on using it while the process ends. Thread-safe; T has to be so itself.
template <typename T>
class ProcessWide {
 public:
  constexpr ProcessWide() = default;
  ProcessWide(const ProcessWide&) = delete;
  ProcessWide& operator=(const ProcessWide&) = delete;

  T& Get() {
    Held* held = current_.load(std::memory_order_acquire);
    while (held == nullptr || held->made_here.forked()) {
      auto fresh = std::make_unique<Held>();
      fresh->inherited = held;
      if (current_.compare_exchange_strong(held, fresh.get(), std::memory_order_acq_rel)) {
        return fresh.release()->object;
      }
    }
    return held->object;
  }

 private:
  struct Held {
    T object;
    const ForkGuard made_here;
    Held* inherited = nullptr;  // the parent's, so that it does not look like a leak
  };
  std::atomic<Held*> current_{nullptr};
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_PROCESS_WIDE_HPP_

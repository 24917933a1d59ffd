// Threads that help with loops over much memory, which one core alone reads at a fraction of its rate.
#ifndef SLIPWAY_CORE_BASE_HELPERS_H_
#define SLIPWAY_CORE_BASE_HELPERS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace slipway {

// They are made by the first loop, and sleep between two. A loop never waits for one to wake: the caller goes through
// it itself, and they take of it what they come in time for. Thread-safe; of two loops at once one has the helpers.
class Helpers {
 public:
  // Calls `part` with each of 0 to parts - 1 once, on several threads at a time; it does not throw. Stays where it is
  // from Begin() to Finish().
  class Loop {
   public:
    Loop(size_t parts, std::function<void(size_t)> part) : part_(std::move(part)), parts_(parts) {}
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

   private:
    friend class Helpers;
    bool Claim() { return claimed_.fetch_add(1) < parts_; }

    const std::function<void(size_t)> part_;
    const size_t parts_;
    bool helped_ = false;             // the helpers have been given it; the caller's
    std::atomic<size_t> claimed_{0};  // of all; who has claimed one takes the next at its end
    std::atomic<size_t> taken_{0};    // parts that helpers took
  };

  // A quarter of the processors that this process may use, at most three.
  static uint32_t Fitting();

  explicit Helpers(uint32_t count) : count_(count) {}
  ~Helpers();  // no loop is under way
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  // The helpers wake, which takes them longer than many loops do, and go through the loop. What the caller has to do
  // besides it does meanwhile. Finish() has to follow.
  void Begin(Loop* loop);
  // Goes through what is left of the loop, also of one that was never begun; returns when all calls have. The caller
  // begins at the end, as what it wrote last is what its own caches still have, and the helpers at the beginning.
  void Finish(Loop* loop);
  // Both.
  void Run(size_t parts, std::function<void(size_t)> part) {
    Loop loop(parts, std::move(part));
    Begin(&loop);
    Finish(&loop);
  }

 private:
  void Start();
  void Help(uint32_t seen);

  const uint32_t count_;
  std::atomic<bool> taken_{false};    // by a loop
  std::vector<std::thread> threads_;  // touched by who has taken them, and at the end
  std::atomic<uint32_t> calls_{0};    // for help, and to leave
  std::atomic<bool> leaving_{false};
  std::atomic<Loop*> loop_{nullptr};
  std::atomic<uint32_t> inside_{0};  // helpers that may look at the loop
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_HELPERS_H_

#include "tools/slipway/bench/copies.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "tools/slipway/bench/interrupt.h"

namespace slipway::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void Copy(std::byte* to, const std::byte* from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  asm volatile("" : : "r"(to) : "memory");  // so that the compiler cannot leave one out
}

// Threads that each copy their part of one copy, and wait for one another after it. The caller is the first of them.
class Team {
 public:
  Team(std::byte* to, const std::byte* from, uint64_t bytes, uint32_t threads)
      : to_(to), from_(from), bytes_(bytes), threads_(threads) {
    for (uint32_t i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { Help(i); });
  }
  ~Team() {
    end_.store(true, std::memory_order_relaxed);
    turn_.fetch_add(1, std::memory_order_release);
    for (std::thread& helper : helpers_) helper.join();
  }
  void CopyOnce() {
    left_.store(threads_ - 1, std::memory_order_relaxed);
    turn_.fetch_add(1, std::memory_order_release);
    CopyPart(0);
    while (left_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  }

 private:
  void CopyPart(uint32_t i) {
    const uint64_t part = (bytes_ / threads_) & ~uint64_t{63};
    const uint64_t at = part * i;
    Copy(to_ + at, from_ + at, i + 1 == threads_ ? bytes_ - at : part);
  }
  void Help(uint32_t i) {
    for (uint64_t seen = 0;; ++seen) {
      while (turn_.load(std::memory_order_acquire) == seen) std::this_thread::yield();
      if (end_.load(std::memory_order_relaxed)) return;
      CopyPart(i);
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::byte* const to_;
  const std::byte* const from_;
  const uint64_t bytes_;
  const uint32_t threads_;
  std::atomic<uint64_t> turn_{0};
  std::atomic<uint32_t> left_{0};
  std::atomic<bool> end_{false};
  std::vector<std::thread> helpers_;
};

}  // namespace

uint32_t CopyThreadsMax() { return std::clamp(std::thread::hardware_concurrency(), 1u, 16u); }

Result<Sample> MeasureMemcpy(const Mapping& from, const Mapping& to, uint64_t bytes, uint32_t threads, double seconds) {
  Team team(to.data(), from.data(), bytes, threads);
  // Short ones many to a look at the clock, which would cost more than they do.
  const uint64_t at_once = threads > 1 ? 1 : std::max<uint64_t>(1, (uint64_t{64} << 10) / bytes);
  team.CopyOnce();  // warm-up
  uint64_t copies = 0;
  const Clock::time_point start = Clock::now();
  double passed = 0;
  do {
    if (threads > 1)
      team.CopyOnce();
    else
      for (uint64_t i = 0; i < at_once; ++i) Copy(to.data(), from.data(), bytes);
    copies += at_once;
    passed = Since(start);
    if (Interrupted()) return Status(SLIPWAY_E_CANCELED, "interrupted");
  } while (passed < seconds || copies < 2);
  return Sample{.seconds = passed / static_cast<double>(copies)};
}

}  // namespace slipway::cli::bench

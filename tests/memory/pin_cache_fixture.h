// A pin cache whose time and thread are the test's, over pinners that check what is asked of them.
#ifndef SLIPWAY_TESTS_MEMORY_PIN_CACHE_FIXTURE_H_
#define SLIPWAY_TESTS_MEMORY_PIN_CACHE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/memory/pin_cache.h"

namespace slipway {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint64_t kChunk = 64 * kKiB;
inline constexpr uint64_t kHome = uint64_t{1} << 30;  // where regions lie; never touched, only named
inline constexpr uint32_t kToRead = SLIPWAY_ACCESS_LOCAL_READ;
inline constexpr uint32_t kToWrite = SLIPWAY_ACCESS_LOCAL_WRITE;

// Remembers what is pinned, and refuses on request. Thread-safe.
class FakePinner final : public Pinner {
 public:
  FakePinner(FakeClock& clock, const PinBudget& budget) : clock_(clock), budget_(budget) {}

  Result<PinHandle> Pin(const slipway_range& range) override;
  Status Unpin(PinHandle handle) override;

  uint64_t bytes() const;  // pinned now
  size_t count() const;
  // Pinned over any byte of [addr, addr + length).
  bool Holds(uint64_t addr, uint64_t length) const;

  // Set before threads use it, or between calls.
  uint64_t pin_takes_ns = 0;
  slipway_status refuse_with = SLIPWAY_OK;  // whatever is asked, or what would pin more than refuse_above
  uint64_t refuse_above = 0;
  uint64_t refuse_times = UINT64_MAX;
  uint32_t grants = kToRead | kToWrite;  // asked for more: E_INVALID
  slipway_status unpin_with = SLIPWAY_OK;
  std::function<void()> on_pin, on_unpin;
  uint64_t pins = 0, refused = 0;

 private:
  struct Range {
    uint64_t addr, length;
  };
  FakeClock& clock_;
  const PinBudget& budget_;
  mutable Mutex mutex_;
  std::map<uint64_t, Range> live_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t next_ SLIPWAY_GUARDED_BY(mutex_) = 1;
};

class QuietLogger final : public Logger {
 public:
  LogLevel level() const override { return LogLevel::kWarning; }
  void Write(LogLevel, std::string_view message) override { text += std::string(message) + "\n"; }
  std::string text;
};

class PinCacheTest : public testing::Test {
 protected:
  PinCacheTest();
  ~PinCacheTest() override;

  // Anew, with this cap on what is pinned. Waiting is free and pinning pays at the second touch, unless costs are set.
  void Make(uint64_t cap_bytes, const PinnerTraits& traits = Traits());
  static PinnerTraits Traits();
  void SetCosts(uint64_t pin_ns_per_chunk, uint64_t copy_ns_per_chunk);

  void Declare(uint64_t offset, uint64_t length) { cache_->Declare(kHome + offset, length, SLIPWAY_MEM_HOST); }
  Status Undeclare(uint64_t offset, uint64_t length) { return cache_->Undeclare(kHome + offset, length, 0); }
  LeaseAnswer Ask(uint64_t offset, uint64_t length, ExtentLease* lease, uint32_t access = kToRead, bool whole = false);
  // Touches the range as a slice would: leases it and gives the lease back, or copies. What is asked to be pinned is
  // pinned before this returns.
  LeaseAnswer Touch(uint64_t offset, uint64_t length, uint32_t access = kToRead);
  // Touches until it is pinned, and leases it.
  ExtentLease Hold(uint64_t offset, uint64_t length);
  void RunAll();
  void Pass(uint64_t ns) { clock_.Advance(ns); }
  uint64_t Count(Counter c) const { return counters_.Get(c); }

  CacheOptions options_;
  FakeClock clock_;
  QuietLogger log_;
  Counters counters_;
  std::unique_ptr<PinBudget> budget_;
  std::unique_ptr<FakePinner> pinner_;
  std::unique_ptr<PinCache> cache_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_MEMORY_PIN_CACHE_FIXTURE_H_

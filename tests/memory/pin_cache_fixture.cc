#include "tests/memory/pin_cache_fixture.h"

namespace slipway {

Result<PinHandle> FakePinner::Pin(const slipway_range& range) {
  EXPECT_EQ(range.struct_size, sizeof range);
  EXPECT_EQ(reinterpret_cast<uint64_t>(range.addr) % 4096, 0u) << "host memory is pinned by whole pages";
  EXPECT_EQ(range.length % 4096, 0u);
  EXPECT_GT(range.length, 0u);
  if (on_pin) on_pin();
  clock_.Advance(pin_takes_ns);
  EXPECT_LE(budget_.used_bytes(), budget_.cap_bytes());
  const bool too_much = bytes() + range.length > refuse_above;
  MutexLock lock(mutex_);
  if ((range.access & ~grants) != 0) return Status(SLIPWAY_E_INVALID, "read-only memory");
  if (refuse_with != SLIPWAY_OK && too_much && refuse_times > 0) {
    if (refuse_times != UINT64_MAX) --refuse_times;
    ++refused;
    return Status(refuse_with, "the fake pinner was told to refuse");
  }
  ++pins;
  live_[next_] = {reinterpret_cast<uint64_t>(range.addr), range.length};
  return reinterpret_cast<PinHandle>(next_++);
}

Status FakePinner::Unpin(PinHandle handle) {
  if (on_unpin) on_unpin();
  MutexLock lock(mutex_);
  const auto found = live_.find(reinterpret_cast<uint64_t>(handle));
  EXPECT_NE(found, live_.end()) << "unpinned twice, or never pinned";
  if (unpin_with != SLIPWAY_OK) return Status(unpin_with, "the fake pinner was told not to unpin");
  if (found != live_.end()) live_.erase(found);
  return {};
}

uint64_t FakePinner::bytes() const {
  MutexLock lock(mutex_);
  uint64_t total = 0;
  for (const auto& [handle, range] : live_) total += range.length;
  return total;
}

size_t FakePinner::count() const {
  MutexLock lock(mutex_);
  return live_.size();
}

bool FakePinner::Holds(uint64_t addr, uint64_t length) const {
  MutexLock lock(mutex_);
  for (const auto& [handle, range] : live_) {
    if (range.addr < addr + length && addr < range.addr + range.length) return true;
  }
  return false;
}

PinCacheTest::PinCacheTest() {
  options_.chunk_bytes = kChunk;
  options_.window_ms = 1000;
  options_.ttl_ms = 5000;
  options_.room_wait_ms = 20;
  options_.reap_interval_ms = 100;
  Make(PinBudget::kNoCap);
}

PinCacheTest::~PinCacheTest() { cache_.reset(); }

PinnerTraits PinCacheTest::Traits() {
  PinnerTraits traits;
  traits.name = "fake";
  traits.mem_kinds = SLIPWAY_MEM_HOST;
  return traits;
}

void PinCacheTest::Make(uint64_t cap_bytes, const PinnerTraits& traits) {
  cache_.reset();
  budget_ = std::make_unique<PinBudget>(cap_bytes, counters_);
  pinner_ = std::make_unique<FakePinner>(clock_, *budget_);
  cache_ = std::make_unique<PinCache>(PinCache::Parts{options_, budget_.get(), &clock_, &log_, &counters_});
  cache_->AddPinner(*pinner_, traits);
  // Pinning a chunk costs as much as 20 copies of it: too much for one touch, little enough for the second.
  SetCosts(20'000, 1'000);
}

void PinCacheTest::SetCosts(uint64_t pin_ns_per_chunk, uint64_t copy_ns_per_chunk) {
  cache_->pin_cost(0).Fit(kChunk, pin_ns_per_chunk, 2 * kChunk, 2 * pin_ns_per_chunk);
  cache_->copy_cost(0).Fit(kChunk, copy_ns_per_chunk, 2 * kChunk, 2 * copy_ns_per_chunk);
}

LeaseAnswer PinCacheTest::Ask(uint64_t offset, uint64_t length, ExtentLease* lease, uint32_t access, bool whole) {
  LeaseQuery query;
  query.addr = kHome + offset;
  query.length = length;
  query.access = access;
  query.whole = whole;
  query.now_ns = clock_.NowNs();
  query.deadline_ns = query.now_ns + 10 * kMs;
  const LeaseAnswer answer = cache_->TryLease(query, lease);
  EXPECT_GT(lease->bytes, 0u);
  EXPECT_LE(lease->bytes, length);
  EXPECT_EQ(lease->first != nullptr, answer == LeaseAnswer::kGranted);
  return answer;
}

LeaseAnswer PinCacheTest::Touch(uint64_t offset, uint64_t length, uint32_t access) {
  ExtentLease lease;
  const LeaseAnswer answer = Ask(offset, length, &lease, access);
  if (answer == LeaseAnswer::kGranted) cache_->Return(lease);
  if (answer == LeaseAnswer::kStage) cache_->Copied(0, kHome + offset, length, clock_.NowNs());
  RunAll();
  return answer;
}

ExtentLease PinCacheTest::Hold(uint64_t offset, uint64_t length) {
  for (int i = 0; i < 2000 && Touch(offset, length) != LeaseAnswer::kGranted; ++i) {
  }
  ExtentLease lease;
  EXPECT_EQ(Ask(offset, length, &lease), LeaseAnswer::kGranted);
  return lease;
}

void PinCacheTest::RunAll() {
  for (int i = 0; i < 1000 && cache_->RunOnce(); ++i) {
  }
}

}  // namespace slipway

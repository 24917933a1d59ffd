// What is pinned on demand, as requests see it.
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

constexpr uint64_t kChunk = 64 * kKiB;

class PinningTest : public TransferTest {
 protected:
  void StartOnDemand(const std::function<void(Configuration&)>& change = [](Configuration&) {}) {
    Configuration setup;
    setup.pin_policy = PinPolicy::kOnDemand;
    change(setup);
    Start(setup);
    pool_registrations_before_ = Fake().registers;
  }
  uint64_t Pinned() { return Fake().registers - pool_registrations_before_; }
  void SetCosts(uint64_t pin_ns_per_chunk, uint64_t copy_ns_per_chunk) {
    cache_->pin_cost(0).Fit(kChunk, pin_ns_per_chunk, 2 * kChunk, 2 * pin_ns_per_chunk);
    cache_->copy_cost(0).Fit(kChunk, copy_ns_per_chunk, 2 * kChunk, 2 * copy_ns_per_chunk);
  }

  uint64_t pool_registrations_before_ = 0;
};

// Memory that begins at a chunk, so that what is pinned can be counted.
class Pages {
 public:
  explicit Pages(uint64_t bytes) : bytes_(std::aligned_alloc(kChunk, bytes), &std::free) {}
  char* base() const { return static_cast<char*>(bytes_.get()); }

 private:
  std::unique_ptr<void, decltype(&std::free)> bytes_;
};

TEST_F(PinningTest, TheFirstTouchIsStagedAndALaterOneIsDirect) {
  StartOnDemand();
  Target& target = AddTarget(4 * kChunk);
  RemoteSegment* segment = target.Open({4 * kChunk});
  const Pages memory(4 * kChunk);
  const std::vector<char> data = Pattern(4 * kChunk, 1);
  std::copy(data.begin(), data.end(), memory.base());
  Declare(memory.base(), 4 * kChunk);
  ASSERT_EQ(Run({Write(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(Pinned(), 0u);
  EXPECT_EQ(Count(Counter::kStagedBytes), kChunk);
  ASSERT_EQ(Run({Write(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(Pinned(), 1u);
  const uint64_t staged = Count(Counter::kStagedBytes);
  ASSERT_EQ(Run({Write(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  ASSERT_EQ(Run({Read(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(Count(Counter::kStagedBytes), staged) << "direct, both ways";
  EXPECT_EQ(Pinned(), 1u);
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + kChunk, target.memory.begin()));
  EXPECT_GE(Count(Counter::kPinHits), 2u);
}

TEST_F(PinningTest, WherePinningIsQuickTheSecondTouchWaitsForItAndIsDirect) {
  StartOnDemand();
  SetCosts(20'000, 1'240);
  RemoteSegment* segment = OpenSegment(2 * kChunk);
  const Pages memory(2 * kChunk);
  Declare(memory.base(), 2 * kChunk);
  ASSERT_EQ(Run({Write(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(Pinned(), 0u);
  const uint64_t staged = Count(Counter::kStagedBytes);
  SetCosts(20'000, 21'000);  // copying has become slower
  ASSERT_EQ(Run({Write(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(Pinned(), 1u);
  EXPECT_EQ(Count(Counter::kStagedBytes), staged);
}

TEST_F(PinningTest, ALongFirstTouchIsPinned) {
  StartOnDemand();
  SetCosts(1'000, 20'000);
  Target& target = AddTarget(16 * kChunk);
  RemoteSegment* segment = target.Open({16 * kChunk});
  const Pages memory(16 * kChunk);
  const std::vector<char> data = Pattern(16 * kChunk, 3);
  std::copy(data.begin(), data.end(), memory.base());
  Declare(memory.base(), 16 * kChunk);
  ASSERT_EQ(Run({Write(memory.base(), 16 * kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(Pinned(), 16u);
  EXPECT_EQ(Count(Counter::kStagedBytes), 0u);
  EXPECT_EQ(target.memory, data);
}

TEST_F(PinningTest, AWorkingSetBeyondTheBudgetIsMovedAndTheCapHolds) {
  StartOnDemand([](Configuration& setup) { setup.budget_bytes = setup.staging.bytes + 4 * kChunk; });
  SetCosts(1'000, 20'000);
  Target& target = AddTarget(32 * kChunk);
  RemoteSegment* segment = target.Open({32 * kChunk});
  const Pages memory(32 * kChunk);
  Declare(memory.base(), 32 * kChunk);
  for (uint32_t round = 0; round < 3; ++round) {
    const std::vector<char> data = Pattern(32 * kChunk, round);
    std::copy(data.begin(), data.end(), memory.base());
    // Every round of progress looks at the budget (CheckInvariants).
    ASSERT_EQ(Run({Write(memory.base(), 20 * kChunk, segment),
                   Write(memory.base() + 20 * kChunk, 12 * kChunk, segment, 20 * kChunk)}),
              SLIPWAY_OK);
    EXPECT_EQ(target.memory, data);
  }
  EXPECT_LE(Count(Counter::kPinPeakBytes), setup_.budget_bytes);
  EXPECT_LE(Fake().registered_bytes_peak, setup_.budget_bytes);
  EXPECT_GT(Count(Counter::kPinHits), 0u);
}

TEST_F(PinningTest, ARefusalIsLearnedAndEverythingStillMoves) {
  StartOnDemand();
  SetCosts(1'000, 20'000);
  control().set_register_error(instance(), SLIPWAY_E_PIN_LIMIT, 2, 0);
  Target& target = AddTarget(8 * kChunk);
  RemoteSegment* segment = target.Open({8 * kChunk});
  const Pages memory(8 * kChunk);
  const std::vector<char> data = Pattern(8 * kChunk, 3);
  std::copy(data.begin(), data.end(), memory.base());
  Declare(memory.base(), 8 * kChunk);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Run({Write(memory.base(), 8 * kChunk, segment)}), SLIPWAY_OK);
  EXPECT_EQ(target.memory, data);
  EXPECT_LE(Pinned(), 2u);
  EXPECT_GT(Count(Counter::kStagedBytes), 0u);
  EXPECT_THAT(log_.text(), HasSubstr("refuses to pin more"));
  control().set_register_error(instance(), SLIPWAY_OK, 0, 0);
}

TEST_F(PinningTest, WithoutAPoolEverythingIsPinnedAtOnce) {
  StartOnDemand([](Configuration& setup) { setup.staging.bytes = 0; });
  Target& target = AddTarget(4 * kChunk);
  RemoteSegment* segment = target.Open({4 * kChunk});
  const Pages memory(4 * kChunk);
  const std::vector<char> data = Pattern(4 * kChunk, 3);
  std::copy(data.begin(), data.end(), memory.base());
  Declare(memory.base(), 4 * kChunk);
  ASSERT_EQ(Run({Write(memory.base() + 5, 3 * kChunk, segment, 5)}), SLIPWAY_OK);
  EXPECT_TRUE(std::equal(data.begin() + 5, data.begin() + 5 + 3 * kChunk, target.memory.begin() + 5));
  EXPECT_EQ(Count(Counter::kSlicesStaged), 0u);
}

TEST_F(PinningTest, WhatIsInFlightHoldsItsRegion) {
  StartOnDemand();
  RemoteSegment* segment = OpenSegment(kChunk);
  const Pages memory(kChunk);
  Declare(memory.base(), kChunk);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(Run({Write(memory.base(), kChunk, segment)}), SLIPWAY_OK);
  ASSERT_EQ(Pinned(), 1u);
  control().set_hold(instance(), 1);
  BatchState* batch = Submit({Write(memory.base(), kChunk, segment)});
  Settle();
  EXPECT_EQ(Undeclare(memory.base(), kChunk).code(), SLIPWAY_E_REGION_BUSY);
  control().set_hold(instance(), 0);
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  Release(batch);
  EXPECT_TRUE(Undeclare(memory.base(), kChunk).ok());
  EXPECT_EQ(Fake().deregisters, 1u);
}

TEST_F(PinningTest, WithItsOwnThreadsItMovesTheSameBytes) {
  StartOnDemand([](Configuration& setup) {
    setup.threaded = true;
    setup.budget_bytes = setup.staging.bytes + 6 * kChunk;
    setup.cache.room_wait_ms = 1;
  });
  SetCosts(1'000, 20'000);
  Target& target = AddTarget(16 * kChunk);
  RemoteSegment* segment = target.Open({16 * kChunk});
  const Pages memory(16 * kChunk);
  Declare(memory.base(), 16 * kChunk);
  for (uint32_t round = 0; round < 10; ++round) {
    const std::vector<char> data = Pattern(16 * kChunk, round);
    std::copy(data.begin(), data.end(), memory.base());
    BatchState* batch = Submit({Write(memory.base(), 16 * kChunk, segment)});
    ASSERT_EQ(dispatcher_->Wait(batch, 30'000 * kMs), SLIPWAY_OK);
    Release(batch);
    ASSERT_EQ(target.memory, data);
  }
  EXPECT_LE(Count(Counter::kPinPeakBytes), setup_.budget_bytes);
}

}  // namespace
}  // namespace slipway

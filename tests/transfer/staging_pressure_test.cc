// A staging pool that is too small: who waits, for how long, who goes first, and when memory is given back.
#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class StagingPressureTest : public TransferTest {
 protected:
  // A pool of that many chunks of 4 KiB.
  static Configuration PoolOf(uint64_t chunks, uint64_t share_percent = 100) {
    Configuration setup;
    setup.staging.bytes = chunks * 4 * kKiB;
    setup.staging.chunk_bytes = 4 * kKiB;
    setup.staging.share_per_batch_percent = share_percent;
    return setup;
  }
  void Hold() { control().set_hold(instance(), 1); }
  void LetGo() { control().set_hold(instance(), 0); }
  uint64_t PoolUsed() {
    uint64_t used = 0;
    dispatcher_->Look([&] { used = pool_->used_bytes(); });
    return used;
  }
  static BatchSpec Within(uint64_t ns) {
    BatchSpec spec;
    spec.timeout_ns = ns;
    return spec;
  }
};

TEST_F(StagingPressureTest, ARequestLargerThanThePoolRunsThroughItInBothDirections) {
  Configuration setup;
  setup.staging.bytes = 128 * kKiB;
  setup.staging.chunk_bytes = 32 * kKiB;  // copied by the copying threads
  setup.staging.copy_threads = 2;
  Start(setup);
  Target& target = AddTarget(3 << 20);
  RemoteSegment* segment = target.Open({3 << 20});
  std::vector<char> local = Pattern(3 << 20, 1), back(3 << 20);
  ASSERT_EQ(Run({Write(local.data(), local.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(target.memory, local);
  ASSERT_EQ(Run({Read(back.data(), back.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(back, local);
  EXPECT_EQ(Count(Counter::kStagedBytes), uint64_t{6} << 20);
  EXPECT_LE(Count(Counter::kStagingPeakBytes), 128 * kKiB);
  EXPECT_GT(Count(Counter::kStagingPeakBytes), 32 * kKiB) << "copying and moving overlap";
}

TEST_F(StagingPressureTest, APoolOfOneChunkIsEnough) {
  Start(PoolOf(1));
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  std::vector<char> local = Pattern(64 * kKiB, 1);
  ASSERT_EQ(Run({Write(local.data(), local.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(target.memory, local);
}

TEST_F(StagingPressureTest, ThoseWhoWaitAreServedInTheirOrder) {
  Start(PoolOf(1));
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  std::vector<char> local = Pattern(4 * kKiB, 1);
  Hold();
  std::vector<BatchState*> batches;
  for (uint64_t i = 0; i < 6; ++i) batches.push_back(Submit({Write(local.data(), 4 * kKiB, segment, i * 4 * kKiB)}));
  Settle();
  EXPECT_EQ(Fake().slices_accepted, 1u);
  EXPECT_EQ(Count(Counter::kStagingWaits), 5u);
  for (size_t i = 0; i < batches.size(); ++i) {
    control().release(instance(), 1);
    Settle();
    for (size_t k = 0; k < batches.size(); ++k) EXPECT_EQ(Done(batches[k]), k <= i) << k << " after release " << i;
  }
  for (BatchState* b : batches) {
    EXPECT_EQ(b->status, SLIPWAY_OK);
    Release(b);
  }
}

TEST_F(StagingPressureTest, WhoeverWaitsUntilTheDeadlineIsToldThatStagingIsExhausted) {
  Start(PoolOf(1));
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  std::vector<char> local = Pattern(8 * kKiB, 1);
  Hold();
  BatchState* holder = Submit({Write(local.data(), 4 * kKiB, segment)});
  BatchState* waiter = Submit({Write(local.data(), 4 * kKiB, segment, 4 * kKiB)}, Within(50 * kMs));
  Settle();
  Pass(49 * kMs);
  Settle();
  EXPECT_FALSE(Done(waiter));
  Pass(2 * kMs);
  Settle();
  ASSERT_TRUE(Done(waiter));
  EXPECT_EQ(waiter->status, SLIPWAY_E_STAGING_EXHAUSTED);
  EXPECT_THAT(MessageOf(waiter), HasSubstr("memory.staging.bytes"));
  EXPECT_FALSE(Done(holder)) << "who holds the buffer is not touched";
  LetGo();
  EXPECT_EQ(Drive(holder), SLIPWAY_OK);
  Release(holder);
  Release(waiter);
}

TEST_F(StagingPressureTest, WithoutStagingOnlyWhatNeedsItFails) {
  Configuration setup;
  setup.staging.bytes = 0;
  Start(setup);
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  std::vector<char> yes = Pattern(16 * kKiB, 1), no = Pattern(16 * kKiB, 2);
  Register(yes.data(), yes.size());
  BatchState* batch = Submit({Write(yes.data(), yes.size(), segment), Write(no.data(), no.size(), segment, 16 * kKiB)});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_STAGING_NOT_CONFIGURED);
  EXPECT_EQ(batch->requests[0].status, SLIPWAY_OK);
  EXPECT_EQ(batch->requests[1].status, SLIPWAY_E_STAGING_NOT_CONFIGURED);
  EXPECT_THAT(MessageOf(batch, 1), HasSubstr("memory.staging.bytes"));
  EXPECT_TRUE(std::equal(yes.begin(), yes.end(), target.memory.begin()));
  Release(batch);
}

TEST_F(StagingPressureTest, ABatchHoldsNoMoreThanItsShare) {
  Start(PoolOf(8, 50));
  RemoteSegment* segment = OpenSegment(256 * kKiB);
  std::vector<char> local = Pattern(256 * kKiB, 1);
  Hold();
  BatchState* big = Submit({Write(local.data(), local.size(), segment)});
  Settle();
  EXPECT_EQ(Fake().slices_accepted, 4u);
  EXPECT_EQ(PoolUsed(), 16 * kKiB);
  LetGo();
  EXPECT_EQ(Drive(big), SLIPWAY_OK);
  Release(big);
}

TEST_F(StagingPressureTest, WhoWaitsForItsOwnShareDoesNotKeepOthersFromTheRestOfThePool) {
  Start(PoolOf(8, 50));
  RemoteSegment* stopped = OpenSegment(256 * kKiB);
  std::vector<char> local = Pattern(256 * kKiB, 1);
  Hold();
  BatchState* big = Submit({Write(local.data(), local.size(), stopped)});
  Settle();
  BatchState* small = Submit({Write(local.data(), 4 * kKiB, stopped)});
  Settle();
  EXPECT_EQ(Fake().slices_accepted, 5u) << "half of the pool is free, and a batch that could use it was not let in";
  LetGo();
  EXPECT_EQ(Drive(big), SLIPWAY_OK);
  EXPECT_EQ(Drive(small), SLIPWAY_OK);
  Release(big);
  Release(small);
}

// Two at a time is where one waits for the other; more is where all wait for each other.
class ManyLargeBatchesTest : public StagingPressureTest, public testing::WithParamInterface<int> {};

TEST_P(ManyLargeBatchesTest, AllGetThrough) {
  Start(PoolOf(4, 50));
  Target& target = AddTarget(uint64_t{16} * 40 * kKiB);
  RemoteSegment* segment = target.Open({uint64_t{16} * 40 * kKiB});
  std::vector<char> local = Pattern(target.memory.size(), 1);
  std::vector<BatchState*> batches;
  Hold();
  for (int i = 0; i < GetParam(); ++i) {
    const uint64_t at = static_cast<uint64_t>(i) * 40 * kKiB;
    BatchSpec spec = Within(60'000 * kMs);
    batches.push_back(Submit({Write(local.data() + at, 40 * kKiB, segment, at)}, spec));
  }
  Settle();
  LetGo();
  for (BatchState* b : batches) {
    EXPECT_EQ(Drive(b), SLIPWAY_OK) << (b->requests[0].message ? *b->requests[0].message : "");
    if (Done(b)) Release(b);
  }
  const auto used = static_cast<ptrdiff_t>(GetParam()) * 40 * 1024;
  EXPECT_TRUE(std::equal(local.begin(), local.begin() + used, target.memory.begin()));
}

INSTANTIATE_TEST_SUITE_P(HowMany, ManyLargeBatchesTest, testing::Values(1, 2, 3, 4, 5, 16));

TEST_F(StagingPressureTest, ACanceledSliceKeepsItsBufferAndItsLeaseUntilItCompletes) {
  Configuration setup = PoolOf(4);
  setup.transports = {{"fake", R"({"ignore_cancel": true})"}};
  Start(setup);
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  std::vector<char> registered = Pattern(4 * kKiB, 1), not_registered = Pattern(4 * kKiB, 2);
  Register(registered.data(), registered.size());
  Hold();
  BatchState* batch = Submit({Write(registered.data(), registered.size(), segment),
                              Write(not_registered.data(), not_registered.size(), segment, 8 * kKiB)});
  Settle();
  dispatcher_->Cancel(batch);
  Settle();
  EXPECT_FALSE(Done(batch));
  EXPECT_EQ(Fake().cancels, 2u);
  EXPECT_EQ(PoolUsed(), 4 * kKiB);
  Ledger& ledger = transports_[0]->ledger();
  EXPECT_EQ(ledger.Deregister(registered_[0], 0).code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_FALSE(dispatcher_->Release(batch).ok());
  control().release(instance(), 2);
  Settle();
  ASSERT_TRUE(Done(batch));
  EXPECT_EQ(batch->status, SLIPWAY_E_CANCELED);
  EXPECT_EQ(PoolUsed(), 0u);
  EXPECT_TRUE(ledger.Deregister(registered_[0], 0).ok());
  Release(batch);
}

TEST_F(StagingPressureTest, ADeadlineCallsSlicesBackAndWaitsForThem) {
  Configuration setup = PoolOf(4);
  setup.transports = {{"fake", R"({"ignore_cancel": true})"}};
  Start(setup);
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  std::vector<char> local = Pattern(32 * kKiB, 1);
  Hold();
  BatchState* batch = Submit({Write(local.data(), local.size(), segment)}, Within(10 * kMs));
  Settle();
  EXPECT_EQ(Fake().slices_accepted, 4u);
  Pass(11 * kMs);
  Settle();
  EXPECT_FALSE(Done(batch)) << "four slices are still with the transport";
  EXPECT_EQ(PoolUsed(), 16 * kKiB);
  EXPECT_EQ(Fake().cancels, 4u);
  control().release(instance(), 3);
  Settle();
  EXPECT_FALSE(Done(batch));
  control().release(instance(), 1);
  Settle();
  ASSERT_TRUE(Done(batch));
  EXPECT_NE(batch->status, SLIPWAY_OK);
  EXPECT_EQ(Fake().slices_accepted, 4u) << "nothing new was started after the deadline";
  Release(batch);
}

TEST_F(StagingPressureTest, AReadThatIsCanceledDoesNotWriteTheUsersMemoryAfterItsEnd) {
  Start(PoolOf(4));
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  auto local = std::make_unique<std::vector<char>>(16 * kKiB);
  Hold();
  BatchState* batch = Submit({Read(local->data(), local->size(), segment)});
  Settle();
  dispatcher_->Cancel(batch);
  EXPECT_EQ(Drive(batch), SLIPWAY_E_CANCELED);
  Release(batch);
  local.reset();
  LetGo();
  Settle();
  EXPECT_EQ(PoolUsed(), 0u);
}

TEST_F(StagingPressureTest, WhoIsCanceledWhileWaitingLeavesTheQueue) {
  Start(PoolOf(1));
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  std::vector<char> local = Pattern(8 * kKiB, 1);
  Hold();
  BatchState* holder = Submit({Write(local.data(), 4 * kKiB, segment)});
  BatchState* leaver = Submit({Write(local.data(), 4 * kKiB, segment)});
  BatchState* last = Submit({Write(local.data(), 4 * kKiB, segment)});
  Settle();
  dispatcher_->Cancel(leaver);
  ASSERT_TRUE(Done(leaver)) << "nothing of it was with a transport";
  EXPECT_EQ(leaver->status, SLIPWAY_E_CANCELED);
  Release(leaver);
  LetGo();
  EXPECT_EQ(Drive(holder), SLIPWAY_OK);
  EXPECT_EQ(Drive(last), SLIPWAY_OK);
  Release(holder);
  Release(last);
}

}  // namespace
}  // namespace slipway

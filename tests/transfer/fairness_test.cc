// Back-pressure and shares: nobody holds up another for longer than its share.
#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

class FairnessTest : public TransferTest {
 protected:
  void StartWith(const std::string& options, uint64_t per_peer = 256, uint64_t slice_bytes = 1 * kKiB) {
    Configuration setup;
    setup.transports = {{"fake", options}};
    setup.transfer.max_inflight_slices_per_peer = per_peer;
    setup.transfer.bulk_share_percent = 75;
    setup.transfer.bulk_threshold_bytes = 8 * kKiB;
    setup.transfer.slice_bytes = slice_bytes;
    Start(setup);
    Register(local_.data(), local_.size());
  }
  void Hold() { control().set_hold(instance(), 1); }
  void LetGo() { control().set_hold(instance(), 0); }
  void Finish(BatchState* batch) {
    EXPECT_EQ(Drive(batch), SLIPWAY_OK);
    Release(batch);
  }

  std::vector<char> local_ = Pattern(256 * kKiB, 3);
};

TEST_F(FairnessTest, OneSliceAtATimeIsEnough) {
  StartWith(R"({"max_inflight": 1, "max_submit_batch": 1})");
  Target& target = AddTarget(256 * kKiB);
  RemoteSegment* segment = target.Open({256 * kKiB});
  EXPECT_EQ(Run({Write(local_.data(), local_.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(target.memory, local_);
  EXPECT_EQ(Fake().inflight_peak, 1u);
}

TEST_F(FairnessTest, OneSliceASubmissionIsEnough) {
  StartWith(R"({"max_submit_batch": 1})");
  Target& target = AddTarget(256 * kKiB);
  RemoteSegment* segment = target.Open({256 * kKiB});
  EXPECT_EQ(Run({Write(local_.data(), local_.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(target.memory, local_);
}

TEST_F(FairnessTest, NoMoreThanThePeersCapIsInFlight) {
  StartWith("{}", 10);
  RemoteSegment* segment = OpenSegment(256 * kKiB);
  Hold();
  BatchState* bulk = Submit({Write(local_.data(), 64 * kKiB, segment)});
  Settle();
  EXPECT_EQ(Fake().inflight_now, 7u) << "three quarters of ten, for bulk";
  std::vector<RequestSpec> many(20, Write(local_.data(), 512, segment, 128 * kKiB));
  BatchState* small = Submit(many);
  Settle();
  EXPECT_EQ(Fake().inflight_now, 10u);
  LetGo();
  Finish(bulk);
  Finish(small);
}

TEST_F(FairnessTest, BulkIsBoundedInBytesSoThatSmallRequestsDoNotWaitForGigabytes) {
  constexpr uint64_t kSlice = 1024 * kKiB, kRequest = 4 * kSlice;
  StartWith(R"({"max_inflight": 4096})", 4096, kSlice);
  RemoteSegment* segment = OpenSegment(kRequest);
  const std::vector<char> source = Pattern(kRequest, 4);
  Register(const_cast<char*>(source.data()), source.size());
  Hold();
  BatchState* bulk = Submit(std::vector<RequestSpec>(64, Write(const_cast<char*>(source.data()), kRequest, segment)));
  Settle();
  EXPECT_EQ(Fake().inflight_now, 192u);
  LetGo();
  Finish(bulk);
}

TEST_F(FairnessTest, BulkLeavesRoomForSmallRequestsAlsoWhereTheChannelIsTheBound) {
  StartWith(R"({"max_inflight": 8})");
  RemoteSegment* segment = OpenSegment(256 * kKiB);
  Hold();
  BatchState* bulk = Submit({Write(local_.data(), 64 * kKiB, segment)});
  Settle();
  BatchState* small = Submit({Write(local_.data(), 512, segment, 128 * kKiB)});
  Settle();
  EXPECT_EQ(Fake().slices_accepted, Fake().inflight_now);
  EXPECT_LE(bulk->requests[0].slices, 6u) << "bulk took the whole channel";
  EXPECT_EQ(small->requests[0].slices, 1u) << "a small request waits for bulk to complete";
  LetGo();
  Finish(bulk);
  Finish(small);
}

TEST_F(FairnessTest, AStoppedPeerLeavesRoomForOthersOnTheChannel) {
  StartWith(R"({"max_inflight": 8})");
  RemoteSegment* stopped = OpenSegment(256 * kKiB);
  RemoteSegment* healthy = OpenSegment(256 * kKiB);
  Hold();
  BatchState* first = Submit({Write(local_.data(), 64 * kKiB, stopped)});
  Settle();
  BatchState* second = Submit({Write(local_.data(), 512, healthy), Write(local_.data(), 64 * kKiB, healthy)});
  Settle();
  EXPECT_GE(second->requests[0].slices, 1u) << "one peer holds the whole channel, which all peers share";
  LetGo();
  Finish(first);
  Finish(second);
}

TEST_F(FairnessTest, ASmallRequestOvertakesTheBulkThatWaits) {
  StartWith("{}", 4);
  RemoteSegment* segment = OpenSegment(256 * kKiB);
  Hold();
  BatchState* bulk = Submit({Write(local_.data(), 128 * kKiB, segment)});
  BatchState* small = Submit({Write(local_.data(), 512, segment, 200 * kKiB)});
  Settle();
  control().release(instance(), 4);
  Settle();
  EXPECT_TRUE(Done(small));
  EXPECT_FALSE(Done(bulk));
  LetGo();
  Finish(bulk);
  Release(small);
}

TEST_F(FairnessTest, AStreamOfSmallRequestsDoesNotStarveBulkForEver) {
  StartWith("{}", 4);
  RemoteSegment* segment = OpenSegment(256 * kKiB);
  Hold();
  std::vector<RequestSpec> flood(64, Write(local_.data(), 512, segment, 200 * kKiB));
  BatchState* small = Submit(flood);
  BatchState* bulk = Submit({Write(local_.data(), 64 * kKiB, segment)});
  for (int i = 0; i < 16; ++i) {
    control().release(instance(), 1);
    Settle();
  }
  EXPECT_FALSE(Done(small));
  RecordProperty("bulk_slices_while_small_wait", static_cast<int>(bulk->requests[0].slices));
  LetGo();
  Finish(small);
  Finish(bulk);
}

TEST_F(FairnessTest, PriorityOfTheBatchOverridesTheSize) {
  StartWith("{}", 4);
  RemoteSegment* segment = OpenSegment(256 * kKiB);
  Hold();
  BatchSpec as_bulk, as_small;
  as_bulk.priority = PriorityClass::kBulk;
  as_small.priority = PriorityClass::kSmall;
  BatchState* bulk = Submit(std::vector<RequestSpec>(10, Write(local_.data(), 512, segment)), as_bulk);
  Settle();
  EXPECT_EQ(Fake().inflight_now, 3u);
  BatchState* small = Submit({Write(local_.data(), 64 * kKiB, segment, 64 * kKiB)}, as_small);
  Settle();
  EXPECT_EQ(Fake().inflight_now, 4u);
  LetGo();
  Finish(bulk);
  Finish(small);
}

TEST_F(FairnessTest, BackPressureOfTheTransportIsNotAnError) {
  // The core believes in 256 slices a peer; the channel of the fake takes 3 and says AGAIN.
  StartWith(R"({"max_inflight": 3})");
  Target& target = AddTarget(256 * kKiB);
  RemoteSegment* a = target.Open({128 * kKiB});
  RemoteSegment* b = AddTarget(256 * kKiB).Open({128 * kKiB});
  BatchState* first = Submit({Write(local_.data(), 128 * kKiB, a)});
  BatchState* second = Submit({Write(local_.data(), 128 * kKiB, b)});
  Finish(first);
  Finish(second);
  EXPECT_TRUE(std::equal(local_.begin(), local_.begin() + 128 * 1024, target.memory.begin()));
  EXPECT_EQ(Count(Counter::kRetries), 0u);
  EXPECT_LE(Fake().inflight_peak, 3u);
}

}  // namespace
}  // namespace slipway

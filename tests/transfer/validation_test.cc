// What is refused at submission, each with a status of its own and a message that names the request.
#include <cstdint>

#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class ValidationTest : public TransferTest {
 protected:
  ValidationTest() : local_(4 * kKiB) {}
  void Begin(Configuration setup = Configuration()) {
    Start(setup);
    segment_ = OpenSegment(16 * kKiB);
  }
  // Refused as the second of two, so that the message has to say which.
  void ExpectRefused(const RequestSpec& bad, slipway_status status, const std::string& words) {
    const uint64_t accepted = Count(Counter::kRequests);
    const Status refused = Refused({Write(local_.data(), 16, segment_), bad});
    EXPECT_EQ(refused.code(), status) << refused.message();
    EXPECT_THAT(refused.message(), HasSubstr("request 1: "));
    EXPECT_THAT(refused.message(), HasSubstr(words));
    EXPECT_EQ(Count(Counter::kRequests), accepted) << "all or none";
  }

  std::vector<char> local_;
  RemoteSegment* segment_ = nullptr;
};

TEST_F(ValidationTest, EveryBadRequestHasItsStatusAndIsNamed) {
  Configuration setup;
  setup.transfer.max_request_bytes = 8 * kKiB;
  Begin(setup);
  ExpectRefused(Write(local_.data(), uint64_t{1} << 40, segment_), SLIPWAY_E_SEGMENT_RANGE, "1099511627776 bytes");
  ExpectRefused(Write(local_.data(), 1, segment_, 16 * kKiB), SLIPWAY_E_SEGMENT_RANGE, "offset 16384");
  ExpectRefused(Write(local_.data(), UINT64_MAX, segment_, 2), SLIPWAY_E_SEGMENT_RANGE, "not within segment");
  ExpectRefused(Write(local_.data(), 0, segment_, 16 * kKiB + 1), SLIPWAY_E_SEGMENT_RANGE, "16385");
  ExpectRefused(Write(local_.data(), 8 * kKiB + 1, segment_), SLIPWAY_E_TOO_LARGE, "transfer.max_request_bytes");
  ExpectRefused(Write(nullptr, 1, segment_), SLIPWAY_E_INVALID, "null");
  ExpectRefused(Write(reinterpret_cast<void*>(UINTPTR_MAX - 3), 16, segment_), SLIPWAY_E_INVALID, "wraps");
  ExpectRefused(Write(local_.data(), 16, nullptr), SLIPWAY_E_INVALID, "segment is null");
  for (const uint32_t op : {0u, 3u, UINT32_MAX}) {
    RequestSpec request = Write(local_.data(), 16, segment_);
    request.op = op;
    ExpectRefused(request, SLIPWAY_E_INVALID, "op");
  }
}

TEST_F(ValidationTest, TheAccessThatWasNotPublishedIsRefusedLocally) {
  Start();
  segment_ = AddTarget(4 * kKiB).Open({4 * kKiB}, SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE);
  RemoteSegment* read_only = AddTarget(4 * kKiB).Open({4 * kKiB}, SLIPWAY_ACCESS_REMOTE_READ);
  RemoteSegment* write_only = AddTarget(4 * kKiB).Open({4 * kKiB}, SLIPWAY_ACCESS_REMOTE_WRITE);
  ExpectRefused(Write(local_.data(), 16, read_only), SLIPWAY_E_SEGMENT_ACCESS, "without write access");
  ExpectRefused(Read(local_.data(), 16, write_only), SLIPWAY_E_SEGMENT_ACCESS, "without read access");
  EXPECT_EQ(Run({Read(local_.data(), 16, read_only), Write(local_.data(), 16, write_only)}), SLIPWAY_OK);
}

TEST_F(ValidationTest, AnEmptyBatchAndOneThatIsTooLongAreRefused) {
  Configuration setup;
  setup.transfer.max_batch_requests = 4;
  Begin(setup);
  EXPECT_EQ(Refused({}).code(), SLIPWAY_E_INVALID);
  const Status refused = Refused(std::vector<RequestSpec>(5, Write(local_.data(), 16, segment_)));
  EXPECT_EQ(refused.code(), SLIPWAY_E_TOO_LARGE);
  EXPECT_THAT(refused.message(), HasSubstr("transfer.max_batch_requests"));
  EXPECT_EQ(Run(std::vector<RequestSpec>(4, Write(local_.data(), 16, segment_))), SLIPWAY_OK);
}

TEST_F(ValidationTest, MoreRequestsInFlightThanAllowedAreBackPressure) {
  Configuration setup;
  setup.transfer.max_inflight_requests = 3;
  Begin(setup);
  control().set_hold(instance(), 1);
  BatchState* two = Submit({Write(local_.data(), 16, segment_), Write(local_.data(), 16, segment_)});
  const Status refused = Refused({Write(local_.data(), 16, segment_), Write(local_.data(), 16, segment_)});
  EXPECT_EQ(refused.code(), SLIPWAY_E_AGAIN);
  EXPECT_THAT(refused.message(), HasSubstr("transfer.max_inflight_requests"));
  BatchState* one = Submit({Write(local_.data(), 16, segment_)});
  control().set_hold(instance(), 0);
  EXPECT_EQ(Drive(two), SLIPWAY_OK);
  EXPECT_EQ(Drive(one), SLIPWAY_OK);
  Release(two);
  Release(one);
}

TEST_F(ValidationTest, NothingToMoveIsDoneAtOnceAndMovesNothing) {
  Begin();
  BatchState* batch = Submit({Write(nullptr, 0, segment_), Read(nullptr, 0, segment_, 16 * kKiB)});
  ASSERT_TRUE(Done(batch));
  EXPECT_EQ(batch->status, SLIPWAY_OK);
  EXPECT_EQ(Fake().submits, 0u);
  Release(batch);
}

TEST_F(ValidationTest, AClosedSegmentTakesNoNewRequestsAndKeepsTheOldOnes) {
  Begin();
  control().set_hold(instance(), 1);
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
  Settle();
  dispatcher_->Close(segment_);
  EXPECT_EQ(Refused({Write(local_.data(), 16, segment_)}).code(), SLIPWAY_E_CLOSED);
  control().set_hold(instance(), 0);
  EXPECT_EQ(Drive(batch), SLIPWAY_OK);
  Release(batch);
  Settle();
  EXPECT_TRUE(dispatcher_->Links().empty()) << "the last segment of the peer is gone, and so is the link";
}

TEST_F(ValidationTest, ASegmentWithAHoleIsOutOfRangeThereAndWorksElsewhere) {
  Start();
  Target& target = AddTarget(16 * kKiB);
  SegmentTarget described;
  (void)target.Open({16 * kKiB});
  // As a hostile or broken node would describe it: longer than what it registered.
  RemoteSegment* segment = nullptr;
  dispatcher_->Look([&] {});
  segment = target.Open({8 * kKiB});
  segment->length = 16 * kKiB;
  EXPECT_EQ(Run({Write(local_.data(), 4 * kKiB, segment, 4 * kKiB)}), SLIPWAY_OK);
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment, 6 * kKiB)});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_SEGMENT_RANGE);
  EXPECT_THAT(MessageOf(batch), HasSubstr("8192"));
  Release(batch);
}

TEST_F(ValidationTest, NoProtocolInCommonSaysWhatEachSideHas) {
  Begin();
  SegmentTarget target;
  target.name = "far";
  target.length = 16;
  SegmentTarget::Offer offer;
  offer.protocol = "pigeon";
  target.offers.push_back(offer);
  offer.protocol = "fake";
  offer.protocol_min = 2;
  offer.protocol_max = 9;
  target.offers.push_back(offer);
  Result<RemoteSegment*> opened = dispatcher_->Open(target);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), SLIPWAY_E_NO_ROUTE);
  EXPECT_THAT(opened.status().message(), HasSubstr("here fake"));
  EXPECT_THAT(opened.status().message(), HasSubstr("there pigeon, fake"));
}

TEST_F(ValidationTest, AfterStopNothingIsAccepted) {
  Begin();
  control().set_hold(instance(), 1);
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
  Settle();
  dispatcher_->Stop();
  ASSERT_TRUE(Done(batch));
  EXPECT_EQ(batch->status, SLIPWAY_E_CLOSED);
  Release(batch);
  EXPECT_EQ(dispatcher_->Submit(std::vector<RequestSpec>{}, {}).status().code(), SLIPWAY_E_INVALID);
  SegmentTarget target;
  EXPECT_EQ(dispatcher_->Open(target).status().code(), SLIPWAY_E_CLOSED);
}

TEST_F(ValidationTest, ExplainingMovesNothingAndSaysHowItWouldBeCut) {
  Begin();
  Register(local_.data(), 1 * kKiB);
  Result<Explanation> explained = dispatcher_->Explain(Write(local_.data(), 4 * kKiB, segment_));
  ASSERT_TRUE(explained.ok());
  EXPECT_EQ(explained->slices, 2u);
  EXPECT_EQ(explained->registered, 1u);
  EXPECT_EQ(explained->staged, 1u);
  EXPECT_EQ(explained->staged_bytes, 3 * kKiB);
  EXPECT_EQ(explained->plan.count, 1u);
  EXPECT_EQ(Fake().submits, 0u);
  EXPECT_EQ(dispatcher_->Explain(Write(local_.data(), 1 << 20, segment_)).status().code(), SLIPWAY_E_SEGMENT_RANGE);
}

}  // namespace
}  // namespace slipway

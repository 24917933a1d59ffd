// Requests of a batch that continue one another: they go as one, and each is told by itself how it went.
#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

constexpr uint64_t kPage = 4 * kKiB;

class RunsTest : public TransferTest {
 protected:
  static constexpr uint64_t kBytes = 256 * kKiB;

  void StartWith(const Configuration& setup) {
    Start(setup);
    target_ = &AddTarget(kBytes);
    segment_ = target_->Open({kBytes});
  }
  void StartFakes(const std::vector<FakeUse>& transports) {
    Configuration setup;
    setup.transports = transports;
    StartWith(setup);
  }
  void StartOne() { StartFakes({{"fake", R"({"needs_local_reg": false})"}}); }
  std::vector<RequestSpec> Pages(size_t count, uint64_t at = 0) {
    std::vector<RequestSpec> out;
    for (size_t i = 0; i < count; ++i, at += kPage) out.push_back(Write(local_.data() + at, kPage, segment_, at));
    return out;
  }
  bool Arrived(uint64_t bytes) const {
    return std::equal(local_.begin(), local_.begin() + static_cast<ptrdiff_t>(bytes), target_->memory.begin());
  }
  uint64_t SlicesOf(const std::vector<RequestSpec>& requests) {
    const uint64_t before = Fake().slices_accepted;
    EXPECT_EQ(Run(requests), SLIPWAY_OK);
    return Fake().slices_accepted - before;
  }

  std::vector<char> local_ = Pattern(kBytes, 3);
  Target* target_ = nullptr;
  RemoteSegment* segment_ = nullptr;
};

TEST_F(RunsTest, TheyGoAsOneUpToABoundAndCountOneByOne) {
  StartOne();
  BatchState* batch = Submit(Pages(40));
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(40 * kPage));
  EXPECT_EQ(Fake().slices_accepted, 3u);
  EXPECT_EQ(Fake().slice_bytes_max, 64 * kKiB);
  for (const RequestState& r : batch->requests) {
    EXPECT_EQ(r.status, SLIPWAY_OK);
    EXPECT_EQ(r.bytes_done, kPage);
    EXPECT_EQ(r.slices, 1u);
    EXPECT_EQ(r.transport, 0);
    EXPECT_EQ(r.retries, 0u);
  }
  EXPECT_EQ(Count(Counter::kRequests), 40u);
  EXPECT_EQ(Count(Counter::kRequestsInflight), 0u);
  EXPECT_EQ(Count(Counter::kBytesWritten), 40 * kPage);
  EXPECT_EQ(counters_.Observations(Histogram::kRequestBytes), 40u);
  EXPECT_EQ(Count(Counter::kSlices), 3u);
  Release(batch);
  std::vector<char> back(40 * kPage);
  std::vector<RequestSpec> reads;
  for (uint64_t at = 0; at < back.size(); at += kPage) reads.push_back(Read(back.data() + at, kPage, segment_, at));
  EXPECT_EQ(SlicesOf(reads), 3u);
  EXPECT_TRUE(std::equal(back.begin(), back.end(), local_.begin()));
}

TEST_F(RunsTest, WhatDoesNotContinueTheOneBeforeGoesByItself) {
  StartOne();
  char* const at = local_.data();
  const auto both = [&](const RequestSpec& second) { return SlicesOf({Write(at, kPage, segment_), second}); };
  EXPECT_EQ(both(Write(at + kPage, kPage, segment_, kPage)), 1u);
  EXPECT_EQ(both(Write(at + kPage, 1, segment_, kPage)), 1u) << "lengths may differ";
  EXPECT_EQ(both(Write(at + kPage, kPage, segment_, kPage + 1)), 2u);
  EXPECT_EQ(both(Write(at + kPage + 1, kPage, segment_, kPage)), 2u);
  EXPECT_EQ(both(Read(at + kPage, kPage, segment_, kPage)), 2u);
  EXPECT_EQ(both(Write(at, kPage, segment_)), 2u);
  EXPECT_EQ(both(Write(at + kPage, kPage, target_->Open({kBytes}), kPage)), 2u) << "another segment";
  EXPECT_EQ(both(Write(at + kPage, 64 * kKiB, segment_, kPage)), 2u) << "longer together than anything goes as one";
  EXPECT_EQ(SlicesOf({Write(at, kPage, segment_), Write(at + kPage, 0, segment_, kPage),
                      Write(at + kPage, kPage, segment_, kPage)}),
            2u);
}

TEST_F(RunsTest, ABorderOfARegistrationMayLieWithin) {
  StartOne();
  segment_ = target_->Open({10'000, kBytes - 10'000});
  BatchState* batch = Submit(Pages(16));
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(16 * kPage));
  for (const RequestState& r : batch->requests) EXPECT_EQ(r.bytes_done, kPage);
  Release(batch);
}

TEST_F(RunsTest, WhereOneOfThemMayBeTheReasonEachGoesOnceMoreAlone) {
  StartOne();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(Run({Write(local_.data(), kPage, segment_)}), SLIPWAY_OK);
  // The fifth is the run; then of those alone every fifth.
  control().set_complete_status(instance(), SLIPWAY_E_ACCESS, 5);
  BatchState* batch = Submit(Pages(16));
  EXPECT_EQ(Drive(batch), SLIPWAY_E_ACCESS);
  for (size_t i = 0; i < 16; ++i) {
    const RequestState& r = batch->requests[i];
    const bool fails = i % 5 == 4;
    EXPECT_EQ(r.status, fails ? slipway_status{SLIPWAY_E_ACCESS} : slipway_status{SLIPWAY_OK}) << i;
    EXPECT_EQ(r.bytes_done, fails ? 0 : kPage) << i;
    EXPECT_EQ(MessageOf(batch, i).empty(), !fails);
    EXPECT_EQ(r.retries, fails ? 2u : 1u);
    EXPECT_TRUE(fails || std::equal(local_.begin() + static_cast<ptrdiff_t>(i * kPage),
                                    local_.begin() + static_cast<ptrdiff_t>((i + 1) * kPage),
                                    target_->memory.begin() + static_cast<ptrdiff_t>(i * kPage)));
  }
  EXPECT_EQ(Count(Counter::kRequestsFailed), 3u);
  EXPECT_EQ(Count(Counter::kRequestsInflight), 0u);
  Release(batch);
}

TEST_F(RunsTest, WhatOneLacksTheOthersDoNotFailFor) {
  Configuration setup;
  setup.staging.bytes = 0;
  StartWith(setup);
  Register(local_.data(), 8 * kPage);
  BatchState* batch = Submit(Pages(16));
  EXPECT_EQ(Drive(batch), SLIPWAY_E_STAGING_NOT_CONFIGURED);
  EXPECT_TRUE(Arrived(8 * kPage));
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(batch->requests[i].status, i < 8 ? slipway_status{SLIPWAY_OK} : SLIPWAY_E_STAGING_NOT_CONFIGURED) << i;
  }
  Release(batch);
}

TEST_F(RunsTest, APeersFailureIsAllOfThem) {
  StartFakes({{"fake", R"({"needs_local_reg": false})"}, {"fake-b", R"({"needs_local_reg": false})"}});
  control(0).set_complete_status(instance(0), SLIPWAY_E_PEER, 1);
  BatchState* batch = Submit(Pages(16));
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(16 * kPage));
  EXPECT_EQ(Fake(1).slices_accepted, 1u) << "together to the next transport";
  for (const RequestState& r : batch->requests) {
    EXPECT_EQ(r.transport, 1);
    EXPECT_EQ(r.retries, 1u);
  }
  Release(batch);
  control(1).set_complete_status(instance(1), SLIPWAY_E_PEER, 1);
  const uint64_t before = Fake(0).slices_accepted + Fake(1).slices_accepted;
  batch = Submit(Pages(16));
  EXPECT_EQ(Drive(batch), SLIPWAY_E_PEER);
  EXPECT_EQ(Fake(0).slices_accepted + Fake(1).slices_accepted, before + 2) << "there is nobody to try again";
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(batch->requests[i].status, SLIPWAY_E_PEER);
    EXPECT_NE(MessageOf(batch, i), "");
  }
  Release(batch);
}

TEST_F(RunsTest, CutShortNoneIsCompleteBeforeTheTransportIsDoneWithAll) {
  for (const bool cancel : {false, true}) {
    const slipway_status why = cancel ? slipway_status{SLIPWAY_E_CANCELED} : slipway_status{SLIPWAY_E_DEADLINE};
    if (segment_ == nullptr) StartOne();
    control().set_hold(instance(), 1);
    BatchSpec spec;
    spec.timeout_ns = 10 * kMs;
    BatchState* batch = Submit(Pages(16), spec);
    Settle();
    const auto last = reinterpret_cast<uint64_t>(local_.data() + 15 * kPage);
    EXPECT_FALSE(dispatcher_->WaitRangeIdle(last, 1, 0));
    cancel ? dispatcher_->Cancel(batch) : Pass(11 * kMs);
    Progress();
    if (!Done(batch)) {
      for (const RequestState& r : batch->requests) EXPECT_EQ(r.status, SLIPWAY_IN_PROGRESS);
      EXPECT_FALSE(dispatcher_->WaitRangeIdle(last, 1, 0));
    }
    control().set_hold(instance(), 0);
    EXPECT_EQ(Drive(batch), why);
    for (const RequestState& r : batch->requests) {
      EXPECT_EQ(r.status, why);
    }
    EXPECT_TRUE(dispatcher_->WaitRangeIdle(last, 1, 0));
    EXPECT_EQ(Count(Counter::kRequestsInflight), 0u);
    Release(batch);
  }
}

TEST_F(RunsTest, AllAreToldThatStagingIsExhausted) {
  Configuration setup;
  setup.staging.bytes = setup.staging.chunk_bytes = kPage;
  StartWith(setup);
  control().set_hold(instance(), 1);
  BatchState* holder = Submit({Write(local_.data(), kPage, segment_)});
  BatchSpec spec;
  spec.timeout_ns = 10 * kMs;
  BatchState* batch = Submit(Pages(8, 4 * kPage), spec);
  Settle();
  Pass(11 * kMs);
  Settle();
  ASSERT_TRUE(Done(batch));
  for (const RequestState& r : batch->requests) EXPECT_EQ(r.status, SLIPWAY_E_STAGING_EXHAUSTED);
  Release(batch);
  control().set_hold(instance(), 0);
  EXPECT_EQ(Drive(holder), SLIPWAY_OK);
  Release(holder);
}

TEST_F(RunsTest, AllAreStuckWithWhatNeverCompletes) {
  ExpectUnclean();
  StartFakes({{"fake", R"({"never_complete": true, "needs_local_reg": false})"}});
  BatchSpec spec;
  spec.timeout_ns = 10 * kMs;
  BatchState* batch = Submit(Pages(4), spec);
  Settle();
  Pass(11 * kMs);
  Settle();
  EXPECT_FALSE(Done(batch)) << "the transport still has its memory";
  Pass((10'000 + transports_[0]->attrs().peer_timeout_ms) * kMs);
  Settle();
  ASSERT_TRUE(Done(batch));
  for (const RequestState& r : batch->requests) EXPECT_EQ(r.status, SLIPWAY_E_STUCK);
  Release(batch);
  EXPECT_FALSE(dispatcher_->WaitRangeIdle(reinterpret_cast<uint64_t>(local_.data() + 3 * kPage), 16, 0));
}

}  // namespace
}  // namespace slipway

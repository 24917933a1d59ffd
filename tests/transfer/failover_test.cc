// A transport that fails: what is tried elsewhere, when, and what is not; and transports that break their promises.
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;
using testing::Not;

class FailoverTest : public TransferTest {
 protected:
  // Two transports to the same target, the first preferred.
  void StartTwo(const std::string& first = "{}", const std::string& second = "{}") {
    Configuration setup;
    setup.transports = {{"fake", first}, {"fake-b", second}};
    setup.transfer.backoff_initial_ms = 100;
    setup.transfer.backoff_max_ms = 400;
    Start(setup);
    target_ = &AddTarget(64 * kKiB);
    segment_ = target_->Open({64 * kKiB});
  }
  bool Arrived(uint64_t bytes) const {
    return std::equal(local_.begin(), local_.begin() + static_cast<ptrdiff_t>(bytes), target_->memory.begin());
  }
  uint64_t PausedMs(const std::string& transport) {
    for (const auto& link : dispatcher_->Links()) {
      if (link.transport == transport) return link.paused_ms;
    }
    return 0;
  }

  std::vector<char> local_ = Pattern(64 * kKiB, 5);
  Target* target_ = nullptr;
  RemoteSegment* segment_ = nullptr;
};

TEST_F(FailoverTest, APeerFailureIsTriedOnTheNextTransportOnlyAfterItsCompletion) {
  StartTwo();
  control(0).set_hold(instance(0), 1);
  control(0).set_complete_status(instance(0), SLIPWAY_E_TIMEOUT, 1);
  BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
  Settle();
  Pass(30'000 * kMs);
  Settle();
  EXPECT_EQ(Fake(0).inflight_now, 1u);
  EXPECT_EQ(Fake(1).slices_accepted, 0u) << "it may still be written by the first";
  control(0).release_all(instance(0));
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(16 * kKiB));
  EXPECT_EQ(batch->requests[0].transport, 1);
  EXPECT_EQ(batch->requests[0].retries, 1u);
  EXPECT_EQ(batch->requests[0].bytes_done, 16 * kKiB);
  EXPECT_EQ(Count(Counter::kRetries), 1u);
  EXPECT_EQ(Count(Counter::kFailovers), 1u);
  EXPECT_EQ(Count(Counter::kPeersPaused), 1u);
  Release(batch);
}

TEST_F(FailoverTest, APausedTransportIsAvoidedUntilItsBackoffIsOverAndThenProbed) {
  StartTwo();
  control(0).set_complete_status(instance(0), SLIPWAY_E_PEER, 1);
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_GT(PausedMs("fake"), 90u);
  control(0).set_complete_status(instance(0), SLIPWAY_OK, 1);
  const uint64_t before = Fake(0).slices_accepted;
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_EQ(Fake(0).slices_accepted, before) << "it is paused";
  Pass(101 * kMs);
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_EQ(Fake(0).slices_accepted, before + 1) << "it is probed again after its pause";
  EXPECT_EQ(PausedMs("fake"), 0u);
}

TEST_F(FailoverTest, TheBackoffDoublesUpToItsBoundAndStartsAnewAfterASuccess) {
  StartTwo();
  control(0).set_complete_status(instance(0), SLIPWAY_E_PEER, 1);
  for (const uint64_t expected : {100u, 200u, 400u, 400u}) {
    ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
    EXPECT_GT(PausedMs("fake"), expected - 50);
    EXPECT_LE(PausedMs("fake"), expected);
    Pass(expected * kMs);
  }
  control(0).set_complete_status(instance(0), SLIPWAY_OK, 1);
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  control(0).set_complete_status(instance(0), SLIPWAY_E_PEER, 1);
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_LE(PausedMs("fake"), 100u);
}

TEST_F(FailoverTest, AnInstanceFailureTakesTheTransportOutOfServiceForGood) {
  StartTwo();
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  control(0).set_complete_status(instance(0), SLIPWAY_E_DEVICE, 1);
  ASSERT_EQ(Run({Write(local_.data(), 16 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(16 * kKiB));
  EXPECT_TRUE(transports_[0]->failed());
  EXPECT_EQ(Count(Counter::kPluginFailures), 1u);
  EXPECT_THAT(log_.text(), HasSubstr("out of service"));
  control(0).set_complete_status(instance(0), SLIPWAY_OK, 1);
  const uint64_t before = Fake(0).slices_accepted;
  Pass(3'600'000 * kMs);
  ASSERT_EQ(Run({Write(local_.data(), 16 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_EQ(Fake(0).slices_accepted, before);
}

TEST_F(FailoverTest, WhereOneOfItsDevicesFailedTheTransportServesTheOthers) {
  StartTwo();
  control(0).set_complete_status(instance(0), SLIPWAY_E_DEVICE, 2);
  control(1).set_complete_status(instance(1), SLIPWAY_E_IO, 1);
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_), Write(local_.data(), 4 * kKiB, segment_)});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_IO) << "nobody else could";
  EXPECT_EQ(batch->requests[0].status, SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].transport, 0);
  Release(batch);
  EXPECT_FALSE(transports_[0]->failed());
  EXPECT_EQ(Count(Counter::kPluginFailures), 0u);
  EXPECT_EQ(Count(Counter::kPeersPaused), 0u) << "the peer is well";
  const uint64_t before = Fake(0).slices_accepted;
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_EQ(Fake(0).slices_accepted, before + 1);
  // Until the peer cannot be used any more.
  control(0).set_complete_status(instance(0), SLIPWAY_E_DEVICE, 1);
  EXPECT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_E_IO);
  EXPECT_TRUE(transports_[0]->failed());
}

TEST_F(FailoverTest, WhatTheTargetRefusesIsNotTriedElsewhere) {
  StartTwo();
  for (const slipway_status status : {SLIPWAY_E_ACCESS, SLIPWAY_E_STALE_REMOTE}) {
    control(0).set_complete_status(instance(0), status, 1);
    EXPECT_EQ(Run({Write(local_.data(), 16 * kKiB, segment_)}), status);
    EXPECT_EQ(Fake(1).slices_accepted, 0u);
    EXPECT_EQ(Count(Counter::kFailovers), 0u);
    EXPECT_EQ(Count(Counter::kPeersPaused), 0u) << "the peer is well";
  }
}

TEST_F(FailoverTest, AWithdrawnSegmentIsStale) {
  StartTwo();
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  target_->Withdraw();
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_STALE_REMOTE);
  EXPECT_NE(MessageOf(batch), "");
  Release(batch);
}

TEST_F(FailoverTest, WhenEveryTransportFailedTheLastReasonIsTold) {
  StartTwo();
  control(0).set_complete_status(instance(0), SLIPWAY_E_PEER, 1);
  control(1).set_complete_status(instance(1), SLIPWAY_E_TIMEOUT, 1);
  BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_TIMEOUT);
  EXPECT_THAT(MessageOf(batch), HasSubstr("fake-b"));
  EXPECT_EQ(batch->requests[0].retries, 2u);
  Release(batch);
}

TEST_F(FailoverTest, ManySlicesInFlightAllMoveOverAndTheDataIsRight) {
  StartTwo(R"({"max_slice_bytes": 1000, "preferred_slice_bytes": 1000})", R"({"max_slice_bytes": 700})");
  Register(local_.data() + 5'000, 20'000);
  control(0).set_hold(instance(0), 1);
  control(0).set_complete_status(instance(0), SLIPWAY_E_PEER, 3);
  BatchState* batch = Submit({Write(local_.data(), local_.size(), segment_)});
  Settle();
  EXPECT_GT(Fake(0).inflight_now, 10u);
  control(0).set_hold(instance(0), 0);
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(local_.size()));
  EXPECT_EQ(batch->requests[0].bytes_done, local_.size());
  EXPECT_EQ(batch->requests[0].transport, RequestState::kMixed);
  Release(batch);
  std::vector<char> back(local_.size());
  ASSERT_EQ(Run({Read(back.data(), back.size(), segment_)}), SLIPWAY_OK);
  EXPECT_EQ(back, local_);
}

TEST_F(FailoverTest, ADeadPeerDoesNotPauseTheTransportToOthers) {
  StartTwo();
  Target& healthy = AddTarget(4 * kKiB);
  RemoteSegment* other = healthy.Open({4 * kKiB});
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  control(0).set_peer_dead(target_->instance(0), 1);
  ASSERT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, other)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].transport, 0);
  Release(batch);
  control(0).set_peer_dead(target_->instance(0), 0);
  Pass(101 * kMs);
  batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].transport, 0) << "it connects again";
  Release(batch);
}

TEST_F(FailoverTest, APeerThatDoesNotAnswerIsGivenUpAfterTheConnectTimeout) {
  StartTwo(R"({"pause_connect": true})");
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
  Settle();
  Pass(4'999 * kMs);
  Settle();
  EXPECT_FALSE(Done(batch));
  Pass(2 * kMs);
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].transport, 1);
  Release(batch);
}

TEST_F(FailoverTest, ADeadlineWhileConnectingEndsTheRequestAtOnce) {
  StartTwo(R"({"pause_connect": true})");
  BatchSpec spec;
  spec.timeout_ns = 20 * kMs;
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)}, spec);
  Settle();
  Pass(21 * kMs);
  Settle();
  ASSERT_TRUE(Done(batch));
  EXPECT_EQ(batch->status, SLIPWAY_E_DEADLINE);
  Release(batch);
}

TEST_F(FailoverTest, ConnectsThatFailAtOnceAreTriedElsewhere) {
  StartTwo();
  control(0).set_peer_dead(target_->instance(0), 1);
  ASSERT_EQ(Run({Write(local_.data(), 16 * kKiB, segment_)}), SLIPWAY_OK);
  EXPECT_TRUE(Arrived(16 * kKiB));
  EXPECT_EQ(Fake(0).slices_accepted, 0u);
}

TEST_F(FailoverTest, RepeatedCompletionsAreCountedAndHarmless) {
  ExpectUnclean();
  StartTwo(R"({"duplicate_completion": true})");
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(Run({Write(local_.data(), local_.size(), segment_), Read(local_.data(), 100, segment_)}), SLIPWAY_OK);
    Settle();
  }
  EXPECT_TRUE(Arrived(local_.size()));
  EXPECT_GT(Count(Counter::kContractViolations), 0u);
  EXPECT_THAT(log_.text(), HasSubstr("breaks the plugin contract"));
  EXPECT_EQ(Count(Counter::kSlicesInflight), 0u);
  EXPECT_EQ(pool_->used_bytes(), 0u);
}

// ---- a transport that never completes ------------------------------------------------------------------------------

class StuckTest : public FailoverTest {
 protected:
  StuckTest() { ExpectUnclean(); }
  // Submits, lets the deadline pass and the grace after it.
  BatchState* GetStuck(const std::vector<RequestSpec>& requests) {
    BatchSpec spec;
    spec.timeout_ns = 10 * kMs;
    BatchState* batch = Submit(requests, spec);
    Settle();
    Pass(11 * kMs);
    Settle();
    EXPECT_FALSE(Done(batch)) << "the transport still has its memory";
    const uint64_t grace_ms = 10'000 + transports_[0]->attrs().peer_timeout_ms;
    Pass((grace_ms - 5) * kMs);
    Settle();
    EXPECT_FALSE(Done(batch));
    Pass(10 * kMs);
    Settle();
    EXPECT_TRUE(Done(batch));
    return batch;
  }
};

TEST_F(StuckTest, ASliceThatNeverCompletesIsStuckAndItsMemoryIsNeverGivenBack) {
  StartTwo(R"({"never_complete": true})");
  Register(local_.data(), 4 * kKiB);
  BatchState* batch =
      GetStuck({Write(local_.data(), 4 * kKiB, segment_), Write(local_.data() + 8 * kKiB, 4 * kKiB, segment_)});
  EXPECT_EQ(batch->status, SLIPWAY_E_STUCK);
  EXPECT_THAT(MessageOf(batch), HasSubstr("must not be freed"));
  EXPECT_EQ(Count(Counter::kStuck), 2u);
  EXPECT_EQ(pool_->used_bytes(), 4 * kKiB) << "the staging piece may still be read";
  EXPECT_EQ(transports_[0]->ledger().Deregister(registered_[0], 0).code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_TRUE(transports_[0]->failed());
  Release(batch);
  // Everybody else goes on over the other one, with what is left of the pool.
  EXPECT_EQ(Run({Write(local_.data() + 20 * kKiB, 16 * kKiB, segment_)}), SLIPWAY_OK);
}

TEST_F(StuckTest, ALateCompletionOfAnAbandonedSliceIsHarmless) {
  StartTwo(R"({"never_complete": true})");
  BatchState* batch = GetStuck({Read(local_.data(), 4 * kKiB, segment_)});
  Release(batch);
  control(0).set_never_complete(instance(0), 0);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Run({Write(local_.data(), 4 * kKiB, segment_)}), SLIPWAY_OK);
  }
  EXPECT_TRUE(Arrived(4 * kKiB));
}

TEST_F(StuckTest, TheRangeOfAStuckSliceIsNotIdleEvenWithoutARegistration) {
  StartTwo(R"({"never_complete": true, "needs_local_reg": false})");
  BatchState* batch = GetStuck({Read(local_.data(), 4 * kKiB, segment_)});
  EXPECT_EQ(batch->status, SLIPWAY_E_STUCK);
  Release(batch);
  EXPECT_FALSE(dispatcher_->WaitRangeIdle(reinterpret_cast<uint64_t>(local_.data()), 16, 0))
      << "undeclare would say OK, and the application would free memory that may still be written to";
}

TEST_F(StuckTest, StoppingIsBoundedWhenNothingEverCompletes) {
  Configuration setup;
  setup.threaded = true;
  setup.transports = {{"fake", R"({"never_complete": true, "peer_timeout_ms": 1})"}};
  setup.transfer.completion_grace_ms = 50;
  Start(setup);
  segment_ = OpenSegment(64 * kKiB);
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
  dispatcher_->Stop();
  ASSERT_TRUE(Done(batch));
  EXPECT_EQ(batch->status, SLIPWAY_E_STUCK);
  Release(batch);
}

}  // namespace
}  // namespace slipway

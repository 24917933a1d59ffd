// What goes direct and what is staged: per slice, from whether the transport needs registration and what is registered.
#include <algorithm>
#include <random>

#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

class StagingTableTest : public TransferTest {};

TEST_F(StagingTableTest, OneBatchGoesDirectSplitAndStagedAsItsRangesAreRegistered) {
  Start();
  Target& target = AddTarget(48 * kKiB);
  RemoteSegment* segment = target.Open({48 * kKiB});
  std::vector<char> full = Pattern(16 * kKiB, 1), half = Pattern(16 * kKiB, 2), none = Pattern(16 * kKiB, 3);
  Register(full.data(), full.size());
  Register(half.data(), 8 * kKiB);
  const uint64_t registered = Fake().registers;
  // In an order in which none goes together with another, wherever they lie.
  BatchState* batch =
      Submit({Write(none.data(), none.size(), segment, 32 * kKiB), Write(half.data(), half.size(), segment, 16 * kKiB),
              Write(full.data(), full.size(), segment, 0)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[2].slices, 1u);
  EXPECT_EQ(batch->requests[2].staged_slices, 0u);
  EXPECT_EQ(batch->requests[1].slices, 2u);
  EXPECT_EQ(batch->requests[1].staged_slices, 1u);
  EXPECT_EQ(batch->requests[0].slices, 1u);
  EXPECT_EQ(batch->requests[0].staged_slices, 1u);
  for (const RequestState& r : batch->requests) EXPECT_EQ(r.bytes_done, 16 * kKiB);
  EXPECT_EQ(Count(Counter::kSlicesDirect), 2u);
  EXPECT_EQ(Count(Counter::kSlicesStaged), 2u);
  EXPECT_EQ(Count(Counter::kStagedBytes), 24 * kKiB);
  EXPECT_EQ(Fake().registers, registered) << "nothing is registered on the way";
  EXPECT_TRUE(std::equal(full.begin(), full.end(), target.memory.begin()));
  EXPECT_TRUE(std::equal(half.begin(), half.end(), target.memory.begin() + 16 * kKiB));
  EXPECT_TRUE(std::equal(none.begin(), none.end(), target.memory.begin() + 32 * kKiB));
  Release(batch);
}

TEST_F(StagingTableTest, ReadsAreStagedBackIntoUnregisteredMemory) {
  Start();
  Target& target = AddTarget(40 * kKiB);
  target.memory = Pattern(40 * kKiB, 7);
  RemoteSegment* segment = target.Open({40 * kKiB});
  std::vector<char> local(40 * kKiB);
  Register(local.data() + 10'000, 5'000);
  ASSERT_EQ(Run({Read(local.data(), local.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(local, target.memory);
  EXPECT_EQ(Count(Counter::kSlicesDirect), 1u);
  EXPECT_EQ(Count(Counter::kStagedBytes), 40 * kKiB - 5'000) << "all but the registered 5000 bytes";
}

TEST_F(StagingTableTest, NothingIsStagedOverATransportThatNeedsNoRegistration) {
  Configuration setup;
  setup.transports = {{"fake", R"({"needs_local_reg": false})"}};
  setup.staging.bytes = 0;
  Start(setup);
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  std::vector<char> local = Pattern(64 * kKiB, 1);
  ASSERT_EQ(Run({Write(local.data() + 1, local.size() - 1, segment, 1)}), SLIPWAY_OK);
  EXPECT_TRUE(std::equal(local.begin() + 1, local.end(), target.memory.begin() + 1));
  EXPECT_EQ(Count(Counter::kSlicesStaged), 0u);
}

TEST_F(StagingTableTest, EachTargetsTransportDecidesForItsOwnSlices) {
  Configuration setup;
  setup.transports = {{"fake", R"({"needs_local_reg": false})"}, {"fake-b", "{}"}};
  setup.transfer.slice_bytes = 8 * kKiB;
  Start(setup);
  Target& target = AddTarget(32 * kKiB);
  RemoteSegment* first_choice = target.Open({32 * kKiB});
  std::vector<char> local = Pattern(32 * kKiB, 1);
  BatchState* batch = Submit({Write(local.data(), 16 * kKiB, first_choice, 0)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].staged_slices, 0u);
  EXPECT_EQ(batch->requests[0].transport, 0);
  Release(batch);
  EXPECT_EQ(Fake(1).slices_accepted, 0u);
  // The first is out of service for the rest of the batch: the same memory is staged over the second.
  control(0).set_complete_status(instance(0), SLIPWAY_E_DEVICE, 1);
  batch = Submit({Write(local.data() + 16 * kKiB, 16 * kKiB, first_choice, 16 * kKiB)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].transport, 1);
  EXPECT_GE(batch->requests[0].staged_slices, 1u);
  Release(batch);
  EXPECT_TRUE(std::equal(local.begin(), local.end(), target.memory.begin()));
}

TEST_F(StagingTableTest, MemoryOfAKindThatNoTransportReachesHasNoRoute) {
  Start();
  RemoteSegment* segment = OpenSegment(4 * kKiB);
  std::vector<char> local(4 * kKiB);
  RequestSpec request = Write(local.data(), local.size(), segment);
  request.local_kind = SLIPWAY_MEM_ROCM;
  BatchState* batch = Submit({request});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_NO_ROUTE);
  EXPECT_THAT(MessageOf(batch), HasSubstr("kind of local memory"));
  Release(batch);
}

TEST_F(StagingTableTest, ManySmallUnregisteredPiecesShareOneStagingAllocation) {
  Start();
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  std::vector<std::vector<char>> pieces;
  std::vector<RequestSpec> requests;
  for (uint32_t i = 0; i < 100; ++i) {
    pieces.push_back(Pattern(100, i));
    requests.push_back(Write(pieces.back().data(), 100, segment, 256 * i));
  }
  control().set_hold(instance(), 1);
  BatchState* batch = Submit(requests);
  Settle();
  EXPECT_EQ(Fake().slices_accepted, 100u) << "all of them fit at once";
  // 100 pieces of 100 bytes, each rounded up to 128, in one run of whole pages.
  EXPECT_EQ(Count(Counter::kStagingNowBytes), 16 * kKiB);
  EXPECT_EQ(batch->block->pieces, 100u);
  EXPECT_EQ(batch->block->bytes, 16 * kKiB);
  control().set_hold(instance(), 0);
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  Release(batch);
  EXPECT_EQ(Count(Counter::kStagingPeakBytes), 16 * kKiB);
  EXPECT_EQ(Count(Counter::kStagingWaits), 0u);
  for (uint32_t i = 0; i < 100; ++i) {
    EXPECT_TRUE(std::equal(pieces[i].begin(), pieces[i].end(), target.memory.begin() + 256 * i)) << i;
  }
}

TEST_F(StagingTableTest, StagedPiecesAreAlignedAsTheTransportDemands) {
  Configuration setup;
  setup.transports = {{"fake", R"({"local_align": 512})"}};
  Start(setup);
  Target& target = AddTarget(16 * kKiB);
  RemoteSegment* segment = target.Open({16 * kKiB});
  std::vector<char> local = Pattern(16 * kKiB, 1);
  std::vector<RequestSpec> requests;
  for (uint32_t i = 0; i < 4; ++i) requests.push_back(Write(local.data() + 1024 * i + 1, 100, segment, 1024 * i));
  ASSERT_EQ(Run(requests), SLIPWAY_OK);
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(
        std::equal(local.begin() + 1024 * i + 1, local.begin() + 1024 * i + 101, target.memory.begin() + 1024 * i));
  }
}

TEST_F(StagingTableTest, MisalignedLocalMemoryIsStagedEvenWhereItIsRegistered) {
  Configuration setup;
  setup.transports = {{"fake", R"({"local_align": 64})"}};
  Start(setup);
  RemoteSegment* segment = OpenSegment(16 * kKiB);
  alignas(64) static char local[8 * kKiB];
  Register(local, sizeof local);
  BatchState* batch = Submit({Write(local, 4096, segment), Write(local + 1, 4096, segment, 4096)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_EQ(batch->requests[0].staged_slices, 0u);
  EXPECT_GT(batch->requests[1].staged_slices, 0u);
  Release(batch);
}

TEST_F(StagingTableTest, AnAccessThatTheRegistrationDoesNotGrantIsStaged) {
  Start();
  Target& target = AddTarget(8 * kKiB);
  RemoteSegment* segment = target.Open({8 * kKiB});
  std::vector<char> local = Pattern(8 * kKiB, 1);
  auto made =
      transports_[0]->ledger().Register(local.data(), local.size(), SLIPWAY_ACCESS_LOCAL_READ, SLIPWAY_MEM_HOST);
  ASSERT_TRUE(made.ok());
  registered_[0] = *made;
  ASSERT_EQ(Run({Write(local.data(), local.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(Count(Counter::kSlicesStaged), 0u) << "a write only reads the local side";
  ASSERT_EQ(Run({Read(local.data(), local.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(Count(Counter::kSlicesDirect), 1u);
  EXPECT_EQ(Count(Counter::kStagedBytes), local.size());
}

TEST_F(StagingTableTest, TheBudgetIsNeverExceededAndWhatItForbidsIsStaged) {
  Configuration setup;
  setup.budget_bytes = 64 * kKiB + 40 * kKiB;  // the pool, and a little
  Start(setup);
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  std::vector<char> local = Pattern(64 * kKiB, 1);
  Register(local.data(), 16 * kKiB);
  auto refused =
      transports_[0]->ledger().Register(local.data(), local.size(), SLIPWAY_ACCESS_LOCAL_READ, SLIPWAY_MEM_HOST);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), SLIPWAY_E_PIN_BUDGET);
  ASSERT_EQ(Run({Write(local.data(), local.size(), segment)}), SLIPWAY_OK);
  EXPECT_EQ(target.memory, local);
  EXPECT_EQ(Count(Counter::kStagedBytes), 48 * kKiB);
  EXPECT_LE(Fake().registered_bytes_peak, setup.budget_bytes);
  EXPECT_LE(Count(Counter::kPinPeakBytes), setup.budget_bytes);
}

// Random registrations that touch, overlap and nest, and random requests over them: the bytes are right, the transport
// sees nothing it could object to, and exactly the bytes that no registration covers are staged.
class StagingTablePropertyTest : public StagingTableTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(StagingTablePropertyTest, RandomRegistrationsAndRequests) {
  constexpr uint64_t kBytes = 96 * kKiB;
  std::mt19937 random(GetParam());
  const auto pick = [&](uint64_t limit) { return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random); };
  Configuration setup;
  setup.transports = {{"fake", R"({"max_slice_bytes": 10000, "preferred_slice_bytes": 4096, "max_submit_batch": 7,
                                   "max_inflight": 9, "max_mr_bytes": 200000})"}};
  setup.staging.bytes = (1 + pick(8)) * 16 * kKiB;
  setup.staging.chunk_bytes = 4096 + pick(12'000);
  setup.staging.share_per_batch_percent = 1 + pick(100);
  Start(setup);
  Target& target = AddTarget(kBytes);
  RemoteSegment* segment = target.Open({1 + pick(5000), 40 * kKiB, 1, 7 * kKiB, 30 * kKiB});
  std::vector<char> local = Pattern(kBytes, GetParam());
  std::vector<bool> covered(kBytes, false);
  for (uint64_t i = 0, n = pick(12); i < n; ++i) {
    const uint64_t begin = pick(kBytes), length = 1 + pick(std::min<uint64_t>(kBytes - begin, 20'000));
    Register(local.data() + begin, length);
    std::fill_n(covered.begin() + static_cast<ptrdiff_t>(begin), length, true);
  }
  for (int round = 0; round < 8; ++round) {
    std::vector<char> expected = target.memory;
    std::vector<RequestSpec> requests;
    uint64_t uncovered = 0, at = 0;
    while (at < segment->length && requests.size() < 20) {
      const uint64_t length = 1 + pick(std::min<uint64_t>(segment->length - at, 1 + pick(30'000)));
      const uint64_t from = pick(kBytes - length);
      requests.push_back(Write(local.data() + from, length, segment, at));
      std::copy_n(local.begin() + static_cast<ptrdiff_t>(from), length, expected.begin() + static_cast<ptrdiff_t>(at));
      uncovered += static_cast<uint64_t>(std::count(covered.begin() + static_cast<ptrdiff_t>(from),
                                                    covered.begin() + static_cast<ptrdiff_t>(from + length), false));
      at += length + pick(100);
    }
    const uint64_t staged_before = Count(Counter::kStagedBytes);
    ASSERT_EQ(Run(requests), SLIPWAY_OK);
    EXPECT_EQ(target.memory, expected);
    EXPECT_EQ(Count(Counter::kStagedBytes) - staged_before, uncovered);
    std::vector<char> back(segment->length);
    ASSERT_EQ(Run({Read(back.data(), back.size(), segment)}), SLIPWAY_OK);
    EXPECT_TRUE(std::equal(back.begin(), back.end(), target.memory.begin()));
  }
  EXPECT_LE(Fake().slice_bytes_max, 10'000u);
  EXPECT_LE(Fake().inflight_peak, 9u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StagingTablePropertyTest, testing::Range(0u, 30u));

}  // namespace
}  // namespace slipway

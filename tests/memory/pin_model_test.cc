// Random walks of the cache against a model: what must hold after every step, whatever the order.
#include <algorithm>
#include <array>
#include <random>

#include "core/memory/mapping.h"
#include "tests/memory/pin_cache_fixture.h"

namespace slipway {
namespace {

class PinModelTest : public PinCacheTest, public testing::WithParamInterface<uint32_t> {
 protected:
  struct Region {
    uint64_t begin, length;
  };
  struct Held {
    ExtentLease lease;
    uint64_t addr;
  };

  uint64_t Pick(uint64_t n) { return n == 0 ? 0 : random_() % n; }

  // What holds after each step.
  void Check() {
    ASSERT_LE(budget_->used_bytes(), budget_->cap_bytes());
    ASSERT_EQ(budget_->used_bytes(), pinner_->bytes());
    for (const Held& h : held_) {
      ASSERT_TRUE(pinner_->Holds(h.addr, h.lease.bytes)) << "unpinned while leased";
      for (uint32_t i = 0; i < h.lease.count; ++i) {
        ASSERT_EQ(ExtentWord::StateOf(h.lease.first[i].word.load()), ExtentWord::kPinned);
      }
    }
  }
  bool Held_(const Region& region) const {
    return std::any_of(held_.begin(), held_.end(),
                       [&](const Held& h) { return h.addr >= region.begin && h.addr < region.begin + region.length; });
  }
  void StepDeclare() {
    if (regions_.size() >= 6) return;
    // Regions do not overlap here, so that it is known whose extents a lease holds.
    const Region region{kHome + (next_++ * 64 + Pick(8)) * kChunk + Pick(5) * 1000, 1 + Pick(12 * kChunk)};
    cache_->Declare(region.begin, region.length, SLIPWAY_MEM_HOST);
    regions_.push_back(region);
  }
  void StepUndeclare() {
    if (regions_.empty()) return;
    const size_t i = Pick(regions_.size());
    const Region region = regions_[i];
    const Status status = cache_->Undeclare(region.begin, region.length, 0);
    if (Held_(region)) {
      ASSERT_EQ(status.code(), SLIPWAY_E_REGION_BUSY);
      return;
    }
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_FALSE(pinner_->Holds(region.begin, region.length)) << "returned before all of it was unpinned";
    regions_.erase(regions_.begin() + static_cast<ptrdiff_t>(i));
  }
  void StepAsk() {
    if (regions_.empty()) return;
    const Region& region = regions_[Pick(regions_.size())];
    const uint64_t offset = Pick(region.length);
    const uint64_t addr = region.begin + offset, length = 1 + Pick(std::min(region.length - offset, 3 * kChunk));
    ExtentLease lease;
    const LeaseAnswer answer = Ask(addr - kHome, length, &lease, Pick(2) == 0 ? kToRead : kToWrite, Pick(4) == 0);
    ASSERT_NE(answer, LeaseAnswer::kNotDeclared);
    if (answer == LeaseAnswer::kGranted) held_.push_back({lease, addr});
    if (answer == LeaseAnswer::kStage) cache_->Copied(0, addr, lease.bytes, clock_.NowNs());
  }
  void StepReturn() {
    if (held_.empty()) return;
    const size_t i = Pick(held_.size());
    cache_->Return(held_[i].lease);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(i));
  }
  void StepTrouble() {
    constexpr std::array<slipway_status, 4> kRefusals = {SLIPWAY_E_PIN_LIMIT, SLIPWAY_E_NOMEM, SLIPWAY_E_INVALID,
                                                         SLIPWAY_OK};
    pinner_->refuse_with = kRefusals[Pick(4)];
    pinner_->refuse_times = Pick(6);
    pinner_->unpin_with = Pick(8) == 0 ? slipway_status{SLIPWAY_E_REGION_BUSY} : slipway_status{SLIPWAY_OK};
  }

  std::minstd_rand random_{GetParam() + 1};
  std::vector<Region> regions_;
  std::vector<Held> held_;
  uint64_t next_ = 1;
};

TEST_P(PinModelTest, HoldsAtEveryStep) {
  options_.room_wait_ms = Pick(3) * 10;
  options_.high_watermark_percent = 50 + Pick(51);
  options_.low_watermark_percent = 30 + Pick(20);
  options_.pin_from_bytes = Pick(2) == 0 ? 0 : 1 + Pick(2 * kChunk);
  PinnerTraits traits = Traits();
  traits.max_pins = Pick(2) == 0 ? 0 : 4 + static_cast<uint32_t>(Pick(20));
  Make((4 + Pick(12)) * kChunk, traits);
  SetCosts(1'000 + Pick(40'000), 1'000 + Pick(40'000));
  // The cache is looked at while the pinner is called, too.
  pinner_->on_pin = pinner_->on_unpin = [this] { ASSERT_LE(budget_->used_bytes(), budget_->cap_bytes()); };
  for (int step = 0; step < 1500 && !HasFatalFailure(); ++step) {
    switch (Pick(12)) {
      case 0:
        StepDeclare();
        break;
      case 1:
        if (pinner_->unpin_with == SLIPWAY_OK) StepUndeclare();
        break;
      case 2:
      case 3:
      case 4:
        StepReturn();
        break;
      case 5:
        Pass(Pick(200) * kMs);
        break;
      case 6:
        (void)cache_->RunOnce();
        break;
      case 7:
        if (Pick(5) == 0) StepTrouble();
        break;
      case 8:
        if (Pick(10) == 0) cache_->MakeRoom(Pick(4 * kChunk));
        break;
      default:
        StepAsk();
    }
    Check();
  }
  while (!held_.empty()) StepReturn();
  pinner_->unpin_with = SLIPWAY_OK;
  while (!regions_.empty()) StepUndeclare();
  EXPECT_EQ(pinner_->count(), 0u);
  EXPECT_EQ(budget_->used_bytes(), 0u);
  EXPECT_EQ(Count(Counter::kRegisteredBytes), Count(Counter::kDeregisteredBytes));
}

INSTANTIATE_TEST_SUITE_P(Seeds, PinModelTest, testing::Range(0u, 40u));

// Declaring, pinning and undeclaring over and over leaves neither memory mapped nor storage that grows.
TEST_F(PinCacheTest, ChurnLeavesNothingBehind) {
  const auto round = [this] {
    for (uint64_t r = 0; r < 8; ++r) Declare(r * 64 * kChunk, 16 * kChunk);
    for (uint64_t r = 0; r < 8; ++r) cache_->Return(Hold(r * 64 * kChunk, kChunk));
    for (uint64_t r = 0; r < 8; ++r) EXPECT_TRUE(Undeclare(r * 64 * kChunk, 16 * kChunk).ok());
  };
  round();
  const uint64_t mappings = MappingCount();
  ASSERT_GT(mappings, 0u);
  for (int i = 0; i < 50; ++i) round();
  EXPECT_LE(MappingCount(), mappings + 8) << "the heap may take a little, churn must not";
  EXPECT_EQ(pinner_->count(), 0u);
}

}  // namespace
}  // namespace slipway

// Host memory that a provider's copies use: pinned by that provider when it is hot, under the budget that all share.
#include "core/memory/host_use.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/memory/copier.h"
#include "core/memory/provider_pinner.h"
#include "tests/fixtures/fake_memory_control.h"
#include "tests/memory/pin_cache_fixture.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

using testing::HasSubstr;

constexpr uint64_t kDevice = uint64_t{1} << 32;
constexpr uint64_t kExtents = 64;

// Regions of 64 extents, real memory that is never unmapped under a copy, and a device.
class HostUseTest : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = kExtents * kChunk;

  HostUseTest() : control_(LoadControl()) {
    options_.chunk_bytes = kChunk;
    options_.window_ms = 1000;
    options_.ttl_ms = 5000;
    options_.room_wait_ms = 20;
    options_.reap_interval_ms = 100;
    // A multiple of the chunk, so that the first extent is whole.
    void* const mapped = mmap(nullptr, kBytes + kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(mapped, MAP_FAILED);
    mapped_ = static_cast<char*>(mapped);
    host_memory_ = mapped_ + (kChunk - reinterpret_cast<uintptr_t>(mapped_) % kChunk) % kChunk;
  }
  ~HostUseTest() override {
    if (service_ != nullptr && copier_ != nullptr) service_->Close(copier_);
    if (declared_) {
      EXPECT_TRUE(Undeclare().ok());
    }
    cache_.reset();
    service_.reset();
    munmap(mapped_, kBytes + kChunk);
  }

  void Make(uint64_t cap_bytes, const std::string& provider_options = "{}") {
    EXPECT_TRUE(providers_.Add(table_, host_.table(), provider_options, "").ok());
    budget_ = std::make_unique<PinBudget>(cap_bytes, counters_);
    cache_ = std::make_unique<PinCache>(PinCache::Parts{options_, budget_.get(), &clock_, &log_, &counters_});
    service_ = std::make_unique<CopyService>(providers_, counters_);
    pinner_ = std::make_unique<ProviderPinner>(providers_.all()[0], *service_);
    cache_->AddPinner(*pinner_, pinner_->Traits());
    // Pinning pays at the second touch.
    cache_->pin_cost(0).Fit(kChunk, 20'000, 2 * kChunk, 40'000);
    cache_->copy_cost(0).Fit(kChunk, 1'000, 2 * kChunk, 2'000);
    service_->PinWith(*cache_, {0});
    copier_ = *service_->Open(this, Counter::kDirectProviderCopies);
    device_ = static_cast<char*>(control_.alloc(provider(), kBytes));
  }
  void Declare() {
    cache_->Declare(reinterpret_cast<uint64_t>(host_memory_), kBytes, SLIPWAY_MEM_HOST, PinFor::kDevices);
    declared_ = true;
  }
  Status Undeclare() {
    declared_ = false;
    return cache_->Undeclare(reinterpret_cast<uint64_t>(host_memory_), kBytes, 0, PinFor::kDevices);
  }
  slipway_provider* provider() const { return providers_.all()[0].instance; }
  slipway_fake_memory_counters Device() const {
    slipway_fake_memory_counters out{};
    control_.get_counters(provider(), &out);
    return out;
  }
  slipway_copy Down(uint64_t offset, uint64_t length) const {
    return {offset, host_memory_ + offset, device_ + offset, length, SLIPWAY_MEM_HOST, kDevice};
  }
  void Submit(const std::vector<slipway_copy>& pieces) {
    slipway_error error{};
    uint32_t accepted = 0;
    ASSERT_EQ(copier_->Submit(pieces.data(), sizeof pieces[0], static_cast<uint32_t>(pieces.size()), &accepted, &error),
              SLIPWAY_OK);
    ASSERT_EQ(accepted, pieces.size());
  }
  void PollAll() {
    std::vector<slipway_completion> out(64);
    for (uint32_t n = 1; n > 0;) {
      ASSERT_EQ(copier_->Poll(out.data(), sizeof out[0], 64, &n), SLIPWAY_OK);
      for (uint32_t i = 0; i < n; ++i) EXPECT_EQ(out[i].status, SLIPWAY_OK);
    }
  }
  // Copies, and has done what the cache's thread would do.
  void Copy(uint64_t offset, uint64_t length) {
    Submit({Down(offset, length)});
    PollAll();
    RunAll();
    clock_.Advance(kMs);
  }
  void RunAll() {
    for (int i = 0; i < 1000 && cache_->RunOnce(); ++i) {
    }
  }
  uint64_t Count(Counter c) const { return counters_.Get(c); }

  CacheOptions options_;
  FakeClock clock_;
  QuietLogger log_;
  Counters counters_;
  test::TestHost host_;
  const slipway_memory_provider* table_ = nullptr;
  const slipway_fake_memory_control& control_;
  Providers providers_;
  std::unique_ptr<PinBudget> budget_;
  std::unique_ptr<ProviderPinner> pinner_;
  std::unique_ptr<PinCache> cache_;
  std::unique_ptr<CopyService> service_;
  Copier* copier_ = nullptr;
  char* mapped_ = nullptr;
  char* host_memory_ = nullptr;
  char* device_ = nullptr;
  bool declared_ = false;

 private:
  const slipway_fake_memory_control& LoadControl() {
    table_ = &test::LoadMemoryProvider(test::FixturePath("fake-memory"));
    return *static_cast<const slipway_fake_memory_control*>(table_->get_extension(SLIPWAY_FAKE_MEMORY_EXTENSION));
  }
};

TEST_F(HostUseTest, WhatIsCopiedAgainIsPinnedAndCopiedDirectlyFromThenOn) {
  Make(PinBudget::kNoCap);
  Declare();
  Copy(0, kChunk);
  EXPECT_EQ(Device().pins, 0u) << "a first touch of something small is not worth it";
  Copy(0, kChunk);
  EXPECT_EQ(Device().pins, 1u);
  EXPECT_EQ(Device().pinned_pieces, 0u);
  Copy(0, kChunk);
  EXPECT_EQ(Device().pinned_pieces, 1u);
  EXPECT_EQ(budget_->used_bytes(), kChunk);
  EXPECT_EQ(Count(Counter::kPinHits), 1u);
  EXPECT_TRUE(Undeclare().ok());
  EXPECT_EQ(Device().pinned_bytes_now, 0u);
  EXPECT_EQ(budget_->used_bytes(), 0u);
}

TEST_F(HostUseTest, OneLongPieceUsesAllThatItTouchesAndManyShortOnesAskOnce) {
  Make(PinBudget::kNoCap);
  Declare();
  for (int i = 0; i < 3; ++i) Copy(kChunk / 2, 3 * kChunk);
  EXPECT_EQ(Device().pins, 4u) << "three chunks long, and it begins within one";
  EXPECT_EQ(Device().pinned_bytes_now, 4 * kChunk);
  const uint64_t hits = Count(Counter::kPinHits);
  std::vector<slipway_copy> pieces;
  for (uint64_t i = 0; i < 64; ++i) pieces.push_back(Down((i * 37 % 64) * kKiB, 512));
  Submit(pieces);
  PollAll();
  EXPECT_EQ(Count(Counter::kPinHits) - hits, 1u);
}

TEST_F(HostUseTest, MoreExtentsThanAreKeptApartAreAllSeen) {
  Make(PinBudget::kNoCap);
  Declare();
  std::vector<slipway_copy> pieces;
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 0; i < kExtents; ++i) pieces.push_back(Down(i * kChunk + 64 * (1 - round), kChunk / 2));
  }
  for (int i = 0; i < 2; ++i) {
    Submit(pieces);
    PollAll();
    RunAll();
  }
  EXPECT_EQ(Device().pinned_bytes_now, kBytes);
}

TEST_F(HostUseTest, WhatNobodyDeclaredIsNotPinned) {
  Make(PinBudget::kNoCap);
  for (int i = 0; i < 5; ++i) Copy(0, kChunk);
  EXPECT_EQ(Device().pins, 0u);
  EXPECT_EQ(Count(Counter::kPinStagedInstead), 0u);
}

TEST_F(HostUseTest, TheBudgetHoldsAtEveryStepWithAWorkingSetOfEightTimesAsMuch) {
  const uint64_t cap = kBytes / 8;
  Make(cap);
  Declare();
  std::mt19937_64 random(7);
  for (int step = 0; step < 4000; ++step) {
    // Now hot, now anywhere.
    const uint64_t extent = step % 3 == 0 ? random() % kExtents : random() % 6 + static_cast<uint64_t>(step) / 500;
    const uint64_t offset = extent % kExtents * kChunk + random() % (kChunk / 2);
    Copy(offset, std::min(kBytes - offset, 1 + random() % (2 * kChunk)));
    ASSERT_LE(budget_->used_bytes(), cap) << step;
    ASSERT_EQ(Device().pinned_bytes_now, budget_->used_bytes()) << step;
    if (step % 16 == 0) clock_.Advance(300 * kMs);
  }
  EXPECT_LE(Device().pinned_bytes_peak, cap);
  EXPECT_GT(Device().pinned_pieces, 100u) << "what is hot is pinned";
  EXPECT_GT(Count(Counter::kPinEvictions), 0u) << "and what was gives way";
}

TEST_F(HostUseTest, WhatACopyInFlightUsesIsNotUnpinned) {
  Make(PinBudget::kNoCap);
  Declare();
  for (int i = 0; i < 2; ++i) Copy(0, kChunk);
  ASSERT_EQ(Device().pinned_bytes_now, kChunk);
  control_.set_hold(provider(), 1);
  Submit({Down(kChunk / 2, 1000)});
  clock_.Advance(60'000 * kMs);
  RunAll();
  EXPECT_EQ(Device().unpins, 0u) << "idle for long, but for the copy that does not end";
  EXPECT_EQ(Undeclare().code(), SLIPWAY_E_REGION_BUSY);
  declared_ = true;
  control_.set_hold(provider(), 0);
  PollAll();
  clock_.Advance(200 * kMs);
  RunAll();
  EXPECT_EQ(Device().unpins, 1u);
  EXPECT_EQ(Device().pinned_bytes_now, 0u);
}

TEST_F(HostUseTest, RoomThatIsAskedForIsMadeOfWhatIsIdle) {
  Make(4 * kChunk);
  Declare();
  for (int i = 0; i < 2; ++i) Copy(0, 3 * kChunk);
  ASSERT_EQ(budget_->used_bytes(), 3 * kChunk);
  EXPECT_FALSE(budget_->TryReserve(2 * kChunk));
  cache_->AskForRoom(2 * kChunk);
  RunAll();
  EXPECT_TRUE(budget_->TryReserve(2 * kChunk));
  EXPECT_LE(Device().pinned_bytes_now, 2 * kChunk);
  budget_->Release(2 * kChunk);
}

TEST_F(HostUseTest, AProviderThatRefusesIsDoneWithoutAndItIsSaidOnce) {
  Make(PinBudget::kNoCap, R"({"pin_limit_bytes": 0})");
  Declare();
  for (int i = 0; i < 50; ++i) {
    std::memset(control_.view(provider(), device_), 'a' + i % 26, 2 * kChunk);
    Copy(0, 2 * kChunk);
    EXPECT_EQ(host_memory_[2 * kChunk - 1], 'a' + i % 26);
    clock_.Advance(50 * kMs);
  }
  EXPECT_GT(Device().pins_refused, 0u);
  EXPECT_EQ(budget_->used_bytes(), 0u);
  EXPECT_THAT(log_.text, HasSubstr("refuses to pin more"));
  EXPECT_EQ(std::count(log_.text.begin(), log_.text.end(), '\n'), 1) << log_.text;
  control_.set_pin_limit(provider(), UINT64_MAX);
  clock_.Advance(10'000 * kMs);
  for (int i = 0; i < 3; ++i) Copy(0, kChunk);
  EXPECT_GT(Device().pinned_bytes_now, 0u) << "tried again after a while";
}

TEST_F(HostUseTest, WhatTheApplicationHasPinnedItselfIsLeftToIt) {
  Make(PinBudget::kNoCap);
  Declare();
  slipway_pin* theirs = nullptr;
  ASSERT_EQ(table_->pin_host(provider(), host_memory_, 4096, &theirs, nullptr), SLIPWAY_OK);
  for (int i = 0; i < 20; ++i) Copy(0, kChunk);
  EXPECT_EQ(Device().pins, 1u) << "theirs";
  EXPECT_EQ(budget_->used_bytes(), 0u);
  EXPECT_EQ(std::count(log_.text.begin(), log_.text.end(), '\n'), 1) << log_.text;
  EXPECT_LE(Count(Counter::kRegisterRefused), 2u) << "not asked at every copy";
  ASSERT_EQ(table_->unpin_host(provider(), theirs, nullptr), SLIPWAY_OK);
  clock_.Advance(1'500 * kMs);
  for (int i = 0; i < 3; ++i) Copy(0, kChunk);
  EXPECT_EQ(budget_->used_bytes(), kChunk) << "tried again after a while";
}

TEST_F(HostUseTest, ARangeDeclaredTwiceIsPinnedUntilBothHaveTakenItBack) {
  Make(PinBudget::kNoCap);
  Declare();
  Declare();
  for (int i = 0; i < 2; ++i) Copy(0, kChunk);
  ASSERT_EQ(Device().pinned_bytes_now, kChunk);
  EXPECT_TRUE(Undeclare().ok());
  EXPECT_EQ(Device().pinned_bytes_now, kChunk);
  EXPECT_TRUE(Undeclare().ok());
  EXPECT_EQ(Device().pinned_bytes_now, 0u);
  EXPECT_EQ(Undeclare().code(), SLIPWAY_E_NOT_DECLARED);
}

}  // namespace
}  // namespace slipway

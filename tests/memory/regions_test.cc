// Declared memory: counted, registered where that is needed, and let go of only when nothing uses it.
#include "core/memory/regions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/memory/fake_registrar.h"

namespace slipway {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kPage = 4096;

// Two transports that register host memory, and one for another kind.
class RegionsTest : public testing::Test {
 protected:
  RegionsTest() {
    for (int i = 0; i < 3; ++i) {
      ledgers_[i] = std::make_unique<Ledger>(registrars_[i], Ledger::Limits{0, 1, kPage}, budget_, counters_);
    }
    regions_ = std::make_unique<Regions>(
        std::vector<RegisteringTransport>{{"one", ledgers_[0].get(), SLIPWAY_MEM_HOST},
                                          {"two", ledgers_[1].get(), SLIPWAY_MEM_HOST | SLIPWAY_MEM_CUDA},
                                          {"three", ledgers_[2].get(), SLIPWAY_MEM_CUDA}});
  }
  Status Declare(uint64_t at, uint64_t length, DeclareMode mode = DeclareMode::kBestEffort,
                 uint64_t kind = SLIPWAY_MEM_HOST) {
    warnings_.clear();
    return regions_->Declare(reinterpret_cast<void*>(at), length, kind, mode, &warnings_);
  }
  Status Undeclare(uint64_t at, uint64_t length) { return regions_->Undeclare(reinterpret_cast<void*>(at), length, 0); }
  std::vector<size_t> Counts() const {
    return {registrars_[0].count(), registrars_[1].count(), registrars_[2].count()};
  }

  Counters counters_;
  PinBudget budget_{100 * kPage, counters_};
  FakeRegistrar registrars_[3];
  std::unique_ptr<Ledger> ledgers_[3];
  std::unique_ptr<Regions> regions_;
  std::vector<std::string> warnings_;
};

TEST_F(RegionsTest, IsRegisteredWhereItsKindIsReached) {
  EXPECT_TRUE(Declare(kPage, 100).ok());
  EXPECT_EQ(Counts(), (std::vector<size_t>{1, 1, 0}));
  EXPECT_TRUE(Declare(8 * kPage, 100, DeclareMode::kBestEffort, SLIPWAY_MEM_CUDA).ok());
  EXPECT_EQ(Counts(), (std::vector<size_t>{1, 2, 1}));
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
  EXPECT_TRUE(Undeclare(8 * kPage, 100).ok());
  EXPECT_EQ(Counts(), (std::vector<size_t>{0, 0, 0}));
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(RegionsTest, TheSameRangeTwiceCountsTwiceAndIsRegisteredOnce) {
  ASSERT_TRUE(Declare(kPage, 100).ok());
  ASSERT_TRUE(Declare(kPage, 100, DeclareMode::kNever).ok());
  EXPECT_EQ(registrars_[0].count(), 1u);
  EXPECT_EQ(regions_->Count(reinterpret_cast<void*>(kPage), 100), 2u);
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
  EXPECT_EQ(registrars_[0].count(), 1u);
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
  EXPECT_EQ(registrars_[0].count(), 0u);
  EXPECT_EQ(Undeclare(kPage, 100).code(), SLIPWAY_E_NOT_DECLARED);
}

TEST_F(RegionsTest, OnlyTheExactRangeIsTakenBack) {
  ASSERT_TRUE(Declare(kPage, 100).ok());
  ASSERT_TRUE(Declare(kPage, 50).ok()) << "ranges may overlap";
  EXPECT_EQ(Undeclare(kPage, 99).code(), SLIPWAY_E_NOT_DECLARED);
  EXPECT_EQ(Undeclare(kPage + 1, 99).code(), SLIPWAY_E_NOT_DECLARED);
  EXPECT_TRUE(Undeclare(kPage, 50).ok());
  EXPECT_EQ(ledgers_[0]->CoverAt(kPage, 100, SLIPWAY_ACCESS_LOCAL_READ).bytes, 100u);
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
}

TEST_F(RegionsTest, BestEffortWarnsAndGoesOn) {
  registrars_[0].FailRegisterAfter(0, SLIPWAY_E_PIN_LIMIT);
  EXPECT_TRUE(Declare(kPage, 100).ok());
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_EQ(Counts(), (std::vector<size_t>{0, 1, 0}));
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
}

TEST_F(RegionsTest, RequiredFailsAndLeavesNothing) {
  registrars_[1].FailRegisterAfter(0, SLIPWAY_E_PIN_LIMIT);
  EXPECT_EQ(Declare(kPage, 100, DeclareMode::kRequired).code(), SLIPWAY_E_PIN_LIMIT);
  EXPECT_EQ(Counts(), (std::vector<size_t>{0, 0, 0}));
  EXPECT_EQ(budget_.used_bytes(), 0u);
  EXPECT_THAT(regions_->Views(), IsEmpty());
  EXPECT_EQ(Undeclare(kPage, 100).code(), SLIPWAY_E_NOT_DECLARED);
}

TEST_F(RegionsTest, RequiredAfterALooserDeclareStillMeansRegistered) {
  ASSERT_TRUE(Declare(kPage, 100, DeclareMode::kNever).ok());
  const Status required = Declare(kPage, 100, DeclareMode::kRequired);
  EXPECT_TRUE(!required.ok() || registrars_[0].count() == 1u) << "said to be registered, and it is not";
}

TEST_F(RegionsTest, NeverRegistersNothing) {
  EXPECT_TRUE(Declare(kPage, 100, DeclareMode::kNever).ok());
  EXPECT_EQ(Counts(), (std::vector<size_t>{0, 0, 0}));
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
}

TEST_F(RegionsTest, MoreThanTheBudgetIsAWarningOrAnError) {
  EXPECT_TRUE(Declare(kPage, 99 * kPage).ok());
  EXPECT_THAT(warnings_, SizeIs(1)) << "the second transport found no room";
  EXPECT_EQ(Declare(kPage, 98 * kPage, DeclareMode::kRequired).code(), SLIPWAY_E_PIN_BUDGET);
  EXPECT_LE(budget_.used_bytes(), budget_.cap_bytes());
  EXPECT_TRUE(Undeclare(kPage, 99 * kPage).ok());
}

TEST_F(RegionsTest, BusyIsStillDeclaredAndWorksLater) {
  ASSERT_TRUE(Declare(kPage, 100).ok());
  Registration* lease = ledgers_[1]->CoverWithLease(kPage, 10, SLIPWAY_ACCESS_LOCAL_READ).registration;
  EXPECT_EQ(Undeclare(kPage, 100).code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_EQ(regions_->Count(reinterpret_cast<void*>(kPage), 100), 1u);
  ledgers_[1]->ReturnLease(lease);
  EXPECT_TRUE(Undeclare(kPage, 100).ok());
  EXPECT_EQ(Counts(), (std::vector<size_t>{0, 0, 0}));
}

TEST_F(RegionsTest, AFailedDeregistrationIsToldAndTheRegionIsGone) {
  ASSERT_TRUE(Declare(kPage, 100).ok());
  registrars_[0].FailDeregister(1, SLIPWAY_E_DEVICE);
  EXPECT_EQ(Undeclare(kPage, 100).code(), SLIPWAY_E_DEVICE);
  EXPECT_EQ(registrars_[1].count(), 0u) << "the other transport's is gone all the same";
  EXPECT_EQ(budget_.used_bytes(), kPage);
  EXPECT_EQ(Undeclare(kPage, 100).code(), SLIPWAY_E_NOT_DECLARED);
}

TEST_F(RegionsTest, ViewsSayWhatIsDeclared) {
  ASSERT_TRUE(Declare(kPage, 100).ok());
  ASSERT_TRUE(Declare(kPage, 100).ok());
  const std::vector<Regions::View> views = regions_->Views();
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].address, kPage);
  EXPECT_EQ(views[0].length, 100u);
  EXPECT_EQ(views[0].declared, 2u);
  EXPECT_EQ(views[0].registrations, 2u);
  regions_->Clear();
  EXPECT_THAT(regions_->Views(), IsEmpty());
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(RegionsTest, TheKindOfDeclaredMemoryIsKnown) {
  ASSERT_TRUE(Declare(kPage, 4 * kPage, DeclareMode::kNever, SLIPWAY_MEM_CUDA).ok());
  ASSERT_TRUE(Declare(8 * kPage, kPage, DeclareMode::kNever).ok());
  EXPECT_EQ(regions_->FindHolder(kPage, 4 * kPage).mem_kind, SLIPWAY_MEM_CUDA);
  EXPECT_EQ(regions_->FindHolder(5 * kPage - 1, 1).address, kPage);
  EXPECT_EQ(regions_->FindHolder(8 * kPage, 1).mem_kind, SLIPWAY_MEM_HOST);
  // Before, beyond, across the end, and in between.
  EXPECT_EQ(regions_->FindHolder(kPage - 1, 1).length, 0u);
  EXPECT_EQ(regions_->FindHolder(9 * kPage, 1).length, 0u);
  EXPECT_EQ(regions_->FindHolder(4 * kPage, kPage + 1).length, 0u);
  EXPECT_EQ(regions_->FindHolder(6 * kPage, 1).length, 0u);
  ASSERT_TRUE(Undeclare(kPage, 4 * kPage).ok());
  EXPECT_EQ(regions_->FindHolder(kPage, 1).length, 0u);
}

}  // namespace
}  // namespace slipway

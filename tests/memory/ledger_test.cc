// What is registered, for whom, and when it may be let go of.
#include "core/memory/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "tests/memory/fake_registrar.h"

namespace slipway {
namespace {

using testing::HasSubstr;

constexpr uint32_t kRead = SLIPWAY_ACCESS_LOCAL_READ;
constexpr uint32_t kWrite = SLIPWAY_ACCESS_LOCAL_WRITE;
constexpr uint32_t kBoth = kRead | kWrite;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kBase = uint64_t{1} << 20;  // never touched, only named

class LedgerTest : public testing::Test {
 protected:
  using Registrations = std::vector<Registration*>;

  explicit LedgerTest(uint64_t cap = PinBudget::kNoCap) : budget_(cap, counters_) { Make({0, 1, kPage}); }
  ~LedgerTest() override { ledger_.reset(); }

  void Make(const Ledger::Limits& limits) {
    ledger_ = std::make_unique<Ledger>(registrar_, limits, budget_, counters_);
  }
  static void* At(uint64_t offset) { return reinterpret_cast<void*>(kBase + offset); }
  Registrations Register(uint64_t offset, uint64_t length, uint32_t access = kBoth) {
    auto made = ledger_->Register(At(offset), length, access, SLIPWAY_MEM_HOST);
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? *made : Registrations();
  }
  Status Refused(uint64_t offset, uint64_t length) {
    auto made = ledger_->Register(At(offset), length, kBoth, SLIPWAY_MEM_HOST);
    EXPECT_FALSE(made.ok());
    return made.status();
  }
  void Deregister(Registrations& registrations) {
    const Status status = ledger_->Deregister(registrations, 0);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(registrations.empty());
  }
  LocalCover Cover(uint64_t offset, uint64_t length, uint32_t access = kRead) {
    return ledger_->CoverAt(kBase + offset, length, access);
  }
  // Offset and length of the registration that the answer names, -1 for none, and how far the answer reaches.
  void ExpectCover(uint64_t offset, uint64_t length, int64_t start, uint64_t bytes, uint32_t access = kRead) {
    const LocalCover cover = Cover(offset, length, access);
    EXPECT_EQ(cover.bytes, bytes) << "from " << offset;
    const int64_t at = cover.registration == nullptr ? -1 : static_cast<int64_t>(cover.registration->start() - kBase);
    EXPECT_EQ(at, start) << "from " << offset;
  }

  Counters counters_;
  PinBudget budget_;
  FakeRegistrar registrar_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(LedgerTest, SaysHowFarOneRegistrationReaches) {
  Registrations r = Register(1000, 500);
  ExpectCover(1000, 500, 1000, 500);
  ExpectCover(1200, 1000, 1000, 300);
  ExpectCover(1499, 1, 1000, 1);
  ExpectCover(1500, 100, -1, 100);
  ExpectCover(900, 600, -1, 100);
  ExpectCover(0, 50, -1, 50);
  Deregister(r);
  ExpectCover(1000, 500, -1, 500);
}

TEST_F(LedgerTest, TwoThatTouchAreNotOne) {
  Registrations a = Register(0, 100), b = Register(100, 100);
  ExpectCover(0, 200, 0, 100);
  ExpectCover(99, 2, 0, 1);
  ExpectCover(100, 100, 100, 100);
  Deregister(a);
  ExpectCover(0, 200, -1, 100);
  Deregister(b);
}

TEST_F(LedgerTest, ASmallOneInsideALargeOneHidesNothing) {
  Registrations large = Register(0, 1000), small = Register(400, 100);
  ExpectCover(0, 1000, 0, 1000);
  ExpectCover(450, 400, 0, 400);
  Deregister(large);
  ExpectCover(0, 1000, -1, 400);
  ExpectCover(400, 1000, 400, 100);
  Deregister(small);
  ExpectCover(400, 100, -1, 100);
}

TEST_F(LedgerTest, TheSmallOneMayGoFirst) {
  Registrations small = Register(400, 100), large = Register(0, 1000);
  Deregister(small);
  ExpectCover(400, 500, 0, 500);
  Deregister(large);
}

TEST_F(LedgerTest, TheSameRangeTwiceIsTwoRegistrations) {
  Registrations one = Register(0, 100), two = Register(0, 100);
  EXPECT_NE(one[0], two[0]);
  EXPECT_EQ(registrar_.count(), 2u);
  EXPECT_EQ(ledger_->totals().registrations, 2u);
  EXPECT_EQ(budget_.used_bytes(), 2 * kPage);
  Deregister(one);
  ExpectCover(0, 100, 0, 100);
  Deregister(two);
  ExpectCover(0, 100, -1, 100);
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(LedgerTest, OnlyTheAccessThatWasAskedForCounts) {
  Registrations read = Register(0, 1000, kRead), both = Register(500, 100, kBoth);
  ExpectCover(0, 1000, 0, 1000, kRead);
  ExpectCover(0, 1000, -1, 500, kWrite);
  ExpectCover(500, 1000, 500, 100, kWrite);
  ExpectCover(500, 1000, 500, 100, kBoth);
  Deregister(read);
  Deregister(both);
}

TEST_F(LedgerTest, ChargesWholePagesOnceForEachDeviceThatPins) {
  Make({0, 3, kPage});
  Registrations r = Register(4095, 2);
  EXPECT_EQ(r[0]->charged_bytes, 2 * kPage * 3);
  EXPECT_EQ(budget_.used_bytes(), 2 * kPage * 3);
  EXPECT_EQ(ledger_->totals().charged_bytes, 2 * kPage * 3);
  EXPECT_EQ(ledger_->totals().registered_bytes, 2u);
  Deregister(r);
  Make({0, 0, kPage});
  r = Register(0, 1 << 20);
  EXPECT_EQ(budget_.used_bytes(), 0u) << "a transport that pins nothing is charged nothing";
  Deregister(r);
}

TEST_F(LedgerTest, SplitsAtTheLargestRegistrationOnPages) {
  Make({10'000, 1, kPage});
  Registrations r = Register(0, 20'000);
  ASSERT_EQ(r.size(), 3u);
  uint64_t at = kBase;
  for (const FakeRegistrar::Range& range : registrar_.ranges()) {
    EXPECT_EQ(range.addr, at);
    EXPECT_LE(range.length, 10'000u);
    at += range.length;
  }
  EXPECT_EQ(at, kBase + 20'000);
  ExpectCover(0, 20'000, 0, 8192);
  ExpectCover(8192, 20'000, 8192, 8192);
  Deregister(r);
  EXPECT_EQ(registrar_.count(), 0u);
}

TEST_F(LedgerTest, ALargestRegistrationBelowAPageIsStillUsedInFull) {
  Make({1000, 0, kPage});
  Registrations r = Register(0, 5000);
  EXPECT_EQ(r.size(), 5u);
  Deregister(r);
}

TEST_F(LedgerTest, WhenOnePartIsRefusedNothingStaysRegistered) {
  Make({8192, 1, kPage});
  registrar_.FailRegisterAfter(2, SLIPWAY_E_PIN_LIMIT);
  EXPECT_EQ(Refused(0, 40'000).code(), SLIPWAY_E_PIN_LIMIT);
  EXPECT_EQ(registrar_.count(), 0u);
  EXPECT_EQ(budget_.used_bytes(), 0u);
  EXPECT_EQ(counters_.Get(Counter::kRegisterRefused), 1u);
  ExpectCover(0, 40'000, -1, 40'000);
}

TEST_F(LedgerTest, WhatCannotBeUndoneAtOnceIsNotForgotten) {
  Make({8192, 1, kPage});
  registrar_.FailRegisterAfter(2, SLIPWAY_E_PIN_LIMIT);
  registrar_.FailDeregister(1, SLIPWAY_E_BUSY);
  EXPECT_EQ(Refused(0, 40'000).code(), SLIPWAY_E_PIN_LIMIT);
  ExpectCover(0, 40'000, -1, 40'000);
  registrar_.FailRegisterAfter(UINT64_MAX, SLIPWAY_OK);
  Registrations another = Register(80'000, 100);  // by now, or at the latest with the next one to go, it is tried again
  Deregister(another);
  EXPECT_EQ(registrar_.count(), 0u) << "registered, and nobody can ever deregister it";
  EXPECT_EQ(budget_.used_bytes(), 0u);
  ExpectCover(0, 40'000, -1, 40'000);
}

TEST_F(LedgerTest, ARefusedRegistrationReturnsItsCharge) {
  registrar_.FailRegisterAfter(0, SLIPWAY_E_NOMEM);
  EXPECT_EQ(Refused(0, 100).code(), SLIPWAY_E_NOMEM);
  EXPECT_EQ(budget_.used_bytes(), 0u);
  EXPECT_EQ(ledger_->totals().registrations, 0u);
}

TEST_F(LedgerTest, LeasesKeepARegistrationAndAreNotGivenWhileItCloses) {
  Registrations r = Register(0, 100);
  const LocalCover lease = ledger_->CoverWithLease(kBase + 10, 50, kRead);
  ASSERT_EQ(lease.registration, r[0]);
  const Status busy = ledger_->Deregister(r, 1'000'000);
  EXPECT_EQ(busy.code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_THAT(busy.message(), HasSubstr("in flight"));
  EXPECT_EQ(r.size(), 1u);
  EXPECT_EQ(registrar_.count(), 1u);
  ExpectCover(0, 100, 0, 100);
  ledger_->ReturnLease(lease.registration);
  Deregister(r);
}

TEST_F(LedgerTest, DeregisteringWaitsForTheLastLeaseAndGivesNoneMeanwhile) {
  Registrations r = Register(0, 100);
  Registration* first = ledger_->CoverWithLease(kBase, 50, kRead).registration;
  Registration* second = ledger_->CoverWithLease(kBase + 50, 50, kRead).registration;
  ASSERT_EQ(first, second);
  std::atomic<bool> gone{false};
  std::thread closer([&] {
    EXPECT_TRUE(ledger_->Deregister(r, 30'000'000'000).ok());
    gone = true;
  });
  while (Cover(0, 100).registration != nullptr) std::this_thread::yield();
  EXPECT_EQ(ledger_->CoverWithLease(kBase, 100, kRead).registration, nullptr);
  ledger_->ReturnLease(first);
  EXPECT_FALSE(gone);
  EXPECT_EQ(registrar_.count(), 1u);
  ledger_->ReturnLease(second);
  closer.join();
  EXPECT_EQ(registrar_.count(), 0u);
}

TEST_F(LedgerTest, WhenThePluginSaysBusyItIsFoundAgainAndMayBeTriedAgain) {
  Make({8192, 1, kPage});
  Registrations r = Register(0, 3 * 8192);
  registrar_.FailDeregister(1, SLIPWAY_E_BUSY);
  EXPECT_EQ(ledger_->Deregister(r, 0).code(), SLIPWAY_E_REGION_BUSY);
  for (Registration* left : r) {
    EXPECT_EQ(Cover(left->start() - kBase, 1).registration, left);
  }
  EXPECT_EQ(registrar_.count(), r.size());
  Deregister(r);
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(LedgerTest, AFailedDeregistrationKeepsItsCharge) {
  Registrations r = Register(0, 100), other = Register(kPage, 100);
  registrar_.FailDeregister(1, SLIPWAY_E_DEVICE);
  EXPECT_EQ(ledger_->Deregister(r, 0).code(), SLIPWAY_E_DEVICE);
  EXPECT_TRUE(r.empty()) << "it is not tried again";
  ExpectCover(0, 100, -1, 100);
  EXPECT_EQ(budget_.used_bytes(), 2 * kPage) << "its pages may still be pinned";
  EXPECT_EQ(counters_.Get(Counter::kDeregisterFailed), 1u);
  Deregister(other);
  EXPECT_EQ(budget_.used_bytes(), kPage);
  ledger_->Abandon();
  EXPECT_EQ(budget_.used_bytes(), 0u) << "the instance is gone, and its pins with it";
}

class BudgetedLedgerTest : public LedgerTest {
 protected:
  BudgetedLedgerTest() : LedgerTest(10 * kPage) {}
};

TEST_F(BudgetedLedgerTest, TheBudgetIsReservedBeforeAndReleasedAfter) {
  registrar_.OnRegister([&] { EXPECT_GE(budget_.used_bytes(), registrar_.registered_bytes() + 4 * kPage); });
  registrar_.OnDeregister([&] { EXPECT_GE(budget_.used_bytes(), registrar_.registered_bytes()); });
  Registrations a = Register(0, 4 * kPage), b = Register(8 * kPage, 4 * kPage);
  const Status refused = Refused(16 * kPage, 3 * kPage);
  EXPECT_EQ(refused.code(), SLIPWAY_E_PIN_BUDGET);
  EXPECT_THAT(refused.message(), HasSubstr("memory.budget_bytes"));
  EXPECT_EQ(registrar_.count(), 2u) << "the plugin was not even asked";
  Deregister(a);
  Registrations c = Register(16 * kPage, 4 * kPage);
  Deregister(b);
  Deregister(c);
}

TEST_F(BudgetedLedgerTest, ThreadsNeverRegisterBeyondTheCap) {
  std::atomic<uint64_t> above{0};
  registrar_.OnRegister([&] { above += budget_.used_bytes() > budget_.cap_bytes(); });
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<uint32_t>(t) + 1);
      for (int i = 0; i < 1'000; ++i) {
        const uint64_t at = t * 100 * kPage + random() % (10 * kPage), length = 1 + random() % (3 * kPage);
        auto made = ledger_->Register(At(at), length, kBoth, SLIPWAY_MEM_HOST);
        above += registrar_.registered_bytes() > budget_.cap_bytes();
        if (!made.ok()) continue;
        Registration* lease = ledger_->CoverWithLease(kBase + at, length, kRead).registration;
        if (lease != nullptr) ledger_->ReturnLease(lease);
        (void)ledger_->Deregister(*made, 1'000'000'000);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(above, 0u);
  EXPECT_EQ(budget_.used_bytes(), 0u);
  EXPECT_EQ(ledger_->totals().registrations, 0u);
  EXPECT_EQ(registrar_.count(), 0u);
}

// Random registrations and lookups against a list.
class LedgerPropertyTest : public LedgerTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(LedgerPropertyTest, LooksUpWhatAListWould) {
  std::mt19937 random(GetParam());
  const auto pick = [&](uint64_t limit) { return random() % limit; };
  struct Entry {
    uint64_t begin, end;
    uint32_t access;
    Registrations registrations;
  };
  std::vector<Entry> model;
  for (int step = 0; step < 600; ++step) {
    if (model.empty() || pick(5) < 2) {
      const uint64_t begin = pick(300), length = 1 + pick(100);
      const auto access = static_cast<uint32_t>(1 + pick(3));
      model.push_back({begin, begin + length, access, Register(begin, length, access)});
    } else if (pick(3) == 0) {
      const auto at = static_cast<ptrdiff_t>(pick(model.size()));
      Deregister(model[static_cast<size_t>(at)].registrations);
      model.erase(model.begin() + at);
    }
    const uint64_t from = pick(420), length = 1 + pick(200);
    const auto access = static_cast<uint32_t>(1 + pick(3));
    uint64_t best = 0, next = from + length;
    for (const Entry& e : model) {
      if ((e.access & access) != access) continue;
      if (e.begin > from) next = std::min(next, e.begin);
      if (e.begin <= from && e.end > from) best = std::max(best, std::min(e.end - from, length));
    }
    const LocalCover cover = Cover(from, length, access);
    ASSERT_EQ(cover.registration != nullptr, best > 0);
    ASSERT_EQ(cover.bytes, best > 0 ? best : next - from);
    if (best > 0) {
      ASSERT_LE(cover.registration->start(), kBase + from);
      ASSERT_GE(cover.registration->start() + cover.registration->length(), kBase + from + best);
    }
  }
  for (Entry& e : model) Deregister(e.registrations);
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerPropertyTest, testing::Range(0u, 20u));

}  // namespace
}  // namespace slipway

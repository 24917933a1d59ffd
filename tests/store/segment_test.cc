// Mounting undone step by step, unmounting beside readers, room made by eviction.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/leases.h"
#include "core/store/local_directory.h"
#include "core/store/session.h"
#include "core/store/store.h"
#include "tests/store/fake_plane.h"

namespace slipway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DirectoryTest : public testing::Test {
 protected:
  static StoreOptions Options() {
    StoreOptions options;
    options.chunk_bytes = 4096;
    options.high_watermark_percent = 90;
    options.low_watermark_percent = 50;
    options.copy_threads = 1;
    return options;
  }
  Status Mount(const std::string& name, uint64_t bytes = 64 * 1024) {
    return directory_->Mount(name, std::move(*SegmentMemory::Map(bytes)));
  }
  slipway_status Put(const std::string& key, const std::string& value, WritePolicy policy = {}) {
    Item item;
    item.key = key;
    item.pieces.push_back({const_cast<char*>(value.data()), value.size(), nullptr, 0});
    ObjectStore::Statuses statuses;
    const Status call = store_->Write({&item, 1}, policy, false, 0, &statuses);
    message_ = call.ok() ? statuses[0].message() : call.message();
    return call.ok() ? statuses[0].code() : call.code();
  }
  std::unique_ptr<HeldValue> Hold(const std::string& key) {
    const std::string_view name = key;
    std::vector<std::unique_ptr<HeldValue>> values;
    ObjectStore::Statuses statuses;
    EXPECT_TRUE(store_->Get({&name, 1}, {}, false, &values, &statuses).ok());
    message_ = statuses[0].message();
    code_ = statuses[0].code();
    return std::move(values[0]);
  }
  std::string Read(const std::string& key) {
    const auto held = Hold(key);
    return held == nullptr ? "[" + std::to_string(code_) + "]" : std::string(held->data(), held->length());
  }
  bool Has(const std::string& key) {
    const std::string_view name = key;
    ObjectStat stat;
    EXPECT_TRUE(directory_->Stat({&name, 1}, {&stat, 1}).ok());
    return stat.code == SLIPWAY_OK;
  }

  FakePlane plane_;
  Counters counters_;
  FakeClock clock_;
  std::shared_ptr<LocalDirectory> directory_ = std::make_shared<LocalDirectory>(Options(), plane_, counters_);
  std::unique_ptr<ObjectStore> store_ = std::make_unique<ObjectStore>(Options(), plane_, directory_, counters_, clock_);
  std::string message_;
  slipway_status code_ = SLIPWAY_OK;
};

TEST_F(DirectoryTest, MountingIsUndoneInReverse) {
  ASSERT_TRUE(Mount("a").ok());
  ASSERT_TRUE(directory_->Unmount("a", 0).ok());
  EXPECT_THAT(plane_.steps, ElementsAre("declare", "publish", "open", "close", "withdraw", "undeclare"));
}

TEST_F(DirectoryTest, EachStepThatFailsLeavesNothing) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"declare", {}},
      {"publish", {"declare", "undeclare"}},
      {"open", {"declare", "publish", "withdraw", "undeclare"}}};
  for (const auto& [fails, steps] : cases) {
    plane_.steps.clear();
    plane_.fails = fails;
    const Status status = Mount("a");
    EXPECT_EQ(status.code(), SLIPWAY_E_IO);
    EXPECT_THAT(status.message(), HasSubstr("segment \"a\": " + fails));
    EXPECT_EQ(plane_.steps, steps);
    EXPECT_TRUE(directory_->segments()->empty());
    EXPECT_EQ(counters_.Get(Counter::kStoreSegments), 0u);
  }
  plane_.fails.clear();
  EXPECT_TRUE(Mount("a").ok());
}

TEST_F(DirectoryTest, MemoryThatCannotBeHadIsSaid) {
  EXPECT_EQ(SegmentMemory::Map(0).status().code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(SegmentMemory::Map(uint64_t{1} << 57).status().code(), SLIPWAY_E_NOMEM);
  EXPECT_EQ(SegmentMemory::MapFile("/nowhere/at/all", 4096).status().code(), SLIPWAY_E_IO);
  EXPECT_EQ(Mount("bad name").code(), SLIPWAY_E_INVALID);
  ASSERT_TRUE(Mount("a").ok());
  EXPECT_EQ(Mount("a").code(), SLIPWAY_E_SEGMENT_EXISTS);
}

TEST_F(DirectoryTest, UnmountingWaitsForReadersAndIsBounded) {
  ASSERT_TRUE(Mount("a").ok());
  ASSERT_EQ(Put("k", "value"), SLIPWAY_OK);
  auto held = Hold("k");
  EXPECT_EQ(directory_->Unmount("a", 1'000'000).code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_EQ(std::string(held->data(), held->length()), "value");
  EXPECT_EQ(Put("other", "still works"), SLIPWAY_OK);
  held.reset();
  EXPECT_TRUE(directory_->Unmount("a", 0).ok());
  EXPECT_FALSE(Has("other"));
  EXPECT_EQ(Put("k", "value"), SLIPWAY_E_NO_SPACE);
  EXPECT_EQ(directory_->Unmount("a", 0).code(), SLIPWAY_E_NO_SEGMENT);
}

TEST_F(DirectoryTest, WhatCannotBeTakenDownCanBeTriedAgain) {
  ASSERT_TRUE(Mount("a").ok());
  plane_.fails = "undeclare";
  EXPECT_EQ(directory_->Unmount("a", 0).code(), SLIPWAY_E_IO);
  plane_.fails.clear();
  EXPECT_TRUE(directory_->Unmount("a", 0).ok());
}

TEST_F(DirectoryTest, ReplicasElsewhereKeepTheObject) {
  ASSERT_TRUE(Mount("a").ok());
  EXPECT_EQ(Put("k", "value", {.replicas = 2}), SLIPWAY_E_NO_SPACE);
  ASSERT_TRUE(Mount("b").ok());
  ASSERT_EQ(Put("k", "value", {.replicas = 2}), SLIPWAY_OK);
  ASSERT_EQ(Put("only a", "x", {.preferred = {"a"}}), SLIPWAY_OK);
  EXPECT_EQ(directory_->used_bytes(), 3 * 64u);
  ASSERT_TRUE(directory_->Unmount("a", 0).ok());
  EXPECT_EQ(Read("k"), "value");
  EXPECT_FALSE(Has("only a"));
  EXPECT_EQ(directory_->used_bytes(), 64u);
  EXPECT_EQ(counters_.Get(Counter::kStoreObjects), 1u);
}

TEST_F(DirectoryTest, ADamagedReplicaIsPassedOver) {
  ASSERT_TRUE(Mount("a").ok());
  ASSERT_EQ(Put("k", "value"), SLIPWAY_OK);
  (*directory_->segments())[0]->base()[2] ^= 1;
  EXPECT_EQ(Read("k"), "[" + std::to_string(SLIPWAY_E_CHECKSUM) + "]");
  EXPECT_THAT(message_, HasSubstr("\"k\""));
  EXPECT_EQ(counters_.Get(Counter::kStoreChecksumErrors), 1u);
  ASSERT_TRUE(Mount("b").ok());
  ASSERT_EQ(Put("k", "value", {.replace = true, .replicas = 2}), SLIPWAY_OK);
  for (const auto& segment : *directory_->segments()) {
    if (segment->name() == "a") std::memset(segment->base(), 0, 4096);
  }
  EXPECT_EQ(Read("k"), "value");
}

TEST_F(DirectoryTest, AFullStoreEvictsTheLeastRecentlyUsed) {
  ASSERT_TRUE(Mount("a", 100 * 1024).ok());
  const std::string value(1024, 'v');
  for (int i = 0; i < 90; ++i) ASSERT_EQ(Put(std::to_string(i), value), SLIPWAY_OK);
  Read("0");
  const auto held = Hold("1");
  EXPECT_EQ(counters_.Get(Counter::kStoreEvictions), 0u);
  ASSERT_EQ(Put("more", value), SLIPWAY_OK);  // down to a half
  EXPECT_EQ(counters_.Get(Counter::kStoreEvictions), 41u);
  EXPECT_TRUE(Has("0") && Has("1") && Has("89") && Has("more"));
  EXPECT_FALSE(Has("2") || Has("42"));
  EXPECT_TRUE(Has("43"));
  EXPECT_LE(directory_->used_bytes(), 50u * 1024 + 1024);
}

TEST_F(DirectoryTest, WhatIsPinnedStaysAndIsCountedInTheRefusal) {
  ASSERT_TRUE(Mount("a", 32 * 1024).ok());
  const std::string value(1024, 'v');
  for (int i = 0; i < 8; ++i) ASSERT_EQ(Put("p" + std::to_string(i), value, {.keep = KeepClass::kPinned}), SLIPWAY_OK);
  ASSERT_EQ(Put("soft", value, {.keep = KeepClass::kSoftPinned}), SLIPWAY_OK);
  ASSERT_EQ(Put("plain", std::string(6 * 1024, 'e')), SLIPWAY_OK);
  ASSERT_EQ(Put("large", std::string(15 * 1024, 'l')), SLIPWAY_OK);
  EXPECT_FALSE(Has("plain") || Has("soft"));
  EXPECT_EQ(Put("too much", std::string(25 * 1024, 'l')), SLIPWAY_E_NO_SPACE);
  EXPECT_THAT(message_, HasSubstr("25600 bytes were asked for and 9216 are free"));
  EXPECT_EQ(Put("never", std::string(33 * 1024, 'l')), SLIPWAY_E_TOO_LARGE);
  EXPECT_FALSE(Has("too much") || Has("never"));
  EXPECT_TRUE(Has("large")) << "nothing goes for a write that cannot succeed";
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(Has("p" + std::to_string(i)));
}

// Neither bytes that are pinned, nor those that are read, nor what lies between them could make room for it.
TEST_F(DirectoryTest, AWriteThatCanNeverFitEvictsNothing) {
  ASSERT_TRUE(Mount("a", 32 * 1024).ok());
  const std::string value(1024, 'v');
  std::vector<std::unique_ptr<HeldValue>> held;
  for (int i = 0; i < 28; ++i) {
    const bool pinned = i < 24 && i % 8 == 3;
    ASSERT_EQ(Put(std::to_string(i), value, {.keep = pinned ? KeepClass::kPinned : KeepClass::kEvictable}), SLIPWAY_OK);
    if (i % 8 == 7) held.push_back(Hold(std::to_string(i)));
  }
  // Three of every four can be evicted, and from the last one that is held on all.
  EXPECT_EQ(Put("doomed", std::string(20 * 1024, 'd')), SLIPWAY_E_NO_SPACE);
  EXPECT_EQ(Put("doomed by a little", std::string(8 * 1024 + 1, 'd')), SLIPWAY_E_NO_SPACE);
  EXPECT_EQ(counters_.Get(Counter::kStoreEvictions), 0u);
  for (int i = 0; i < 28; ++i) EXPECT_TRUE(Has(std::to_string(i))) << i;
  EXPECT_EQ(counters_.Get(Counter::kStoreNoSpace), 2u);
  ASSERT_EQ(Put("fits", std::string(8 * 1024, 'f')), SLIPWAY_OK);
  EXPECT_EQ(Read("fits"), std::string(8 * 1024, 'f'));
  EXPECT_TRUE(Has("3") && Has("7") && Has("23"));
}

TEST_F(DirectoryTest, NamesOfGroupsAreForgottenWithTheirLastObject) {
  ASSERT_TRUE(Mount("a", 16 * 1024).ok());
  for (int i = 0; i < 1000; ++i) {
    const std::string group = "group " + std::to_string(i);
    ASSERT_EQ(Put("k", "value", {.replace = true, .group = group}), SLIPWAY_OK);
    ASSERT_EQ(Put("pinned", std::string(17 * 1024, 'x'), {.group = group + " refused"}), SLIPWAY_E_TOO_LARGE);
    EXPECT_EQ(directory_->groups(), 1u);
  }
  ASSERT_EQ(Put("other", "value", {.group = "group 999"}), SLIPWAY_OK);
  const auto held = Hold("other");
  ASSERT_EQ(*directory_->RemoveAll(""), 2u);
  EXPECT_EQ(directory_->groups(), 1u) << "that of the value which is read";
  const std::string device = "device";
  plane_.device = device.data();
  plane_.device_bytes = device.size();
  plane_.transfer_fails = SLIPWAY_E_PEER;
  EXPECT_EQ(Put("k", device, {.group = "failed"}), SLIPWAY_E_PEER);
  EXPECT_EQ(directory_->groups(), 1u);
}

TEST_F(DirectoryTest, AGroupGoesTogether) {
  ASSERT_TRUE(Mount("a", 16 * 1024).ok());
  const std::string value(1024, 'v');
  ASSERT_EQ(Put("g1", value, {.group = "g"}), SLIPWAY_OK);
  for (int i = 0; i < 12; ++i) ASSERT_EQ(Put(std::to_string(i), value), SLIPWAY_OK);
  ASSERT_EQ(Put("g2", value, {.group = "g"}), SLIPWAY_OK);
  ASSERT_EQ(Put("more", value), SLIPWAY_OK);
  EXPECT_FALSE(Has("g1") || Has("g2"));
}

TEST_F(DirectoryTest, AWriteThatFailsLeavesNoTrace) {
  ASSERT_TRUE(Mount("a").ok());
  const std::string device(5000, 'd');
  plane_.device = device.data();
  plane_.device_bytes = device.size();
  plane_.transfer_fails = SLIPWAY_E_PEER;
  EXPECT_EQ(Put("k", device), SLIPWAY_E_PEER);
  EXPECT_FALSE(Has("k"));
  EXPECT_EQ(directory_->used_bytes(), 0u);
  // What a transport may still write to is never used again.
  plane_.transfer_fails = SLIPWAY_E_STUCK;
  EXPECT_EQ(Put("k", device), SLIPWAY_E_STUCK);
  EXPECT_FALSE(Has("k"));
  EXPECT_EQ(counters_.Get(Counter::kStoreLostBytes), Allocator::Charge(device.size()));
  EXPECT_EQ(directory_->used_bytes(), Allocator::Charge(device.size()));
  plane_.transfer_fails = SLIPWAY_OK;
  EXPECT_EQ(Put("k", device), SLIPWAY_OK);
  EXPECT_EQ(Read("k"), device);
}

TEST_F(DirectoryTest, DevicesMemoryIsMovedByTheEngineAlone) {
  ASSERT_TRUE(Mount("a").ok());
  std::string device(5000, 'd');
  plane_.device = device.data();
  plane_.device_bytes = device.size();
  ASSERT_EQ(Put("k", device), SLIPWAY_OK);
  EXPECT_EQ(plane_.moved_bytes, 5000u);
  EXPECT_EQ(counters_.Get(Counter::kStoreHostCopies), 0u);
  const std::string host = "host";
  ASSERT_EQ(Put("h", host), SLIPWAY_OK);
  EXPECT_EQ(plane_.moved_bytes, 5000u);
  EXPECT_EQ(counters_.Get(Counter::kStoreHostCopies), 1u);
  EXPECT_EQ(counters_.Get(Counter::kStoreHostCopiedBytes), 4u);
  // The checksums are those of the bytes.
  (*directory_->segments())[0]->base()[4999] ^= 1;
  EXPECT_EQ(Read("k"), "[" + std::to_string(SLIPWAY_E_CHECKSUM) + "]");
}

TEST_F(DirectoryTest, PastTheDeadlineNothingIsMoved) {
  ASSERT_TRUE(Mount("a").ok());
  Item item;
  item.key = "k";
  std::string value = "value";
  item.pieces.push_back({value.data(), value.size(), nullptr, 0});
  WriteIntent intent{"k", 5};
  Ticket ticket;
  directory_->Begin({&intent, 1}, {}, {&ticket, 1});
  ASSERT_TRUE(ticket.ok());
  EXPECT_FALSE(Has("k"));
  directory_->Abort(ticket, false);
  EXPECT_EQ(directory_->used_bytes(), 0u);
}

// ---- what other processes hold ----

TEST_F(DirectoryTest, ADeadWritersSpaceComesBackAfterItsTimeAndGrace) {
  ASSERT_TRUE(Mount("a").ok());
  constexpr uint64_t kLease = 1'000'000, kGrace = 500'000;
  Leases leases(*directory_, kGrace, counters_, clock_);
  WriteIntent intent{"k", 5000};
  Ticket ticket;
  directory_->Begin({&intent, 1}, {}, {&ticket, 1});
  const uint64_t id = leases.Add(std::move(ticket), true, kLease);
  clock_.Advance(kLease);
  leases.Sweep();
  EXPECT_GT(directory_->used_bytes(), 0u);  // its last bytes may still be on their way
  EXPECT_FALSE(leases.Take(id, true));      // but it cannot commit any more
  clock_.Advance(kGrace);
  leases.Sweep();
  EXPECT_EQ(directory_->used_bytes(), 0u);
  EXPECT_FALSE(Has("k"));
  EXPECT_EQ(counters_.Get(Counter::kStoreExpired), 1u);
}

TEST_F(DirectoryTest, WhatTheDeadHeldIsTakenBeforeAnythingIsEvicted) {
  ASSERT_TRUE(Mount("a", 32 * 1024).ok());
  Leases leases(*directory_, 0, counters_, clock_);
  directory_->set_reclaim([&] { leases.Sweep(); });
  ASSERT_EQ(Put("k", std::string(12 * 1024, 'k')), SLIPWAY_OK);
  const auto die = [&] {
    WriteIntent intent{"dead", 16 * 1024};
    Ticket ticket;
    directory_->Begin({&intent, 1}, {}, {&ticket, 1});
    ASSERT_TRUE(ticket.ok());
    leases.Add(std::move(ticket), true, 1000);
    clock_.Advance(1000);
  };
  die();
  EXPECT_EQ(Put("other", std::string(4 * 1024, 'o')), SLIPWAY_OK);
  EXPECT_EQ(counters_.Get(Counter::kStoreEvictions), 0u);
  EXPECT_EQ(directory_->used_bytes(), 16u * 1024);
  // Nor does a description count it.
  ASSERT_EQ(*directory_->RemoveAll("other"), 1u);
  die();
  EXPECT_THAT(*directory_->DescribeJson(), HasSubstr("\"used_bytes\": 12288"));
  directory_->set_reclaim(nullptr);
}

TEST_F(DirectoryTest, ADeadReadersValueIsFreeAfterItsTime) {
  ASSERT_TRUE(Mount("a").ok());
  ASSERT_EQ(Put("k", "value"), SLIPWAY_OK);
  Leases leases(*directory_, 0, counters_, clock_);
  const std::string_view key = "k";
  Ticket ticket;
  directory_->Lookup({&key, 1}, true, kNoDeadline, {&ticket, 1});
  leases.Add(std::move(ticket), false, 1000);
  ASSERT_EQ(Put("k", "newer", {.replace = true}), SLIPWAY_OK);
  EXPECT_EQ(directory_->used_bytes(), 128u);
  clock_.Advance(1000);
  leases.Sweep();
  EXPECT_EQ(directory_->used_bytes(), 64u);
}

class SessionTest : public DirectoryTest {
 protected:
  SessionTest() { EXPECT_TRUE(Mount("a").ok()); }
  static WireWriter Message(WireOp op) {
    WireWriter out;
    out.U8(static_cast<uint8_t>(op));
    return out;
  }
  std::optional<std::string> Answer(WireWriter out) { return session_.Answer(std::move(out).Finish().substr(4)); }

  Leases leases_{*directory_, 0, counters_, clock_};
  Session session_{*directory_, leases_, {1000, 1u << 20, 7}, counters_};
};

TEST_F(SessionTest, BrokenMessagesEndTheConnectionAndChangeNothing) {
  ASSERT_EQ(Put("k", "value", {.keep = KeepClass::kPinned}), SLIPWAY_OK);
  uint64_t tried = 0;
  std::vector<std::string> good;
  for (uint8_t op = 0; op < 16; ++op) {
    WireWriter out;
    out.U8(op);
    good.push_back(std::move(out).Finish().substr(4));
  }
  WireWriter lookup = Message(WireOp::kLookup);
  lookup.U64(1000);
  lookup.U32(0);
  lookup.U32(1);
  lookup.Text("k");
  good.push_back(std::move(lookup).Finish().substr(4));
  WireWriter begin = Message(WireOp::kBegin);
  begin.U8(3);
  begin.U8(1);
  begin.U8(1);
  begin.U32(0);
  begin.Text("");
  begin.U64(1000);
  begin.U32(1);
  begin.Text("new");
  begin.U64(100);
  good.push_back(std::move(begin).Finish().substr(4));
  for (const std::string& message : good) {
    for (size_t cut = 0; cut < message.size(); ++cut) {
      (void)session_.Answer(message.substr(0, cut));
      ++tried;
    }
    for (size_t at = 0; at < message.size(); ++at) {
      for (const char c : {'\0', '\x7f', '\xff'}) {
        std::string changed = message;
        changed[at] = c;
        (void)session_.Answer(changed);
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 100u);
  EXPECT_GT(counters_.Get(Counter::kStoreBadInput), 50u);
  EXPECT_EQ(Read("k"), "value");
  clock_.Advance(2'000'000'000);
  leases_.Sweep();
  EXPECT_EQ(directory_->used_bytes(), 64u);
}

TEST_F(SessionTest, NobodyCommitsWhatIsNotTheirs) {
  WireWriter commit = Message(WireOp::kCommit);
  commit.U8(0);
  commit.U32(1);
  commit.U64(12345);
  commit.U8(1);
  commit.U32(0);
  const auto answer = Answer(std::move(commit));
  ASSERT_TRUE(answer);
  WireReader in(std::string_view(*answer).substr(4));
  EXPECT_EQ(in.I32(), SLIPWAY_OK);
  EXPECT_EQ(in.I32(), SLIPWAY_E_DEADLINE);
}

TEST_F(SessionTest, HugeClaimsAreRefused) {
  WireWriter lookup = Message(WireOp::kLookup);
  lookup.U64(UINT64_MAX);
  lookup.U32(UINT32_MAX);
  lookup.U32(UINT32_MAX);
  EXPECT_FALSE(Answer(std::move(lookup)));
  WireWriter begin = Message(WireOp::kBegin);
  begin.U8(2);
  begin.U8(1);
  begin.U8(1);
  begin.U32(0);
  begin.Text("");
  begin.U64(UINT64_MAX);
  begin.U32(1);
  begin.Text("huge");
  begin.U64(UINT64_MAX);
  const auto answer = Answer(std::move(begin));
  ASSERT_TRUE(answer);
  WireReader in(std::string_view(*answer).substr(4));
  EXPECT_EQ(in.I32(), SLIPWAY_OK);
  EXPECT_EQ(in.I32(), SLIPWAY_E_TOO_LARGE);
}

}  // namespace
}  // namespace slipway

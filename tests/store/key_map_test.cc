// Keys, uses and references of records.
#include "core/store/key_map.h"

#include <gtest/gtest.h>

#include <string>

namespace slipway {
namespace {

class KeyMapTest : public testing::Test {
 protected:
  ~KeyMapTest() override {
    for (Record* record : map_.TakeIf([](Record&) { return true; })) Record::Destroy(record);
  }
  static Record* New(const std::string& key, KeepClass keep = KeepClass::kEvictable) {
    Record* record = Record::Make(key, 0, 0);
    record->hash = HashOfKey(key);
    record->keep = keep;
    return record;
  }
  bool Put(const std::string& key, KeepClass keep = KeepClass::kEvictable) {
    Record* record = New(key, keep);
    const bool inserted = map_.Insert(record, KeyMap::Mode::kNew).inserted;
    if (!inserted) Record::Destroy(record);
    return inserted;
  }
  bool Use(const std::string& key) {
    Record* record = map_.Find(key, HashOfKey(key), true);
    if (record != nullptr) record->references.fetch_sub(1);
    return record != nullptr;
  }
  std::string Oldest(KeepClass keep = KeepClass::kEvictable) {
    Record* record = map_.TakeOldest(keep);
    if (record == nullptr) return "";
    std::string key(record->key());
    Record::Destroy(record);
    return key;
  }
  KeyMap map_;
};

TEST_F(KeyMapTest, TheFirstOfTwoIsKept) {
  EXPECT_TRUE(Put("a"));
  EXPECT_FALSE(Put("a"));
  EXPECT_TRUE(map_.Contains("a", HashOfKey("a")));
  EXPECT_EQ(map_.size(), 1u);
}

TEST_F(KeyMapTest, AReplacedRecordComesBack) {
  Put("a");
  const KeyMap::Outcome outcome = map_.Insert(New("a"), KeyMap::Mode::kReplace);
  EXPECT_TRUE(outcome.inserted);
  ASSERT_NE(outcome.replaced, nullptr);
  EXPECT_FALSE(outcome.replaced->in_map);
  Record::Destroy(outcome.replaced);
  EXPECT_EQ(map_.size(), 1u);
}

TEST_F(KeyMapTest, FindsEveryOneOfMany) {
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(Put("key" + std::to_string(i)));
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(Use("key" + std::to_string(i)));
  EXPECT_FALSE(Use("key20000"));
}

TEST_F(KeyMapTest, TheLeastRecentlyUsedGoesFirst) {
  for (const char* key : {"a", "b", "c", "d"}) Put(key);
  Use("a");
  Use("c");
  EXPECT_EQ(Oldest(), "b");
  EXPECT_EQ(Oldest(), "d");
  EXPECT_EQ(Oldest(), "a");
  EXPECT_EQ(Oldest(), "c");
  EXPECT_EQ(Oldest(), "");
}

TEST_F(KeyMapTest, ClassesAreKeptApart) {
  Put("soft", KeepClass::kSoftPinned);
  Put("pinned", KeepClass::kPinned);
  Put("plain");
  EXPECT_EQ(Oldest(), "plain");
  EXPECT_EQ(Oldest(), "");
  EXPECT_EQ(Oldest(KeepClass::kSoftPinned), "soft");
  EXPECT_TRUE(Use("pinned"));
}

TEST_F(KeyMapTest, WhatSomebodyHoldsStays) {
  Put("held");
  Put("free");
  Record* held = map_.Find("held", HashOfKey("held"), false);
  EXPECT_EQ(Oldest(), "free");
  EXPECT_EQ(Oldest(), "");
  held->references.fetch_sub(1);
  EXPECT_EQ(Oldest(), "held");
}

}  // namespace
}  // namespace slipway

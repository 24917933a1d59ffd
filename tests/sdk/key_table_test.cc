// What strangers name by a random number, and what a process has but once.
#include "slipway/sdk/key_table.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <vector>

#include "slipway/sdk/process_wide.hpp"

namespace slipway::sdk {
namespace {

struct Thing {
  uint64_t key = 0;
  int number = 0;
};

std::shared_ptr<Thing> MakeThing(int number) {
  auto thing = std::make_shared<Thing>();
  thing->number = number;
  return thing;
}

TEST(KeyTableTest, FindsByTheKeyThatItGave) {
  KeyTable<Thing> table;
  std::set<uint64_t> keys;
  std::vector<std::shared_ptr<Thing>> things;
  for (int i = 0; i < 1000; ++i) {
    things.push_back(MakeThing(i));
    table.Add(things.back());
    EXPECT_TRUE(keys.insert(things.back()->key).second);
  }
  EXPECT_FALSE(keys.contains(0));
  for (const auto& thing : things) EXPECT_EQ(table.Find(thing->key), thing);
  EXPECT_EQ(table.Find(0), nullptr);
}

TEST(KeyTableTest, KeysSayNothingOfEachOther) {
  KeyTable<Thing> table;
  const auto one = MakeThing(1), two = MakeThing(2);
  table.Add(one);
  table.Add(two);
  // Counted up, all but the last bits would agree.
  EXPECT_NE(one->key >> 32, two->key >> 32);
}

TEST(KeyTableTest, WhoFoundOneKeepsItThoughItIsRemoved) {
  KeyTable<Thing> table;
  std::shared_ptr<Thing> found;
  uint64_t key = 0;
  {
    const auto thing = MakeThing(7);
    table.Add(thing);
    key = thing->key;
    found = table.Find(key);
  }
  table.Remove(key);
  table.Remove(key);
  EXPECT_EQ(table.Find(key), nullptr);
  EXPECT_EQ(found->number, 7);
  EXPECT_EQ(found.use_count(), 1);
}

TEST(KeyTableTest, ThreadsComeAndGo) {
  KeyTable<Thing> table;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&table, i] {
      for (int n = 0; n < 500; ++n) {
        const auto thing = MakeThing(i);
        table.Add(thing);
        EXPECT_EQ(table.Find(thing->key)->number, i);
        table.Remove(thing->key);
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

// ---- once a process --------------------------------------------------------------------------------------------

struct Shared {
  Mutex mutex;
  int number = 0;
};
constinit ProcessWide<Shared> g_shared;
constinit ProcessWide<Shared> g_raced;

TEST(ProcessWideTest, ThreadsThatComeFirstGetTheSameOne) {
  std::vector<std::thread> threads;
  std::vector<Shared*> got(4);
  for (size_t i = 0; i < got.size(); ++i) threads.emplace_back([&got, i] { got[i] = &g_raced.Get(); });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(std::set<Shared*>(got.begin(), got.end()).size(), 1u);
}

TEST(ProcessWideTest, AForkedChildHasOneOfItsOwnThoughTheParentsIsLocked) {
  g_shared.Get().number = 5;
  g_shared.Get().mutex.Lock();
  const pid_t child = fork();
  if (child == 0) {
    Shared& own = g_shared.Get();
    if (own.number != 0 || &own != &g_shared.Get() || !own.mutex.TryLock()) _exit(1);
    own.mutex.Unlock();
    _exit(0);
  }
  g_shared.Get().mutex.Unlock();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(g_shared.Get().number, 5);
}

}  // namespace
}  // namespace slipway::sdk

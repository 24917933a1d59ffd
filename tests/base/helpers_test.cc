#include "core/base/helpers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace slipway {
namespace {

TEST(HelpersTest, EveryPartIsDoneOnceHoweverManyHelp) {
  for (const uint32_t count : {0u, 1u, 3u}) {
    Helpers helpers(count);
    for (const size_t parts : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}}) {
      std::vector<int> done(parts);  // each touched by one thread, and then by this one
      helpers.Run(parts, [&](size_t i) { ++done[i]; });
      EXPECT_EQ(done, std::vector<int>(parts, 1)) << count << " helpers";
    }
  }
}

TEST(HelpersTest, TheyHelp) {
  Helpers helpers(3);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  // A part of the first loop ends when another thread has begun one.
  std::atomic<int> begun{0};
  helpers.Run(2, [&](size_t) {
    begun.fetch_add(1);
    while (begun.load() < 2) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2u);
}

TEST(HelpersTest, WhatAHelperHasBegunIsWaitedFor) {
  Helpers helpers(1);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> begun{false}, over{false};
  helpers.Run(2, [&](size_t) {
    if (std::this_thread::get_id() == caller) {
      while (!begun.load()) std::this_thread::yield();
      return;
    }
    begun.store(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    over.store(true);
  });
  EXPECT_TRUE(over.load());
}

TEST(HelpersTest, WhatHasBegunGoesOnWithoutTheCaller) {
  Helpers helpers(1);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> others{0};
  Helpers::Loop loop(3, [&](size_t) { others.fetch_add(std::this_thread::get_id() != caller ? 1 : 0); });
  helpers.Begin(&loop);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (others.load() < 3 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  helpers.Finish(&loop);
  EXPECT_EQ(others.load(), 3);
}

TEST(HelpersTest, WhatNobodyHasBegunTheCallerDoes) {
  Helpers helpers(2);
  std::vector<int> done(3), others(3);
  Helpers::Loop first(3, [&](size_t i) { ++done[i]; }), second(3, [&](size_t i) { ++others[i]; });
  helpers.Begin(&first);
  helpers.Begin(&second);  // has no helpers, as the first has them
  helpers.Finish(&second);
  helpers.Finish(&first);
  EXPECT_EQ(done, std::vector<int>(3, 1));
  EXPECT_EQ(others, std::vector<int>(3, 1));
}

TEST(HelpersTest, ALoopThatIsOverIsNotTouchedAnyMore) {
  Helpers helpers(3);
  for (int round = 0; round < 2000; ++round) {
    std::atomic<int> sum{0};  // gone with the round
    helpers.Run(3, [&sum](size_t i) { sum.fetch_add(static_cast<int>(i)); });
    ASSERT_EQ(sum.load(), 3);
  }
}

TEST(HelpersTest, LoopsOfSeveralThreadsDoNotWaitForEachOther) {
  Helpers helpers(2);
  std::vector<std::thread> threads;
  std::atomic<uint64_t> sum{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) helpers.Run(10, [&](size_t i) { sum.fetch_add(i); });
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(sum.load(), 4u * 200 * 45);
}

}  // namespace
}  // namespace slipway

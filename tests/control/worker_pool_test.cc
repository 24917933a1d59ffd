#include "core/control/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "tests/control/fixture.h"

namespace slipway {
namespace {

TEST(WorkerPoolTest, MakesThreadsOnlyAsWorkNeedsThem) {
  WorkerPool pool(8);
  EXPECT_EQ(pool.threads(), 0u);
  std::atomic<int> done{0};
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(pool.Submit([&] { ++done; }));
    ASSERT_TRUE(Eventually([&] { return done == i + 1; }));
  }
  EXPECT_LE(pool.threads(), 2u);
}

TEST(WorkerPoolTest, RunsTasksAtOnceUpToItsBoundAndQueuesTheRest) {
  WorkerPool pool(3);
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> running{0}, done{0};
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(pool.Submit([&, released] {
      ++running;
      released.wait();
      ++done;
    }));
  }
  ASSERT_TRUE(Eventually([&] { return running == 3; }));
  EXPECT_EQ(pool.threads(), 3u);
  release.set_value();
  EXPECT_TRUE(Eventually([&] { return done == 10; }));
}

TEST(WorkerPoolTest, StopsWithTasksThatNeverBegan) {
  std::atomic<int> begun{0};
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  WorkerPool pool(1);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(pool.Submit([&, released] {
      ++begun;
      released.wait();
    }));
  }
  ASSERT_TRUE(Eventually([&] { return begun == 1; }));
  std::future<void> stopped = std::async(std::launch::async, [&] { pool.Stop(); });
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  release.set_value();
  stopped.wait();
  EXPECT_EQ(begun, 1);
  EXPECT_FALSE(pool.Submit([] {}));
}

}  // namespace
}  // namespace slipway

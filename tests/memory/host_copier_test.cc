// Copies on other threads: each comes back once, with its bytes in place, and somebody is told.
#include "core/memory/host_copier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace slipway {
namespace {

class HostCopierTest : public testing::TestWithParam<uint64_t> {};

TEST_P(HostCopierTest, EveryCopyIsMadeAndComesBackOnce) {
  constexpr size_t kJobs = 200, kBytes = 20'000;
  std::atomic<int> wakes{0};
  HostCopier copier(GetParam(), [&] { ++wakes; });
  std::vector<std::vector<char>> from(kJobs, std::vector<char>(kBytes)), to(kJobs, std::vector<char>(kBytes));
  std::vector<CopyJob> jobs(kJobs);
  for (size_t i = 0; i < kJobs; ++i) {
    std::iota(from[i].begin(), from[i].end(), static_cast<char>(i));
    jobs[i].dst = to[i].data();
    jobs[i].src = from[i].data();
    jobs[i].length = kBytes;
  }
  std::vector<int> came_back(kJobs, 0);
  size_t done = 0;
  for (size_t next = 0; done < kJobs;) {
    if (next < kJobs) copier.Submit(&jobs[next++]);
    for (CopyJob* job = copier.Drain(); job != nullptr;) {
      CopyJob* const current = job;
      job = job->next;
      ++came_back[static_cast<size_t>(current - jobs.data())];
      ++done;
    }
    std::this_thread::yield();
  }
  for (size_t i = 0; i < kJobs; ++i) {
    EXPECT_EQ(came_back[i], 1) << i;
    EXPECT_EQ(to[i], from[i]) << i;
  }
  EXPECT_EQ(copier.Drain(), nullptr);
  if (GetParam() > 0) {
    EXPECT_GT(wakes, 0);
    EXPECT_LE(wakes, static_cast<int>(kJobs));
  }
}

TEST_P(HostCopierTest, WhatWasSubmittedIsFinishedBeforeTheEnd) {
  std::vector<char> from(1 << 20, 'x'), to(1 << 20);
  std::vector<CopyJob> jobs(8);
  {
    HostCopier copier(GetParam(), [] {});
    for (size_t i = 0; i < jobs.size(); ++i) {
      jobs[i].dst = to.data() + i * (to.size() / 8);
      jobs[i].src = from.data();
      jobs[i].length = to.size() / 8;
      copier.Submit(&jobs[i]);
    }
  }
  EXPECT_EQ(to, from);
}

INSTANTIATE_TEST_SUITE_P(Threads, HostCopierTest, testing::Values(0, 1, 4));

// Whoever drains after each wake, and only then, misses nothing.
TEST(HostCopierWakeTest, AWakeFollowsEveryFirstFinishedCopy) {
  std::atomic<int> wakes{0};
  HostCopier copier(2, [&] { ++wakes; });
  std::vector<char> from(64, 'a'), to(64);
  for (int i = 0; i < 2'000; ++i) {
    CopyJob job;
    job.dst = to.data();
    job.src = from.data();
    job.length = to.size();
    const int before = wakes;
    copier.Submit(&job);
    while (wakes == before) std::this_thread::yield();
    ASSERT_EQ(copier.Drain(), &job) << i;
  }
}

}  // namespace
}  // namespace slipway

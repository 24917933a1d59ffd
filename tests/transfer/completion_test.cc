// The ways to learn that a batch is complete, from many threads, and what undeclaring memory waits for.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <latch>
#include <string>
#include <thread>

#include "tests/support/plugin_driver.h"
#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using test::WaitUntil;

constexpr uint64_t kLongNs = 30'000'000'000;

bool Readable(int fd) {
  pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

class CompletionTest : public TransferTest {
 protected:
  void StartThreaded(const std::string& options = "{}", uint64_t spin_us = 0) {
    Configuration setup;
    setup.threaded = true;
    setup.transports = {{"fake", options}};
    setup.transfer.spin_us = spin_us;
    Start(setup);
    segment_ = OpenSegment(256 * kKiB);
  }
  void StartByHand() {
    Start();
    segment_ = OpenSegment(256 * kKiB);
  }
  // A short request, and its submitter looks for its end all the time.
  void LookAtOne() {
    Hold();
    BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)});
    LetGo();
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    while (std::chrono::steady_clock::now() < until) {
    }
    while (!batch->done.load()) dispatcher_->Progress();
    Release(batch);
  }
  void Hold() { control().set_hold(instance(), 1); }
  void LetGo() { control().set_hold(instance(), 0); }

  std::vector<char> local_ = Pattern(256 * kKiB, 9);
  RemoteSegment* segment_ = nullptr;
};

TEST_F(CompletionTest, WaitingEndsWithTheBatchOrWithTheTimeout) {
  StartThreaded();
  Hold();
  BatchState* batch = Submit({Write(local_.data(), 64 * kKiB, segment_)});
  EXPECT_EQ(dispatcher_->Wait(batch, 0), SLIPWAY_IN_PROGRESS);
  EXPECT_EQ(dispatcher_->Wait(batch, 2 * kMs), SLIPWAY_IN_PROGRESS);
  LetGo();
  EXPECT_EQ(dispatcher_->Wait(batch, kLongNs), SLIPWAY_OK);
  EXPECT_EQ(dispatcher_->Wait(batch, 0), SLIPWAY_OK) << "and again";
  Release(batch);
}

TEST_F(CompletionTest, TheDescriptorIsReadableFromTheEndOn) {
  StartByHand();
  Hold();
  BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
  const int fd = dispatcher_->EventFd(batch);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(dispatcher_->EventFd(batch), fd) << "one descriptor a batch";
  Settle();
  EXPECT_FALSE(Readable(fd));
  LetGo();
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Readable(fd));
  Release(batch);
  batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
  ASSERT_EQ(Drive(batch), SLIPWAY_OK);
  EXPECT_TRUE(Readable(dispatcher_->EventFd(batch))) << "also when it is asked for afterwards";
  Release(batch);
}

TEST_F(CompletionTest, ABatchInProgressIsNotReleased) {
  StartByHand();
  Hold();
  BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
  const Status refused = dispatcher_->Release(batch);
  EXPECT_EQ(refused.code(), SLIPWAY_E_BUSY);
  EXPECT_THAT(refused.message(), testing::HasSubstr("cancel"));
  LetGo();
  EXPECT_EQ(Drive(batch), SLIPWAY_OK);
  Release(batch);
}

TEST_F(CompletionTest, TheCallbackRunsOnceWithoutALockAndMayReleaseTheBatch) {
  StartByHand();
  int calls = 0;
  slipway_status seen = SLIPWAY_IN_PROGRESS;
  BatchSpec spec;
  spec.on_complete = [&](BatchState* batch) {
    ++calls;
    seen = batch->status;
    (void)dispatcher_->Links();  // would block if a lock were held
    Release(batch);
  };
  Submit({Write(local_.data(), 16 * kKiB, segment_)}, spec);
  Settle();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(seen, SLIPWAY_OK);
}

TEST_F(CompletionTest, ACallbackMaySubmitTheNextBatch) {
  StartByHand();
  int left = 1000;  // deep enough to show a recursion
  std::function<void(BatchState*)> next = [&](BatchState* batch) {
    if (batch != nullptr) Release(batch);
    if (--left == 0) return;
    BatchSpec spec;
    spec.on_complete = next;
    Submit({Write(local_.data(), 64, segment_)}, spec);
  };
  next(nullptr);
  for (int i = 0; i < 10'000 && left > 0; ++i) Progress();
  EXPECT_EQ(left, 0);
}

TEST_F(CompletionTest, ABatchOfNothingCallsBackToo) {
  StartByHand();
  int calls = 0;
  BatchSpec spec;
  spec.on_complete = [&](BatchState* batch) {
    ++calls;
    Release(batch);
  };
  Submit({Write(local_.data(), 0, segment_)}, spec);
  Settle();
  EXPECT_EQ(calls, 1);
}

TEST_F(CompletionTest, WhoeverWaitsDoesNotPullTheBatchAwayFromItsCallback) {
  StartThreaded();
  std::latch in_callback(1), go_on(1), done(1);
  std::atomic<slipway_status> seen{SLIPWAY_IN_PROGRESS};
  BatchSpec spec;
  spec.on_complete = [&](BatchState* batch) {
    in_callback.count_down();
    go_on.wait();
    seen = batch->status;  // must still be there
    done.count_down();
  };
  Hold();
  BatchState* batch = Submit({Write(local_.data(), 4 * kKiB, segment_)}, spec);
  LetGo();
  in_callback.wait();
  const Status released = dispatcher_->Release(batch);
  EXPECT_EQ(released.code(), SLIPWAY_E_BUSY) << "its callback is still running";
  go_on.count_down();
  done.wait();
  EXPECT_EQ(seen, SLIPWAY_OK);
  if (!released.ok()) {
    EXPECT_TRUE(WaitUntil([&] { return dispatcher_->Release(batch).ok(); }));
  }
}

TEST_F(CompletionTest, CancelingTwiceOrAfterTheEndIsHarmless) {
  StartByHand();
  Hold();
  BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
  Settle();
  dispatcher_->Cancel(batch);
  dispatcher_->Cancel(batch);
  EXPECT_EQ(Drive(batch), SLIPWAY_E_CANCELED);
  dispatcher_->Cancel(batch);
  EXPECT_EQ(batch->status, SLIPWAY_E_CANCELED);
  EXPECT_EQ(Count(Counter::kCancels), 1u);
  Release(batch);
}

TEST_F(CompletionTest, EightThreadsSubmitTenThousandSmallBatchesEach) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr int kBatches = 2'000;
#else
  constexpr int kBatches = 10'000;
#endif
  constexpr int kThreads = 8;
  StartThreaded("{}", 20);
  Target& target = *targets_[0];
  Register(local_.data(), local_.size() / 2);  // the other half is staged
  std::atomic<int> callbacks{0}, failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      char* const mine = local_.data() + static_cast<size_t>(t) * 32 * kKiB;
      for (int i = 0; i < kBatches; ++i) {
        const uint64_t at = static_cast<uint64_t>(t) * 32 * kKiB + static_cast<uint64_t>(i % 200) * 128;
        const std::vector<RequestSpec> requests = {Write(mine + (at % (32 * kKiB)), 100, segment_, at)};
        BatchSpec spec;
        if (i % 3 == 0) {
          spec.on_complete = [&](BatchState* b) {
            failures += b->status != SLIPWAY_OK;
            failures += !dispatcher_->Release(b).ok();
            ++callbacks;
          };
        }
        Result<BatchState*> batch = dispatcher_->Submit(requests, spec);
        if (!batch.ok()) {
          ++failures;
          continue;
        }
        if (i % 3 == 0) continue;
        if (i % 3 == 1) {
          failures += dispatcher_->Wait(*batch, kLongNs) != SLIPWAY_OK;
        } else {
          const int fd = dispatcher_->EventFd(*batch);
          pollfd p = {fd, POLLIN, 0};
          failures += poll(&p, 1, 30'000) != 1;
        }
        failures += !dispatcher_->Release(*batch).ok();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  const int with_callback = kThreads * ((kBatches + 2) / 3);
  EXPECT_TRUE(WaitUntil([&] { return callbacks == with_callback; })) << callbacks;
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Count(Counter::kBatches), static_cast<uint64_t>(kThreads) * kBatches);
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < 200; ++i) {
      const auto at = static_cast<ptrdiff_t>(t * 32 * 1024 + i * 128);
      ASSERT_TRUE(std::equal(local_.begin() + at, local_.begin() + at + 100, target.memory.begin() + at)) << at;
    }
  }
}

// Waiters for bulk take turns in sleeping on the transports, among themselves and with the dispatcher's thread.
TEST_F(CompletionTest, NoWaiterSleepsPastItsCompletion) {
  StartThreaded(R"({"delay_ns": 50000})");
  Register(local_.data(), local_.size());
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      char* const mine = local_.data() + static_cast<size_t>(t) * 32 * kKiB;
      BatchSpec bulk;
      bulk.priority = PriorityClass::kBulk;
      for (int i = 0; i < 500; ++i) {
        Result<BatchState*> batch = dispatcher_->Submit(
            std::vector<RequestSpec>{Write(mine, 4 * kKiB, segment_, static_cast<uint64_t>(t) * 8 * kKiB)}, bulk);
        failures +=
            !batch.ok() || dispatcher_->Wait(*batch, kLongNs) != SLIPWAY_OK || !dispatcher_->Release(*batch).ok();
        if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));  // nobody may be in charge then
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failures, 0);
  // A loaded machine may keep a thread from ringing for longer than anybody sleeps, but not hundreds of times.
  EXPECT_LE(Count(Counter::kLateWakeups), 10u);
}

// How often other threads of this process have gone to sleep.
uint64_t SleepsOfOthers() {
  const std::string self = std::to_string(gettid());
  uint64_t sleeps = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == self) continue;
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("voluntary_ctxt_switches:")) sleeps += std::stoull(line.substr(24));
    }
  }
  return sleeps;
}

TEST_F(CompletionTest, WhoLooksHimselfIsNotDisturbedByTheThread) {
  StartThreaded();
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t sleeps = SleepsOfOthers();
  for (int i = 0; i < 1000; ++i) LookAtOne();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  EXPECT_LE(SleepsOfOthers() - sleeps, static_cast<uint64_t>(ms.count()) + 100) << "once a millisecond";
}

// A machine that is busy with other things disturbs what these two look for, and a sanitizer does: the best of some
// tries counts.
constexpr int kTries = 10;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kUndisturbed = false;
#else
constexpr bool kUndisturbed = true;
#endif

// One short request at a time needs the thread even less.
TEST_F(CompletionTest, WhoLooksAtOneAtATimeIsHardlyEverDisturbed) {
  if (!kUndisturbed) GTEST_SKIP() << "a sanitizer takes most of the time";
  StartThreaded();
  std::string seen;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t sleeps = SleepsOfOthers();
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
    while (std::chrono::steady_clock::now() < until) LookAtOne();
    const uint64_t more = SleepsOfOthers() - sleeps;
    if (more <= 50) return;  // 25 by pauses of 16 milliseconds, 100 by such of 4
    seen += " " + std::to_string(more);
  }
  FAIL() << "the thread came back so often in 400 ms each:" << seen;
}

// It is called back by who then leaves more behind than that.
TEST_F(CompletionTest, TheThreadComesBackForWhatIsMore) {
  if (!kUndisturbed) GTEST_SKIP() << "a sanitizer takes most of the time";
  StartThreaded();
  std::vector<std::chrono::nanoseconds> late;
  for (int round = 0; round < 5 * kTries; ++round) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(40);
    while (std::chrono::steady_clock::now() < until) LookAtOne();
    Hold();
    BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_), Write(local_.data(), 64 * kKiB, segment_)});
    const auto begin = std::chrono::steady_clock::now();
    LetGo();
    ASSERT_TRUE(WaitUntil([&] { return batch->done.load(); }));
    late.push_back(std::chrono::steady_clock::now() - begin);
    Release(batch);
    // By itself it is back within 16 ms, so that of 15 the quickest half is not quicker than this by chance.
    std::sort(late.begin(), late.end());
    if (late.size() >= 15 && late[late.size() / 2].count() <= 3'000'000) return;
  }
  FAIL() << "half of " << late.size() << " took longer than " << late[late.size() / 2].count() << " ns";
}

// The thread keeps away from a submitter who is back all the time, but not where somebody else is to be told.
TEST_F(CompletionTest, TheThreadIsThereForThoseWhoDoNotLook) {
  StartThreaded();
  std::vector<std::chrono::nanoseconds> late;
  for (int i = 0; i < 51; ++i) {
    Hold();
    BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
    // Long enough for the thread to have gone.
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    dispatcher_->Progress();
    const int fd = dispatcher_->EventFd(batch);
    const auto begin = std::chrono::steady_clock::now();
    LetGo();
    pollfd p = {fd, POLLIN, 0};
    ASSERT_EQ(poll(&p, 1, 30'000), 1);
    late.push_back(std::chrono::steady_clock::now() - begin);
    Release(batch);
  }
  std::sort(late.begin(), late.end());
  EXPECT_LE(late[late.size() / 2].count(), 500'000) << "ns";
}

TEST_F(CompletionTest, WhatNobodyLooksForIsFoundByTheThread) {
  StartThreaded();
  for (int i = 0; i < 20; ++i) {
    Hold();
    BatchState* batch = Submit({Write(local_.data(), 16 * kKiB, segment_)});
    LetGo();
    ASSERT_TRUE(WaitUntil([&] { return batch->done.load(); }));
    Release(batch);
  }
}

TEST_F(CompletionTest, ThreadsThatCancelSubmitAndWaitAtOnceEndCleanly) {
  StartThreaded(R"({"delay_ns": 50000})");
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const uint64_t at = static_cast<uint64_t>(t) * 64 * kKiB;
        Result<BatchState*> batch =
            dispatcher_->Submit(std::vector<RequestSpec>{Write(local_.data() + at, 60 * kKiB, segment_, at)}, {});
        if (!batch.ok()) {
          ++wrong;
          continue;
        }
        std::thread canceler([&] { dispatcher_->Cancel(*batch); });
        const slipway_status status = dispatcher_->Wait(*batch, kLongNs);
        wrong += status != SLIPWAY_OK && status != SLIPWAY_E_CANCELED;
        canceler.join();
        wrong += !dispatcher_->Release(*batch).ok();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CompletionTest, UndeclaringWaitsForWhatIsInFlight) {
  StartThreaded();
  Register(local_.data(), 64 * kKiB);
  Ledger& ledger = transports_[0]->ledger();
  const auto begin = reinterpret_cast<uint64_t>(local_.data());
  Hold();
  BatchState* batch = Submit({Write(local_.data() + 100, 1000, segment_)});
  ASSERT_TRUE(WaitUntil([&] { return Fake().inflight_now == 1; }));
  EXPECT_FALSE(dispatcher_->WaitRangeIdle(begin, 64 * kKiB, 2 * kMs));
  EXPECT_TRUE(dispatcher_->WaitRangeIdle(begin + 1100, 1000, 0)) << "another range is idle";
  EXPECT_TRUE(dispatcher_->WaitRangeIdle(begin, 100, 0));
  EXPECT_EQ(ledger.Deregister(registered_[0], 2 * kMs).code(), SLIPWAY_E_REGION_BUSY);
  EXPECT_EQ(ledger.CoverAt(begin, 16, SLIPWAY_ACCESS_LOCAL_READ).bytes, 16u) << "it is found again after busy";
  std::thread later([&] {
    EXPECT_TRUE(WaitUntil([&] { return Fake().inflight_now == 1; }));
    LetGo();
  });
  EXPECT_TRUE(dispatcher_->WaitRangeIdle(begin, 64 * kKiB, kLongNs));
  EXPECT_TRUE(ledger.Deregister(registered_[0], kLongNs).ok());
  later.join();
  EXPECT_EQ(dispatcher_->Wait(batch, kLongNs), SLIPWAY_OK);
  Release(batch);
}

TEST_F(CompletionTest, RegisteringAndDeregisteringUnderTrafficNeverDangles) {
  StartThreaded();
  Ledger& ledger = transports_[0]->ledger();
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> movers;
  for (int t = 0; t < 3; ++t) {
    movers.emplace_back([&, t] {
      for (uint64_t i = 0; !stop; ++i) {
        const uint64_t at = (static_cast<uint64_t>(t) * 80 + i % 60) * kKiB;
        Result<BatchState*> batch =
            dispatcher_->Submit(std::vector<RequestSpec>{Write(local_.data() + at, 10 * kKiB, segment_, at)}, {});
        failures += !batch.ok() || dispatcher_->Wait(*batch, kLongNs) != SLIPWAY_OK;
        if (batch.ok()) failures += !dispatcher_->Release(*batch).ok();
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    const uint64_t at = static_cast<uint64_t>(i % 50) * 4 * kKiB + 17;
    auto made = ledger.Register(local_.data() + at, 30 * kKiB, SLIPWAY_ACCESS_LOCAL_READ, SLIPWAY_MEM_HOST);
    ASSERT_TRUE(made.ok());
    std::this_thread::yield();
    ASSERT_TRUE(ledger.Deregister(*made, kLongNs).ok());
  }
  stop = true;
  for (std::thread& t : movers) t.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(CompletionTest, StoppingWhileOthersSubmitAndWaitEndsThemAll) {
  StartThreaded();
  std::vector<std::thread> threads;
  std::atomic<int> running{0};
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        Result<BatchState*> batch =
            dispatcher_->Submit(std::vector<RequestSpec>{Write(local_.data(), 32 * kKiB, segment_)}, {});
        if (!batch.ok()) {
          wrong += batch.status().code() != SLIPWAY_E_CLOSED;
          return;
        }
        ++running;
        const slipway_status status = dispatcher_->Wait(*batch, kLongNs);
        wrong += status != SLIPWAY_OK && status != SLIPWAY_E_CLOSED;
        wrong += !dispatcher_->Release(*batch).ok();
      }
    });
  }
  EXPECT_TRUE(WaitUntil([&] { return running > 20; }));
  dispatcher_->Stop();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace slipway

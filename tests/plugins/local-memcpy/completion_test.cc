// Submitting, polling, cancelling: each accepted token comes back once.
#include <atomic>
#include <cstring>
#include <map>
#include <thread>

#include "tests/plugins/local-memcpy/pair.h"

namespace slipway::test {
namespace {

using testing::HasSubstr;

class CompletionTest : public LocalMemcpyTest {};

TEST_F(CompletionTest, APrefixIsAcceptedAndTheFaultIsNamed) {
  Start();
  char x[64];
  std::vector<slipway_slice> slices;
  for (int i = 0; i < 4; ++i) slices.push_back(a_->Slice(SLIPWAY_OP_WRITE, x, 64, remote_, 0));
  slices[2].flags = 1;
  uint32_t accepted = 99;
  EXPECT_EQ(a_->Submit(slices, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 2u);
  EXPECT_THAT(a_->error().message, HasSubstr("flag"));
  const auto done = a_->Drain(2);
  EXPECT_EQ(done[0].token + done[1].token, 1u + 2u);
  std::vector<slipway_completion> more;
  a_->Poll(more);
  EXPECT_TRUE(more.empty());
}

TEST_F(CompletionTest, EveryBreachOfTheContractIsRefused) {
  Start();
  char x[64];
  const slipway_slice good = a_->Slice(SLIPWAY_OP_WRITE, x, 64, remote_, 0);
  const auto refused = [&](void (*spoil)(slipway_slice&)) {
    slipway_slice bad = good;
    spoil(bad);
    uint32_t accepted = 99;
    const slipway_status s = a_->Submit({bad}, &accepted);
    EXPECT_EQ(accepted, 0u);
    return s;
  };
  EXPECT_EQ(refused([](slipway_slice& s) { s.op = 0; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.op = 3; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.flags = 0x80000000; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.reserved = 1; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.local_addr = nullptr; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.remote = nullptr; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.length = 0; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.length = UINT64_MAX; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.local_addr = reinterpret_cast<void*>(UINTPTR_MAX - 3); }),
            SLIPWAY_E_INVALID);
  uint32_t accepted = 0;
  EXPECT_EQ(transport_.submit(b_->channel(), &good, sizeof(good), 1, &accepted, nullptr), SLIPWAY_E_INVALID)
      << "a remote of another instance";
}

TEST_F(CompletionTest, TheLongestSliceIsTheAttributes) {
  Start(1 << 20, R"({"max_slice_bytes": "4KiB"})");
  std::vector<char> x(8192, 1);
  EXPECT_EQ(a_->attrs().max_slice_bytes, 4096u);
  EXPECT_EQ(a_->Write(x.data(), 4096, remote_, 0).status, SLIPWAY_OK);
  const std::vector<char> before = there_;
  EXPECT_EQ(a_->Write(x.data(), 4097, remote_, 0).status, SLIPWAY_E_INVALID);
  EXPECT_EQ(there_, before);
}

TEST_F(CompletionTest, BackPressureEndsWithPolling) {
  Start(1 << 20, R"({"max_inflight": 4})");
  char x[8] = {};
  const auto submit = [&](size_t n) {
    std::vector<slipway_slice> slices(n, a_->Slice(SLIPWAY_OP_WRITE, x, 8, remote_, 0));
    uint32_t accepted = 0;
    const slipway_status s = a_->Submit(slices, &accepted);
    return std::pair(s, accepted);
  };
  EXPECT_EQ(submit(10), std::pair(slipway_status{SLIPWAY_OK}, 4u));
  EXPECT_EQ(submit(1), std::pair(slipway_status{SLIPWAY_E_AGAIN}, 0u));
  std::vector<slipway_completion> one;
  ASSERT_EQ(a_->Poll(one, 1), SLIPWAY_OK);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(submit(3), std::pair(slipway_status{SLIPWAY_OK}, 1u));
  EXPECT_EQ(transport_.channel_close(a_->channel()), SLIPWAY_E_BUSY);
  a_->Drain(4);
}

TEST_F(CompletionTest, WiderStridesAreRespected) {
  Start();
  struct WideSlice {
    slipway_slice slice;
    uint64_t extra[3];
  };
  struct WideCompletion {
    slipway_completion completion;
    uint64_t extra;
  };
  char x[64] = {};
  std::vector<WideSlice> slices(3);
  for (WideSlice& s : slices) s = {a_->Slice(SLIPWAY_OP_READ, x, 64, remote_, 0), {~0ull, ~0ull, ~0ull}};
  uint32_t accepted = 0, n = 0;
  ASSERT_EQ(transport_.submit(a_->channel(), &slices[0].slice, sizeof(WideSlice), 3, &accepted, nullptr), SLIPWAY_OK);
  ASSERT_EQ(accepted, 3u);
  std::vector<WideCompletion> done(3);
  std::memset(static_cast<void*>(done.data()), 0xa5, sizeof(WideCompletion) * done.size());
  ASSERT_EQ(transport_.poll(a_->channel(), &done[0].completion, sizeof(WideCompletion), 3, &n), SLIPWAY_OK);
  ASSERT_EQ(n, 3u);
  for (uint32_t i = 0; i < n; ++i) {
    EXPECT_EQ(done[i].completion.token, i + 1);
    EXPECT_EQ(done[i].completion.bytes, 64u);
    EXPECT_EQ(done[i].extra, 0xa5a5a5a5a5a5a5a5u);
  }
  EXPECT_EQ(transport_.submit(a_->channel(), &slices[0].slice, 32, 1, &accepted, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(transport_.poll(a_->channel(), &done[0].completion, 8, 1, &n), SLIPWAY_E_INVALID);
}

TEST_F(CompletionTest, TheCoreIsWokenForWhatTheThreadsComplete) {
  Start();
  std::vector<char> x(500'000);
  for (int i = 0; i < 50; ++i) {
    const uint64_t before = host_.wakes(a_.get());
    uint32_t accepted = 0;
    ASSERT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_READ, x.data(), x.size(), remote_, 0)}, &accepted), SLIPWAY_OK);
    ASSERT_TRUE(WaitUntil([&] { return host_.wakes(a_.get()) > before; }));
    std::vector<slipway_completion> done;
    ASSERT_EQ(a_->Poll(done), SLIPWAY_OK);
    ASSERT_EQ(done.size(), 1u);
  }
}

TEST_F(CompletionTest, ASliceThatComesAloneIsCopiedByItsSubmitter) {
  Start(1 << 20, R"({"threads": 1})");
  std::vector<char> x(there_.size());
  uint32_t accepted = 0;
  ASSERT_EQ(a_->Submit({a_->Slice(SLIPWAY_OP_READ, x.data(), x.size(), remote_, 0)}, &accepted), SLIPWAY_OK);
  std::vector<slipway_completion> done;
  ASSERT_EQ(a_->Poll(done), SLIPWAY_OK);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].status, SLIPWAY_OK);
  EXPECT_EQ(done[0].bytes, x.size());
  EXPECT_EQ(std::memcmp(x.data(), there_.data(), x.size()), 0);
}

TEST_F(CompletionTest, ACanceledSliceCompletesOnceAndMovesNoByte) {
  // The one thread is held up in the wake-up for its first slice, so the others are still to come.
  std::atomic<bool> held{true};
  std::atomic<int> wakes{0};
  host_.on_wake = [&] {
    if (wakes++ == 0) WaitUntil([&] { return !held; });
  };
  Start(1 << 20, R"({"threads": 1, "split_bytes": "64KiB", "inline_bytes": 0})");
  std::vector<char> x(there_.size());
  std::vector<slipway_slice> slices;
  for (int i = 0; i < 8; ++i) slices.push_back(a_->Slice(SLIPWAY_OP_READ, x.data(), x.size(), remote_, 0));
  uint32_t accepted = 0;
  ASSERT_EQ(a_->Submit({slices[0]}, &accepted), SLIPWAY_OK);
  ASSERT_TRUE(WaitUntil([&] { return wakes > 0; }));
  ASSERT_EQ(a_->Submit({slices.begin() + 1, slices.end()}, &accepted), SLIPWAY_OK);
  ASSERT_EQ(accepted, 7u);
  std::fill(x.begin(), x.end(), 0x33);
  for (uint64_t token = 2; token <= 7; ++token) EXPECT_EQ(transport_.cancel(a_->channel(), token), SLIPWAY_OK);
  EXPECT_EQ(transport_.cancel(a_->channel(), 1), SLIPWAY_OK) << "finished";
  EXPECT_EQ(transport_.cancel(a_->channel(), 12345), SLIPWAY_OK) << "unknown";
  std::map<uint64_t, slipway_completion> seen;
  for (const slipway_completion& c : a_->Drain(7)) seen[c.token] = c;
  ASSERT_EQ(seen.size(), 7u);
  EXPECT_EQ(seen[1].status, SLIPWAY_OK);
  for (uint64_t token = 2; token <= 7; ++token) {
    EXPECT_EQ(seen[token].status, SLIPWAY_E_CANCELED);
    EXPECT_EQ(seen[token].bytes, 0u);
  }
  for (const char c : x) ASSERT_EQ(c, 0x33);
  held = false;
  EXPECT_EQ(a_->Drain(1).at(0).status, SLIPWAY_OK) << "the one that was not canceled";
}

TEST_F(CompletionTest, OneThreadAChannel) {
  Start(4 << 20);
  constexpr int kThreads = 3;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      slipway_channel* channel = nullptr;
      ASSERT_EQ(transport_.channel_open(a_->instance(), &threads, &channel, nullptr), SLIPWAY_OK);
      std::vector<char> x(100'000);
      for (int i = 0; i < 100; ++i) {
        const uint64_t length = i % 2 == 0 ? 100 : x.size();
        const slipway_slice s = {uint64_t(i), SLIPWAY_OP_READ, 0, x.data(), length, nullptr, remote_, uint64_t(t), 0};
        uint32_t accepted = 0, n = 0;
        ASSERT_EQ(transport_.submit(channel, &s, sizeof(s), 1, &accepted, nullptr), SLIPWAY_OK);
        slipway_completion c{};
        ASSERT_TRUE(WaitUntil([&] { return transport_.poll(channel, &c, sizeof(c), 1, &n) != SLIPWAY_OK || n == 1; }));
        ASSERT_EQ(c.token, uint64_t(i));
        ASSERT_EQ(c.status, SLIPWAY_OK);
        ASSERT_EQ(std::memcmp(x.data(), there_.data() + t, length), 0);
      }
      ASSERT_EQ(transport_.channel_close(channel), SLIPWAY_OK);
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace slipway::test

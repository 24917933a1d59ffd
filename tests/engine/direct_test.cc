// What moves without a slice in between, since this process can touch the peer's memory itself.
#include <atomic>
#include <thread>

#include "tests/engine/device_fixture.h"

namespace slipway {
namespace {

TEST(DirectTest, AShortWriteIsCompleteWhenItIsSubmittedAndIsCountedAsASlice) {
  const Engine engine = Make(Configuration({Use("local-memcpy")}));
  Bytes memory(64 << 10);
  ASSERT_TRUE(Publish(engine, "box", memory).ok());
  const Segment segment = *engine.Open("/box");
  WarmUp(engine, segment);
  const Moved before = MovedBy(engine);
  const Json counted = Described(engine)["counters"];
  const Bytes local = Pattern(4096, 1);
  const Request request = WriteRequest(segment, 100, local.data(), local.size());
  Result<Batch> batch = engine.Submit({&request, 1});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  EXPECT_TRUE(batch->Poll().ok()) << "nobody else had to do anything";
  EXPECT_TRUE(std::equal(local.begin(), local.end(), memory.begin() + 100));
  const Result<RequestResult> result = batch->result(0);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->status, SLIPWAY_OK);
  EXPECT_EQ(result->bytes, 4096u);
  EXPECT_EQ(result->slices, 1u);
  EXPECT_EQ(result->transport, "local-memcpy");
  EXPECT_GE(batch->fd(), 0);
  const Moved after = MovedBy(engine);
  EXPECT_EQ(after.slices - before.slices, 1u);
  EXPECT_EQ(after.at_once - before.at_once, 1u);
  const Json now = Described(engine)["counters"];
  const auto grown = [&](const char* name) { return now[name].get<uint64_t>() - counted[name].get<uint64_t>(); };
  EXPECT_EQ(grown("batches"), 1u);
  EXPECT_EQ(grown("requests"), 1u);
  EXPECT_EQ(grown("slices"), 1u);
  EXPECT_EQ(grown("slices_direct"), 1u);
  EXPECT_EQ(grown("bytes_written"), 4096u);
  EXPECT_EQ(now["request_bytes"]["sum"].get<uint64_t>() - counted["request_bytes"]["sum"].get<uint64_t>(), 4096u);
  EXPECT_EQ(now["requests_inflight"], 0);
  EXPECT_EQ(now["slices_inflight"], 0);
}

TEST(DirectTest, ABatchOfAllLengthsOverSeveralRegistrationsArrivesWhole) {
  const Engine engine = Make(Configuration({Use("local-memcpy", {{"inline_bytes", 4096}})}));
  // Three registrations, in an order of their own, as one segment.
  Bytes parts[] = {Bytes(50'000), Bytes(3), Bytes(150'000)};
  const slipway_span spans[] = {{parts[2].data(), parts[2].size()}, {parts[1].data(), 3}, {parts[0].data(), 50'000}};
  ASSERT_TRUE(engine.Publish("box", spans).ok());
  const Segment segment = *engine.Open("/box");
  WarmUp(engine, segment);
  const Bytes local = Pattern(segment.length(), 2);
  std::vector<Request> requests;
  // Growing and shrinking again, across both borders; some of no bytes; some too long to be copied at once.
  uint64_t at = 0;
  for (uint64_t i = 0; at < segment.length(); ++i) {
    const uint64_t bytes = std::min<uint64_t>(i % 7 == 3   ? 0
                                              : i % 5 == 4 ? 6000
                                                           : 1 + i * 37 % 900,
                                              segment.length() - at);
    requests.push_back(WriteRequest(segment, at, local.data() + at, bytes));
    at += bytes;
  }
  Result<Batch> batch = engine.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(batch->result(i)->status, SLIPWAY_OK);
    EXPECT_EQ(batch->result(i)->bytes, requests[i].length);
  }
  Bytes joined = parts[2];
  joined.insert(joined.end(), parts[1].begin(), parts[1].end());
  joined.insert(joined.end(), parts[0].begin(), parts[0].end());
  EXPECT_EQ(joined, local);
  Bytes back(local.size());
  for (Request& r : requests) {
    r.op = SLIPWAY_REQUEST_READ;
    r.local = back.data() + r.offset;
  }
  batch = engine.Submit(requests);
  ASSERT_TRUE(batch.ok());
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(back, local);
}

TEST(DirectTest, OverlappingRangesOfOneMemoryAreMovedAsMemmoveDoes) {
  const Engine engine = Make(Configuration({Use("local-memcpy")}));
  Bytes memory = Pattern(8192, 3);
  ASSERT_TRUE(Publish(engine, "box", memory).ok());
  const Segment segment = *engine.Open("/box");
  WarmUp(engine, segment);
  Bytes expected = memory;
  std::copy_backward(expected.begin(), expected.begin() + 4096, expected.begin() + 4196);
  ASSERT_TRUE(engine.Write(segment, 100, {memory.data(), 4096}).ok());
  EXPECT_EQ(memory, expected);
}

TEST(DirectTest, ACallbackRunsOnceForABatchThatIsCompleteAtOnce) {
  const Engine engine = Make(Configuration({Use("local-memcpy")}));
  Bytes memory(4096), local = Pattern(4096, 4);
  ASSERT_TRUE(Publish(engine, "box", memory).ok());
  const Segment segment = *engine.Open("/box");
  WarmUp(engine, segment);
  std::atomic<int> calls{0};
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  for (int i = 1; i <= 100; ++i) {
    ASSERT_TRUE(engine
                    .SubmitThen({&request, 1}, {},
                                [&](Batch batch) {
                                  EXPECT_TRUE(batch.Poll().ok());
                                  calls.fetch_add(1);
                                })
                    .ok());
    EXPECT_EQ(calls.load(), i);
  }
  EXPECT_EQ(memory, local);
}

TEST(DirectTest, WhatWasWithdrawnIsNotTouchedAnyMore) {
  const Engine engine = Make(Configuration({Use("local-memcpy")})), owner = Make(Configuration({Use("local-memcpy")}));
  Bytes memory(4096), local = Pattern(4096, 5);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine, owner, "box");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(engine.Write(segment, 0, local).ok());
  ASSERT_TRUE(owner.Withdraw("box").ok());
  const Bytes before = memory;
  std::fill(local.begin(), local.end(), std::byte{0xee});
  EXPECT_EQ(engine.Write(segment, 0, local).code(), SLIPWAY_E_STALE_REMOTE);
  EXPECT_EQ(memory, before);
}

TEST(DirectTest, WithdrawingWhileThreadsWriteEndsTheirWritesAndNothingIsWrittenAfterwards) {
  const Engine engine = Make(Configuration({Use("local-memcpy")})), owner = Make(Configuration({Use("local-memcpy")}));
  constexpr int kRounds = 30;
  for (int round = 0; round < kRounds; ++round) {
    Bytes memory(64 << 10);
    ASSERT_TRUE(Publish(owner, "box", memory).ok());
    const Segment segment = Open(engine, owner, "box");
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> written{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        const Bytes local = Pattern(4096, static_cast<uint32_t>(t));
        while (!stop.load()) {
          const Status status = engine.Write(segment, static_cast<uint64_t>(t) * 4096, local);
          if (!status.ok()) {
            EXPECT_EQ(status.code(), SLIPWAY_E_STALE_REMOTE) << status.message();
            return;
          }
          written.fetch_add(1);
        }
      });
    }
    while (written.load() < 20) std::this_thread::yield();
    EXPECT_TRUE(owner.Withdraw("box").ok());
    std::fill(memory.begin(), memory.end(), std::byte{0});  // it is the owner's alone
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
    EXPECT_EQ(memory, Bytes(memory.size())) << "written after it was withdrawn";
    stop.store(true);
    for (std::thread& t : threads) t.join();
  }
}

}  // namespace
}  // namespace slipway

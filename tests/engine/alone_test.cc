// Requests that come alone and are copied while they are submitted, where the engine knows the way from the one before.
#include <poll.h>

#include <thread>

#include "tests/engine/fixture.h"

namespace slipway {
namespace {

bool IsReadable(int fd) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1;
}

// Requests that come alone, one like the other: all but the first few go the shortest way there is.
class AloneTest : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = 4096;

  AloneTest() : engine_(Make(Configuration({Use("local-memcpy")}))), memory_(16 * kBytes) {
    EXPECT_TRUE(Publish(engine_, "box", memory_).ok());
    segment_ = *engine_.Open("/box");
    Repeat(WriteRequest(segment_, 0, local_.data(), kBytes));
  }
  // Until the engine knows what it is like.
  void Repeat(const Request& request) {
    for (int i = 0; i < 5; ++i) {
      Result<Batch> batch = engine_.Submit({&request, 1});
      ASSERT_TRUE(batch.ok()) << batch.status().message();
      ASSERT_TRUE(batch->Wait().ok());
    }
  }
  slipway_status Refusal(const Request& request, const SubmitOptions& options = {}) {
    return engine_.Submit({&request, 1}, options).status().code();
  }

  Engine engine_;
  Bytes memory_, local_ = Pattern(kBytes, 10);
  Segment segment_;
};

TEST_F(AloneTest, EachIsCountedAndTellsItsResult) {
  const auto at_once = [&] { return Described(engine_)["transports"][0]["stats"]["inline_slices"].get<uint64_t>(); };
  const uint64_t before = at_once();
  const Json counted = Described(engine_)["counters"];
  constexpr uint64_t kTimes = 160;
  for (uint64_t i = 0; i < kTimes; ++i) {
    local_ = Pattern(kBytes, static_cast<uint32_t>(i));
    const uint64_t bytes = kBytes - i, at = i * 37;
    const Request request = WriteRequest(segment_, at, local_.data(), bytes);
    Result<Batch> batch = engine_.Submit({&request, 1});
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    EXPECT_TRUE(batch->Poll().ok()) << "nobody else had to do anything";
    EXPECT_TRUE(std::equal(local_.begin(), local_.begin() + static_cast<ptrdiff_t>(bytes),
                           memory_.begin() + static_cast<ptrdiff_t>(at)));
    const Result<RequestResult> result = batch->result(0);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->status, SLIPWAY_OK);
    EXPECT_EQ(result->bytes, bytes);
    EXPECT_EQ(result->slices, 1u);
    EXPECT_EQ(result->staged_slices + result->retries, 0u);
    EXPECT_EQ(result->transport, "local-memcpy");
    EXPECT_EQ(batch->message(0), "");
    EXPECT_EQ(batch->result(1).status().code(), SLIPWAY_E_RANGE);
    if (i % 7 == 0) {
      EXPECT_TRUE(IsReadable(batch->fd()));
    }
    EXPECT_TRUE(batch->Cancel().ok());
    EXPECT_TRUE(batch->Wait(0).ok()) << "there was nothing left to cancel";
  }
  const Json now = Described(engine_)["counters"];
  const auto grown = [&](const char* name) { return now[name].get<uint64_t>() - counted[name].get<uint64_t>(); };
  EXPECT_EQ(grown("batches"), kTimes);
  EXPECT_EQ(grown("requests"), kTimes);
  EXPECT_EQ(grown("slices"), kTimes);
  EXPECT_EQ(grown("slices_direct"), kTimes);
  EXPECT_EQ(grown("bytes_written"), kTimes * kBytes - kTimes * (kTimes - 1) / 2);
  EXPECT_EQ(now["requests_inflight"], 0);
  for (const char* name : {"request_bytes", "request_ns"}) {
    EXPECT_EQ(now[name]["count"].get<uint64_t>() - counted[name]["count"].get<uint64_t>(), kTimes) << name;
  }
  EXPECT_EQ(at_once() - before, kTimes);
  Bytes back(100);
  const Request read = ReadRequest(segment_, 300, back.data(), back.size());
  Repeat(read);
  EXPECT_TRUE(std::equal(back.begin(), back.end(), memory_.begin() + 300));
}

TEST_F(AloneTest, OneThatIsWrongIsRefusedAlthoughTheOneBeforeWasNot) {
  const Bytes before = memory_;
  Bytes other(kBytes);
  const uint64_t length = memory_.size();
  EXPECT_EQ(Refusal(WriteRequest(segment_, length - kBytes + 1, other.data(), kBytes)), SLIPWAY_E_SEGMENT_RANGE);
  EXPECT_EQ(Refusal(WriteRequest(segment_, UINT64_MAX, other.data(), kBytes)), SLIPWAY_E_SEGMENT_RANGE);
  EXPECT_EQ(Refusal(WriteRequest(segment_, 0, other.data(), UINT64_MAX)), SLIPWAY_E_SEGMENT_RANGE);
  EXPECT_EQ(Refusal(WriteRequest(segment_, 0, nullptr, kBytes)), SLIPWAY_E_INVALID);
  EXPECT_EQ(Refusal(WriteRequest(segment_, 0, reinterpret_cast<void*>(UINT64_MAX - 1), kBytes)), SLIPWAY_E_INVALID);
  Request request = WriteRequest(segment_, 0, other.data(), kBytes);
  request.flags = 1;
  EXPECT_EQ(Refusal(request), SLIPWAY_E_INVALID);
  request = WriteRequest(segment_, 0, other.data(), kBytes);
  request.op = 77;
  EXPECT_EQ(Refusal(request), SLIPWAY_E_INVALID);
  request = WriteRequest(segment_, 0, other.data(), kBytes);
  EXPECT_EQ(Refusal(request, SubmitOptions{.priority = static_cast<Priority>(3)}), SLIPWAY_E_INVALID);
  EXPECT_NE(Refusal(request, SubmitOptions{.stream_kind = SLIPWAY_MEM_CUDA}), SLIPWAY_OK) << "nobody knows that stream";
  EXPECT_EQ(memory_, before);

  const slipway_span span = {memory_.data(), memory_.size()};
  ASSERT_TRUE(engine_.Publish("reading", {&span, 1}, SLIPWAY_ACCESS_REMOTE_READ).ok());
  const Segment reading = *engine_.Open("/reading");
  Repeat(ReadRequest(reading, 0, other.data(), kBytes));
  EXPECT_EQ(Refusal(WriteRequest(reading, 0, other.data(), kBytes)), SLIPWAY_E_SEGMENT_ACCESS);
}

TEST_F(AloneTest, WhatIsKnownOfASegmentGoesWithIt) {
  // Another segment at the same place in memory, with other bytes behind it.
  for (uint32_t i = 0; i < 20; ++i) {
    Bytes memory(kBytes * (1 + i % 3)), local = Pattern(kBytes, i);
    ASSERT_TRUE(Publish(engine_, "next", memory).ok());
    {
      const Segment segment = *engine_.Open("/next");
      Repeat(WriteRequest(segment, memory.size() - kBytes, local.data(), kBytes));
      EXPECT_TRUE(std::equal(local.begin(), local.end(), memory.end() - kBytes));
    }
    ASSERT_TRUE(engine_.Withdraw("next").ok());
  }
}

TEST_F(AloneTest, WhatMayNotBeWrittenToIsNotForWantOfAnotherAtItsPlace) {
  Bytes one(kBytes), other(kBytes);
  ASSERT_TRUE(Publish(engine_, "written", one).ok());
  ASSERT_TRUE(Publish(engine_, "read", other, SLIPWAY_ACCESS_REMOTE_READ).ok());
  for (int i = 0; i < 50; ++i) {
    {
      const Segment segment = *engine_.Open("/written");
      Repeat(WriteRequest(segment, 0, local_.data(), kBytes));
    }
    const Segment segment = *engine_.Open("/read");
    EXPECT_EQ(Refusal(WriteRequest(segment, 0, local_.data(), kBytes)), SLIPWAY_E_SEGMENT_ACCESS);
  }
  EXPECT_EQ(other, Bytes(kBytes));
}

TEST_F(AloneTest, BatchesOutliveTheirEngineAndTheThreadThatMadeThem) {
  constexpr size_t kMany = 200;  // more than a thread keeps
  std::vector<Batch> batches;
  std::thread([&] {
    const Request request = WriteRequest(segment_, 0, local_.data(), kBytes);
    for (size_t i = 0; i < kMany; ++i) batches.push_back(std::move(*engine_.Submit({&request, 1})));
    batches.erase(batches.begin(), batches.begin() + kMany / 4);
  }).join();
  segment_ = Segment();
  engine_ = Engine();
  for (const Batch& batch : batches) {
    EXPECT_TRUE(batch.Poll().ok());
    EXPECT_TRUE(batch.Wait().ok());
    EXPECT_EQ(batch.result(0)->bytes, kBytes);
    EXPECT_EQ(batch.result(0)->transport, "local-memcpy");
    EXPECT_TRUE(batch.Cancel().ok());
  }
  EXPECT_TRUE(IsReadable(batches[0].fd()));
  std::thread([&] { batches.clear(); }).join();
}

TEST_F(AloneTest, AnOwnerThatIsGoneIsNotWrittenTo) {
  Engine owner = Make(Configuration({Use("local-memcpy")}));
  Bytes memory(kBytes);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine_, owner, "box");
  Repeat(WriteRequest(segment, 0, local_.data(), kBytes));
  owner = Engine();
  const Bytes before = memory;
  std::fill(local_.begin(), local_.end(), std::byte{0xee});
  EXPECT_FALSE(engine_.Write(segment, 0, local_).ok());
  EXPECT_EQ(memory, before);
}

}  // namespace
}  // namespace slipway

// Long batches of short requests to a device's memory: what the provider reads before all of them have been looked at,
// and what becomes of it where one of them is wrong.
#include <optional>
#include <thread>
#include <utility>

#include "tests/engine/device_fixture.h"

namespace slipway {
namespace {

class AheadTest : public testing::Test {
 protected:
  static constexpr uint64_t kBlock = 64, kBlocks = 20000;

  AheadTest() {
    Json json = WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "ahead");
    json["transfer"] = {{"completion_grace_ms", 200}};
    engine_ = Make(json);
    device_.emplace("ahead");
    local_.emplace(*device_, kBlock * kBlocks);
    memory_ = Pattern(kBlock * kBlocks, 6);
    EXPECT_TRUE(Publish(engine_, "host", memory_).ok());
    segment_ = *engine_.Open("/host");
    WarmUp(engine_, segment_);
    before_ = local_->Look();
  }
  // Every block, to where the last of them would go.
  std::vector<Request> Blocks(uint64_t count = kBlocks) const {
    std::vector<Request> requests;
    for (uint64_t i = 0; i < count; ++i) {
      requests.push_back(ReadRequest(segment_, i * kBlock, local_->data() + (kBlocks - 1 - i) * kBlock, kBlock));
    }
    return requests;
  }
  void ExpectBlocks(uint64_t count = kBlocks) const {
    const Bytes device = local_->Look();
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_TRUE(std::equal(memory_.begin() + static_cast<ptrdiff_t>(i * kBlock),
                             memory_.begin() + static_cast<ptrdiff_t>((i + 1) * kBlock),
                             device.begin() + static_cast<ptrdiff_t>((kBlocks - 1 - i) * kBlock)))
          << "block " << i;
    }
  }
  void Move(const std::vector<Request>& requests, const SubmitOptions& options = {}) const {
    Result<Batch> batch = engine_.Submit(requests, options);
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    ASSERT_TRUE(batch->Wait().ok());
  }

  Engine engine_;
  std::optional<Device> device_;
  Bytes memory_, before_;
  Segment segment_;
  std::optional<DeviceBytes> local_;  // goes before the engine
};

TEST_F(AheadTest, TheFirstOfALongBatchAreReadAhead) {
  Move(Blocks());
  ExpectBlocks();
  EXPECT_GT(device_->counters().read_ahead, 1000u);
  EXPECT_LT(device_->counters().read_ahead, kBlocks / 2);
  EXPECT_EQ(device_->counters().drops, 0u) << "all of it was used";
  EXPECT_EQ(device_->counters().pieces, kBlocks);
  EXPECT_EQ(Described(engine_)["counters"]["requests_inflight"], 0);
  EXPECT_TRUE(engine_.Withdraw("host").ok()) << "nothing holds it any more";
}

TEST_F(AheadTest, AWrongRequestChangesNothing) {
  for (const uint64_t wrong : {kBlocks - 1, kBlocks / 2, uint64_t{2000}}) {
    std::vector<Request> requests = Blocks();
    requests[wrong].offset = kBlocks * kBlock;
    const slipway_fake_memory_counters before = device_->counters();
    Result<Batch> batch = engine_.Submit(requests);
    ASSERT_EQ(batch.status().code(), SLIPWAY_E_SEGMENT_RANGE);
    EXPECT_NE(batch.status().message().find("request " + std::to_string(wrong)), std::string::npos);
    EXPECT_GT(device_->counters().read_ahead, before.read_ahead);
    EXPECT_EQ(device_->counters().drops, before.drops + 1);
    EXPECT_EQ(device_->counters().submits, before.submits);
    EXPECT_EQ(local_->Look(), before_);
  }
  // What was read for it is not what others get.
  std::ranges::copy(Pattern(kBlock * kBlocks, 7), memory_.begin());
  Move(Blocks(100));
  ExpectBlocks(100);
  Move(Blocks());
  ExpectBlocks();
  EXPECT_TRUE(engine_.Withdraw("host").ok()) << "nothing holds it any more";
}

// That too much is in flight is known after all requests have been looked at.
TEST(AheadRefusedTest, WhatIsRefusedAfterAllChangesNothing) {
  constexpr uint64_t kBlock = 64, kBlocks = 20000;
  Json json = WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "few");
  json["transfer"] = {{"max_batch_requests", kBlocks}, {"max_inflight_requests", kBlocks + 50}, {"dispatchers", 2}};
  const Engine engine = Make(json);
  const Device device("few");
  Bytes memory = Pattern(kBlock * kBlocks, 6);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  WarmUp(engine, segment);
  DeviceBytes local(device, kBlock * kBlocks), others(device, kBlock * kBlocks);
  const auto requests = [&](const DeviceBytes& to, uint64_t count) {
    std::vector<Request> all;
    for (uint64_t i = 0; i < count; ++i)
      all.push_back(ReadRequest(segment, i * kBlock, to.data() + i * kBlock, kBlock));
    return all;
  };
  device.control().set_hold(device.get(), 1);
  std::optional<Batch> other;
  std::thread([&] { other.emplace(*engine.Submit(requests(others, 100))); }).join();
  const Bytes before = local.Look();
  EXPECT_EQ(engine.Submit(requests(local, kBlocks)).status().code(), SLIPWAY_E_AGAIN);
  EXPECT_GT(device.counters().read_ahead, 0u);
  EXPECT_EQ(device.counters().drops, 1u);
  EXPECT_EQ(local.Look(), before);
  device.control().set_hold(device.get(), 0);
  EXPECT_TRUE(other->Wait().ok());
  Result<Batch> batch = engine.Submit(requests(local, kBlocks));
  ASSERT_TRUE(batch.ok());
  EXPECT_TRUE(batch->Wait().ok());
  EXPECT_EQ(local.Look(), memory);
}

// It may be busy with what the application has for it.
TEST_F(AheadTest, ADeviceThatStillReadsHoldsNobodyUp) {
  device_->control().set_hold(device_->get(), 1);
  std::vector<Request> requests = Blocks();
  requests[2000].offset = kBlocks * kBlock;
  ASSERT_EQ(engine_.Submit(requests).status().code(), SLIPWAY_E_SEGMENT_RANGE);
  EXPECT_GT(device_->counters().read_ahead, 0u);
  // Nothing of this comes to an end while it reads, and nothing waits for that.
  const Segment again = *engine_.Open("/host");
  Bytes here(kBlock);
  EXPECT_TRUE(engine_.Read(again, 0, here).ok());
  const uint64_t read = device_->counters().read_ahead;
  Result<Batch> batch = engine_.Submit(Blocks());
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(device_->counters().read_ahead, read) << "one thing at a time";
  EXPECT_FALSE(batch->Wait(10).ok());
  device_->control().set_hold(device_->get(), 0);
  ASSERT_TRUE(batch->Wait().ok());
  ExpectBlocks();
  EXPECT_TRUE(engine_.Withdraw("host").ok()) << "nothing holds it any more";
}

// For a while: then the engine is gone, and what is read stays what it was.
TEST_F(AheadTest, StoppingWaitsForADeviceThatReadsNoLongerThanItMay) {
  device_->control().set_hold(device_->get(), 1);
  std::vector<Request> requests = Blocks();
  requests[2000].offset = kBlocks * kBlock;
  ASSERT_EQ(engine_.Submit(requests).status().code(), SLIPWAY_E_SEGMENT_RANGE);
  std::thread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    device_->control().set_hold(device_->get(), 0);
  });
  segment_ = Segment();
  local_.reset();
  engine_ = Engine();
  later.join();
}

// Only what is read from the host, when there is nothing else to do, and comes after nothing.
TEST_F(AheadTest, NotWhereItWouldNotBeRight) {
  std::vector<Request> down = Blocks();
  for (Request& r : down) r.op = SLIPWAY_OP_WRITE;
  Move(down);
  EXPECT_EQ(device_->counters().read_ahead, 0u);
  Move(Blocks(10000));
  EXPECT_EQ(device_->counters().read_ahead, 0u);
  Move(Blocks(), {.stream_kind = uint64_t{1} << 32, .stream = device_->control().stream(device_->get())});
  EXPECT_EQ(device_->counters().read_ahead, 0u);
  device_->control().set_hold(device_->get(), 1);
  Result<Batch> other = engine_.Submit(Blocks(100));
  ASSERT_TRUE(other.ok());
  Result<Batch> batch = engine_.Submit(Blocks());
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(device_->counters().read_ahead, 0u);
  device_->control().set_hold(device_->get(), 0);
  EXPECT_TRUE(other->Wait().ok());
  EXPECT_TRUE(batch->Wait().ok());
}

}  // namespace
}  // namespace slipway

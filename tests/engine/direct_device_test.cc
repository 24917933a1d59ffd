// What memory providers copy without a slice in between: blocks of devices' memory, many at a time.
#include <optional>
#include <thread>
#include <utility>

#include "tests/engine/device_fixture.h"

namespace slipway {
namespace {

// The provider, and its configuration: with groups, some pieces a group, and none.
struct Provider {
  const char *name, *plugin, *options;
};

class DirectDeviceTest : public testing::TestWithParam<Provider> {
 protected:
  static constexpr uint64_t kBlock = 512, kBlocks = 3000;

  DirectDeviceTest() {
    Json json = WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "direct", Json::parse(GetParam().options),
                           GetParam().plugin);
    json["transfer"] = {{"completion_grace_ms", 200}};
    engine_ = Make(json);
    device_.emplace("direct", GetParam().plugin);
    local_.emplace(*device_, kBlock * kBlocks);
    local_->Set(Pattern(kBlock * kBlocks, 6));
    memory_.resize(kBlock * kBlocks);
    EXPECT_TRUE(Publish(engine_, "host", memory_).ok());
    segment_ = *engine_.Open("/host");
    WarmUp(engine_, segment_);
  }
  bool HasGroups() const { return std::string(GetParam().plugin) == "fake-memory"; }
  // Every block, to where the last of them would go.
  std::vector<Request> Blocks() const {
    std::vector<Request> requests;
    for (uint64_t i = 0; i < kBlocks; ++i) {
      requests.push_back(WriteRequest(segment_, i * kBlock, local_->data() + (kBlocks - 1 - i) * kBlock, kBlock));
    }
    return requests;
  }
  void ExpectAll() const {
    const Bytes device = local_->Look();
    for (uint64_t i = 0; i < kBlocks; ++i) {
      ASSERT_TRUE(std::equal(memory_.begin() + static_cast<ptrdiff_t>(i * kBlock),
                             memory_.begin() + static_cast<ptrdiff_t>((i + 1) * kBlock),
                             device.begin() + static_cast<ptrdiff_t>((kBlocks - 1 - i) * kBlock)))
          << "block " << i;
    }
  }

  Engine engine_;
  std::optional<Device> device_;
  Bytes memory_;
  Segment segment_;
  std::optional<DeviceBytes> local_;  // goes before the engine
};

TEST_P(DirectDeviceTest, BlocksGoToTheProviderAsTheyAre) {
  const Copies before = CopiesOf(engine_);
  const Moved moved = MovedBy(engine_);
  Result<Batch> batch = engine_.Submit(Blocks());
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  ExpectAll();
  EXPECT_EQ(CopiesOf(engine_) - before, (Copies{.direct = kBlocks}));
  EXPECT_EQ(MovedBy(engine_).device - moved.device, kBlocks);
  EXPECT_LT(device_->counters().submits, 40u) << "many are one submission";
  EXPECT_EQ(device_->counters().groups > 0, HasGroups());
  EXPECT_EQ(Described(engine_)["counters"]["slices_inflight"], 0);
  for (const size_t i : {size_t{0}, size_t{kBlocks - 1}}) {
    EXPECT_EQ(batch->result(i)->bytes, kBlock);
    EXPECT_EQ(batch->result(i)->slices, 1u);
    EXPECT_EQ(batch->result(i)->transport, "local-memcpy");
  }
}

TEST_P(DirectDeviceTest, WhatTheProviderFailsToCopyGoesOnByTheNextTransport) {
  device_->control().set_copy_error(device_->get(), SLIPWAY_E_DEVICE, kBlocks / 2);
  Result<Batch> batch = engine_.Submit(Blocks());
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  // By tcp it is copied by the same provider, to staging, which works again by then, or does not.
  while (device_->counters().failed == 0) (void)batch->Poll();
  device_->control().set_copy_error(device_->get(), SLIPWAY_OK, 0);
  const Status status = batch->Wait();
  uint64_t ok = 0;
  for (uint64_t i = 0; i < kBlocks; ++i) {
    const RequestResult result = *batch->result(i);
    EXPECT_NE(result.status, SLIPWAY_IN_PROGRESS);
    ok += result.status == SLIPWAY_OK;
  }
  // Of a group of which one fails, each is tried again, also where the provider knows of no groups: those before it are
  // more than a quarter.
  EXPECT_GE(ok, kBlocks / 4);
  EXPECT_EQ(status.ok(), ok == kBlocks) << status.message();
  EXPECT_EQ(Described(engine_)["counters"]["requests_inflight"], 0);
  ASSERT_TRUE(engine_.Withdraw("host").ok()) << "nothing holds it any more";
}

TEST_P(DirectDeviceTest, CanceledInTheMiddleItEndsWhenTheProviderDoes) {
  device_->control().set_hold(device_->get(), 1);
  Result<Batch> batch = engine_.Submit(Blocks());
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Cancel().ok());
  EXPECT_EQ(batch->Poll().code(), SLIPWAY_IN_PROGRESS) << "the provider may still write";
  device_->control().set_hold(device_->get(), 0);
  EXPECT_EQ(batch->Wait().code(), SLIPWAY_E_CANCELED);
  EXPECT_TRUE(engine_.Withdraw("host").ok());
}

TEST_P(DirectDeviceTest, AProviderThatNeverEndsIsGivenUpAndItsMemoryKept) {
  if (std::string(GetParam().options) != "{}" && HasGroups())
    GTEST_SKIP() << "takes seconds: one with groups is enough";
  device_->control().set_hold(device_->get(), 1);
  Result<Batch> batch = engine_.Submit(Blocks(), SubmitOptions{.timeout_ms = 50});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  const Status status = batch->Wait(20'000);
  EXPECT_EQ(status.code(), SLIPWAY_E_STUCK) << status.message();
  device_->control().set_hold(device_->get(), 0);
  // Late completions are nobody's: others go on.
  Bytes host = Pattern(kBlock, 7);
  EXPECT_TRUE(engine_.Write(segment_, 0, host).ok());
}

// Each kind of request has its own way: none waits for another's, and none is taken for another.
TEST_P(DirectDeviceTest, ABatchMixesMemoriesOperationsAndLengths) {
  const Bytes host = Pattern(kBlock * kBlocks, 9);
  const Bytes device = local_->Look();
  Bytes expected = memory_, back(kBlock * kBlocks);
  DeviceBytes read(*device_, kBlock * kBlocks);
  Bytes expected_read = read.Look();
  std::vector<Request> requests;
  for (uint64_t i = 0; i < kBlocks; ++i) {
    const uint64_t at = i * kBlock, bytes = i % 11 == 0 ? kBlock - i % 13 : kBlock;
    const auto from = [&](const Bytes& b) { return b.begin() + static_cast<ptrdiff_t>(at); };
    // Runs of several lengths, down to one request.
    switch (i / 3 % 7 == 0 ? i % 3 : i / 600 % 3) {
      case 0:
        requests.push_back(WriteRequest(segment_, at, local_->data() + at, bytes));
        std::copy_n(from(device), bytes, expected.begin() + static_cast<ptrdiff_t>(at));
        break;
      case 1:
        requests.push_back(WriteRequest(segment_, at, host.data() + at, bytes));
        std::copy_n(from(host), bytes, expected.begin() + static_cast<ptrdiff_t>(at));
        break;
      default:
        requests.push_back(ReadRequest(segment_, at, read.data() + at, bytes));
        std::copy_n(from(memory_), bytes, expected_read.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  Result<Batch> batch = engine_.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(memory_, expected);
  EXPECT_EQ(read.Look(), expected_read);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(batch->result(i)->status, SLIPWAY_OK);
    EXPECT_EQ(batch->result(i)->bytes, requests[i].length);
  }
  const Json counters = Described(engine_)["counters"];
  EXPECT_EQ(counters["requests_inflight"], 0);
  EXPECT_EQ(counters["slices_inflight"], 0);
  ASSERT_TRUE(engine_.Withdraw("host").ok()) << "nothing holds it any more";
}

TEST_P(DirectDeviceTest, BlocksOverSeveralRegistrationsArriveWhole) {
  Bytes parts[] = {Bytes(kBlock * 1000), Bytes(kBlock * 700 + 100), Bytes(kBlock * 1300 - 100)};
  const slipway_span spans[] = {
      {parts[0].data(), parts[0].size()}, {parts[1].data(), parts[1].size()}, {parts[2].data(), parts[2].size()}};
  ASSERT_TRUE(engine_.Publish("parts", spans).ok());
  const Segment segment = *engine_.Open("/parts");
  WarmUp(engine_, segment);
  std::vector<Request> requests;
  for (uint64_t i = 0; i < kBlocks; ++i) {
    requests.push_back(WriteRequest(segment, i * kBlock, local_->data() + i * kBlock, kBlock));
  }
  Result<Batch> batch = engine_.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  Bytes joined = parts[0];
  joined.insert(joined.end(), parts[1].begin(), parts[1].end());
  joined.insert(joined.end(), parts[2].begin(), parts[2].end());
  EXPECT_EQ(joined, local_->Look());
  ASSERT_TRUE(engine_.Withdraw("parts").ok());
}

TEST_P(DirectDeviceTest, ARequestThatIsWrongAmongThousandsRefusesAllOfThem) {
  const Bytes before = memory_;
  const auto expect_refused = [&](size_t which, const std::function<void(Request&)>& spoil) {
    std::vector<Request> requests = Blocks();
    spoil(requests[which]);
    const Result<Batch> batch = engine_.Submit(requests);
    ASSERT_FALSE(batch.ok());
    EXPECT_EQ(batch.status().message().rfind("request " + std::to_string(which) + ":", 0), 0u)
        << batch.status().message();
    EXPECT_EQ(memory_, before);
  };
  for (const size_t which : {size_t{1}, size_t{2500}, size_t{kBlocks - 1}}) {
    expect_refused(which, [&](Request& r) { r.offset = kBlock * kBlocks - kBlock + 1; });
    expect_refused(which, [&](Request& r) { r.offset = UINT64_MAX; });
    expect_refused(which, [](Request& r) { r.length = UINT64_MAX; });
    expect_refused(which, [](Request& r) { r.flags = 1; });
    expect_refused(which, [](Request& r) { r.op = 77; });
    expect_refused(which, [](Request& r) { r.local = nullptr; });
    expect_refused(which, [](Request& r) { r.segment = nullptr; });
  }
}

// Long batches are looked at by several threads.
TEST_P(DirectDeviceTest, OfAVeryLongBatchTheFirstRequestThatIsWrongIsNamed) {
  std::vector<Request> requests;
  while (requests.size() < 20'000) {
    const std::vector<Request> more = Blocks();
    requests.insert(requests.end(), more.begin(), more.end());
  }
  const size_t last = requests.size() - 1;
  const Bytes before = memory_;
  for (const size_t which : {size_t{1}, size_t{2048}, size_t{9000}, last}) {
    const Request good = requests[which];
    requests[which].offset = kBlock * kBlocks - kBlock + 1;
    for (const size_t other : {which, last}) {
      const uint64_t length = std::exchange(requests[other].length, other == which ? kBlock : UINT64_MAX);
      const Result<Batch> batch = engine_.Submit(requests);
      ASSERT_FALSE(batch.ok());
      EXPECT_EQ(batch.status().message().rfind("request " + std::to_string(which) + ":", 0), 0u)
          << batch.status().message();
      requests[other].length = length;
    }
    requests[which] = good;
  }
  EXPECT_EQ(memory_, before);
  // One that is unlike the others, and right.
  Bytes host = Pattern(kBlock, 8);
  requests[10'000] = WriteRequest(segment_, (10'000 % kBlocks) * kBlock, host.data(), kBlock);
  Result<Batch> batch = engine_.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  for (size_t i = 0; i < requests.size(); ++i) ASSERT_EQ(batch->result(i)->bytes, kBlock) << i;
}

// Of a group that fails it is not known what was copied: what can be, is, and what cannot be is told of alone.
TEST_P(DirectDeviceTest, OnePieceThatCannotBeCopiedFailsItsOwnRequestAlone) {
  for (const uint64_t which : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, kBlocks - 1}) {
    std::fill(memory_.begin(), memory_.end(), std::byte{0});
    std::vector<Request> requests = Blocks();
    // Begins within the device's memory, and ends beyond it.
    requests[which].local = local_->data() + kBlocks * kBlock - 8;
    Result<Batch> batch = engine_.Submit(requests);
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    EXPECT_FALSE(batch->Wait().ok());
    const Bytes device = local_->Look();
    for (uint64_t i = 0; i < kBlocks; ++i) {
      const RequestResult result = *batch->result(i);
      if (i == which) {
        EXPECT_NE(result.status, SLIPWAY_OK);
        continue;
      }
      ASSERT_EQ(result.status, SLIPWAY_OK) << i;
      ASSERT_EQ(result.bytes, kBlock);
      ASSERT_TRUE(std::equal(memory_.begin() + static_cast<ptrdiff_t>(i * kBlock),
                             memory_.begin() + static_cast<ptrdiff_t>((i + 1) * kBlock),
                             device.begin() + static_cast<ptrdiff_t>((kBlocks - 1 - i) * kBlock)))
          << "block " << i;
    }
    EXPECT_EQ(Described(engine_)["counters"]["requests_inflight"], 0);
    EXPECT_EQ(Described(engine_)["counters"]["slices_inflight"], 0);
  }
  ASSERT_TRUE(engine_.Withdraw("host").ok()) << "nothing holds it any more";
}

TEST_P(DirectDeviceTest, BatchesOfSeveralThreadsAndADeadlineAmongThem) {
  std::vector<std::thread> threads;
  std::atomic<int> late{0};
  device_->control().set_hold(device_->get(), 1);
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      Result<Batch> batch = engine_.Submit(Blocks(), SubmitOptions{.timeout_ms = t == 0 ? 50u : 0u});
      ASSERT_TRUE(batch.ok()) << batch.status().message();
      Status status = batch->Wait();
      while (status.code() == SLIPWAY_IN_PROGRESS) status = batch->Wait();
      if (t == 0) {
        EXPECT_EQ(status.code(), SLIPWAY_E_DEADLINE);
        ++late;
      } else {
        EXPECT_TRUE(status.ok()) << status.message();
      }
    });
  }
  while (Described(engine_)["counters"]["deadlines"] == 0) std::this_thread::yield();
  device_->control().set_hold(device_->get(), 0);
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(late.load(), 1);
  ExpectAll();
  EXPECT_EQ(Described(engine_)["counters"]["requests_inflight"], 0);
  ASSERT_TRUE(engine_.Withdraw("host").ok());
}

TEST_P(DirectDeviceTest, SegmentsOfDevicesTakeShortWritesFromTheHost) {
  DeviceBytes there(*device_, 100'000);
  const slipway_span span = {there.data(), there.size()};
  ASSERT_TRUE(engine_.Publish("device", {&span, 1}).ok());
  const Segment segment = *engine_.Open("/device");
  const Bytes host = Pattern(100'000, 8);
  std::vector<Request> requests;
  for (uint64_t at = 0; at < host.size(); at += 1000)
    requests.push_back(WriteRequest(segment, at, host.data() + at, 1000));
  for (int i = 0; i < 2; ++i) {  // by slices at first
    there.Set(Bytes(100'000));
    Result<Batch> batch = engine_.Submit(requests);
    ASSERT_TRUE(batch.ok());
    ASSERT_TRUE(batch->Wait().ok());
    EXPECT_EQ(there.Look(), host);
  }
  ASSERT_TRUE(engine_.Withdraw("device").ok());
}

// How long the transport's slices are is nothing to the provider, which loses time between two copies.
TEST(DirectLongTest, ADevicesLongRequestIsOneCopy) {
  Engine engine =
      Make(WithDevice(Configuration({Use("local-memcpy", {{"max_slice_bytes", "64KiB"}}), Use("tcp")}), "long"));
  const Device device("long");
  DeviceBytes local(device, 1 << 20);
  local.Set(Pattern(local.size(), 11));
  Bytes memory(local.size());
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  WarmUp(engine, segment);
  const uint64_t before = device.counters().pieces;
  Result<Batch> batch = engine.Submit({{WriteRequest(segment, 0, local.data(), local.size())}});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(memory, local.Look());
  EXPECT_EQ(batch->result(0)->slices, 1u);
  EXPECT_EQ(device.counters().pieces - before, 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Providers, DirectDeviceTest,
    testing::Values(Provider{"Groups", "fake-memory", "{}"},
                    Provider{"SmallGroups", "fake-memory", R"({"max_group": 100, "max_inflight": 7})"},
                    Provider{"GroupsChecked", "fake-memory", R"({"check_ranges": true})"},
                    Provider{"PiecesChecked", "fake-memory-b", R"({"max_inflight": 1000, "check_ranges": true})"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace slipway

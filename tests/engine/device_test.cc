// Memory that the CPU cannot touch, moved by its provider: at once where source and target are in reach of one copy,
// and through the staging pool where a transport reaches host memory alone.
#include <thread>

#include "tests/engine/device_fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

Status Write(const Engine& engine, const Segment& segment, uint64_t offset, const std::byte* local, uint64_t bytes) {
  return engine.Write(segment, offset, {local, bytes});
}
Status Read(const Engine& engine, const Segment& segment, uint64_t offset, std::byte* local, uint64_t bytes) {
  return engine.Read(segment, offset, {local, bytes});
}
// The segment lies on the buffer, which must stay where it is.
void Refill(Bytes& memory, uint32_t seed) {
  const Bytes pattern = Pattern(memory.size(), seed);
  std::copy(pattern.begin(), pattern.end(), memory.begin());
}
Bytes Part(const Bytes& all, size_t offset, size_t bytes) {
  return Bytes(all.begin() + static_cast<ptrdiff_t>(offset), all.begin() + static_cast<ptrdiff_t>(offset + bytes));
}

// ---- one copy --------------------------------------------------------------------------------------------------

TEST(DeviceTest, WithinTheProcessAWriteAndAReadAreOneCopyEachByTheProvider) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "one-copy"));
  const Device device("one-copy");
  DeviceBytes local(device, 3 * kMiB + 17);
  local.Set(Pattern(local.size(), 1));
  Bytes memory(local.size());
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  Copies before = CopiesOf(engine);
  ASSERT_TRUE(Write(engine, segment, 0, local.data(), local.size()).ok());
  EXPECT_EQ(memory, local.Look());
  EXPECT_EQ(CopiesOf(engine) - before, (Copies{.direct = 1}));
  Refill(memory, 2);
  before = CopiesOf(engine);
  ASSERT_TRUE(Read(engine, segment, 0, local.data(), local.size()).ok());
  EXPECT_EQ(memory, local.Look());
  EXPECT_EQ(CopiesOf(engine) - before, (Copies{.direct = 1}));
}

TEST(DeviceTest, OddSizesAtOddPlacesArriveWhole) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "odd"));
  const Device device("odd");
  DeviceBytes local(device, 70'000);
  Bytes memory(70'000);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  for (const size_t bytes : {1u, 2u, 3u, 63u, 65u, 4095u, 4097u, 65'537u}) {
    local.Set(Pattern(local.size(), static_cast<uint32_t>(bytes)));
    std::fill(memory.begin(), memory.end(), std::byte{0xee});
    Bytes expected = memory;
    const Bytes part = Part(local.Look(), 13, bytes);
    std::copy(part.begin(), part.end(), expected.begin() + 7);
    ASSERT_TRUE(Write(engine, segment, 7, local.data() + 13, bytes).ok());
    EXPECT_EQ(memory, expected) << bytes;
  }
}

TEST(DeviceTest, ASegmentOfDeviceMemoryIsWrittenAndReadByOneCopyToo) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "segment"));
  const Device device("segment");
  DeviceBytes memory(device, kMiB), other(device, kMiB);
  const slipway_span span = {memory.data(), memory.size()};
  ASSERT_TRUE(engine.Publish("device", {&span, 1}).ok());
  const Segment segment = *engine.Open("/device");
  Bytes host = Pattern(kMiB, 3);
  const Copies before = CopiesOf(engine);
  ASSERT_TRUE(engine.Write(segment, 0, host).ok());
  EXPECT_EQ(memory.Look(), host);
  ASSERT_TRUE(Read(engine, segment, 0, other.data(), other.size()).ok());
  EXPECT_EQ(other.Look(), host) << "from one device buffer to another";
  Bytes back(kMiB);
  ASSERT_TRUE(engine.Read(segment, 0, back).ok());
  EXPECT_EQ(back, host);
  EXPECT_EQ(CopiesOf(engine) - before, (Copies{.direct = 3}));
}

TEST(DeviceTest, WhatMemoryIsIsAskedOnceABufferAndNotAtAllOfDeclaredRegions) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "asked"));
  const Device device("asked");
  constexpr size_t kBlock = 512, kBlocks = 1000;
  DeviceBytes local(device, kBlock * kBlocks);
  local.Set(Pattern(local.size(), 4));
  Bytes memory(local.size()), declared(local.size());
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  const auto submit = [&](std::byte* from) {
    std::vector<Request> requests;
    for (size_t i = 0; i < kBlocks; ++i) {
      requests.push_back(WriteRequest(segment, i * kBlock, from + (kBlocks - 1 - i) * kBlock, kBlock));
    }
    Result<Batch> batch = engine.Submit(requests);
    ASSERT_TRUE(batch.ok()) << batch.status().message();
    EXPECT_TRUE(batch->Wait().ok());
  };
  uint64_t asked = device.counters().classified;
  submit(local.data());
  EXPECT_EQ(device.counters().classified - asked, 1u);
  EXPECT_EQ(Part(memory, 0, kBlock), Part(local.Look(), local.size() - kBlock, kBlock));
  ASSERT_TRUE(engine.Declare(declared.data(), declared.size()).ok());
  asked = device.counters().classified;
  submit(declared.data());
  EXPECT_EQ(device.counters().classified, asked);
  ASSERT_TRUE(engine.Undeclare(declared.data(), declared.size(), 1000).ok());
}

// ---- staged ----------------------------------------------------------------------------------------------------

class StagedDeviceTest : public testing::TestWithParam<const char*> {
 protected:
  Json Transports() const { return Use(GetParam()); }
};

TEST_P(StagedDeviceTest, MoreThanThePoolHoldsGoesThroughItBothWays) {
  const Engine target = Make(Configuration({Transports()}));
  Json json = WithDevice(Configuration({Transports()}), "staged");
  json["memory"]["staging"] = {{"bytes", "256KiB"}, {"chunk_bytes", "32KiB"}, {"share_per_batch_percent", 100}};
  const Engine engine = Make(json);
  const Device device("staged");
  DeviceBytes local(device, kMiB + 4099);
  local.Set(Pattern(local.size(), 5));
  Bytes memory(local.size());
  ASSERT_TRUE(Publish(target, "host", memory).ok());
  const Segment segment = Open(engine, target, "host");
  const Copies before = CopiesOf(engine);
  Status status = Write(engine, segment, 0, local.data(), local.size());
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(memory, local.Look());
  const Copies copies = CopiesOf(engine) - before;
  EXPECT_EQ(copies.host, 0u);
  EXPECT_EQ(copies.direct, 0u);
  EXPECT_GE(copies.staged, 33u) << "a chunk of 32 KiB at a time";
  const slipway_fake_memory_counters counters = device.counters();
  EXPECT_EQ(counters.pinned_pieces, counters.pieces) << "the pool is pinned for the device";
  EXPECT_LT(counters.submits, counters.pieces) << "many pieces are one submission";
  Refill(memory, 6);
  status = Read(engine, segment, 0, local.data(), local.size());
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(memory, local.Look());
  EXPECT_EQ(Described(engine)["counters"]["staging_now_bytes"], 0);
}

TEST_P(StagedDeviceTest, ABatchMixesMemoriesSizesAndOperations) {
  const Engine target = Make(Configuration({Transports()}));
  const Engine engine =
      Make(WithDevice(Configuration({Use("local-memcpy"), Transports()}), "mixed", {{"max_inflight", 3}}));
  const Device device("mixed");
  DeviceBytes local(device, 300'000);
  const Bytes before = Pattern(local.size(), 7);
  local.Set(before);
  Bytes host = Pattern(300'000, 8), here(300'000), there(300'000);
  const Bytes host_before = host;
  ASSERT_TRUE(Publish(engine, "here", here).ok());
  ASSERT_TRUE(Publish(target, "there", there).ok());
  const Segment near = *engine.Open("/here"), far = Open(engine, target, "there");
  std::vector<Request> requests;
  for (const auto& [segment, base] : {std::pair{&near, size_t{0}}, {&far, size_t{150'000}}}) {
    for (size_t at = 0, bytes = 1; at + bytes <= 100'000; at += bytes, bytes = bytes * 3 + 1) {
      requests.push_back(WriteRequest(*segment, at, local.data() + base + at, bytes));
      requests.push_back(WriteRequest(*segment, 100'000 + at, host.data() + base + at, bytes));
    }
  }
  Result<Batch> batch = engine.Submit(requests);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  const Status status = batch->Wait();
  ASSERT_TRUE(status.ok()) << status.message();
  for (const Request& r : requests) {
    const Bytes& to = r.segment == near.get() ? here : there;
    const bool from_device = r.local >= local.data() && r.local < local.data() + local.size();
    const Bytes& from = from_device ? before : host_before;
    const auto at = static_cast<size_t>(static_cast<std::byte*>(r.local) - (from_device ? local.data() : host.data()));
    EXPECT_EQ(Part(to, r.offset, r.length), Part(from, at, r.length)) << r.offset << " + " << r.length;
  }
}

TEST_P(StagedDeviceTest, WithoutAPoolItSaysWhatIsMissing) {
  const Engine target = Make(Configuration({Transports()}));
  Json json = WithDevice(Configuration({Transports()}), "poolless");
  json["memory"]["staging"]["bytes"] = 0;
  const Engine engine = Make(json);
  const Device device("poolless");
  DeviceBytes local(device, 4096);
  Bytes memory(4096);
  ASSERT_TRUE(Publish(target, "host", memory).ok());
  const Segment segment = Open(engine, target, "host");
  const Status status = Write(engine, segment, 0, local.data(), local.size());
  EXPECT_EQ(status.code(), SLIPWAY_E_STAGING_NOT_CONFIGURED) << status.message();
  EXPECT_THAT(status.message(), HasSubstr("memory.staging.bytes"));
}

INSTANTIATE_TEST_SUITE_P(Over, StagedDeviceTest, testing::Values("tcp", "fake"),
                         [](const auto& info) { return std::string(info.param); });

// ---- what goes wrong -------------------------------------------------------------------------------------------

TEST(DeviceTest, APoolThatMayNotBePinnedIsUsedAllTheSame) {
  const Engine target = Make(Configuration({Use("fake", {{"tag", "unpinned-target"}})}));
  const Engine engine = Make(WithDevice(Configuration({Use("fake")}), "unpinned", {{"pin_limit_bytes", 0}}));
  const Device device("unpinned");
  const uint64_t refused = device.counters().pins_refused;
  EXPECT_GE(refused, 1u);
  DeviceBytes local(device, 100'000);
  local.Set(Pattern(local.size(), 9));
  Bytes memory(local.size());
  ASSERT_TRUE(Publish(target, "host", memory).ok());
  const Segment segment = Open(engine, target, "host");
  ASSERT_TRUE(Write(engine, segment, 0, local.data(), local.size()).ok());
  EXPECT_EQ(memory, local.Look());
  EXPECT_EQ(device.counters().pinned_pieces, 0u);
  EXPECT_EQ(device.counters().pins_refused, refused) << "not asked again at every copy";
}

TEST(DeviceTest, ADeviceThatFailsTakesDownItsOwnRequestsAlone) {
  const Engine target = Make(Configuration({Use("tcp")}));
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "failing"));
  const Device device("failing");
  DeviceBytes local(device, kMiB);
  local.Set(Pattern(kMiB, 10));
  Bytes host = Pattern(kMiB, 11), here(kMiB), there(kMiB);
  ASSERT_TRUE(Publish(engine, "here", here).ok());
  ASSERT_TRUE(Publish(target, "there", there).ok());
  const Segment near = *engine.Open("/here"), far = Open(engine, target, "there");
  device.control().set_copy_error(device.get(), SLIPWAY_E_DEVICE, 0);
  for (const Segment* segment : {&near, &far}) {
    const Status status = Write(engine, *segment, 0, local.data(), kMiB);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(engine.Write(*segment, 0, host).ok()) << "host memory is none of its business";
  }
  EXPECT_EQ(here, host);
  EXPECT_EQ(there, host);
  device.control().set_copy_error(device.get(), SLIPWAY_OK, 0);
  for (const Segment* segment : {&near, &far}) {
    const Status status = Write(engine, *segment, 0, local.data(), kMiB);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  EXPECT_EQ(here, local.Look());
  EXPECT_EQ(there, local.Look());
  const Json described = Described(engine);
  for (const Json& t : described["transports"]) EXPECT_EQ(t["state"], "ready") << t["name"];
}

TEST(DeviceTest, MemoryBeyondTheBufferIsRefusedAndNothingElseSuffers) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "beyond"));
  const Device device("beyond");
  DeviceBytes local(device, 10'000);
  Bytes memory(20'000);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  const Status status = Write(engine, segment, 0, local.data() + 5'000, 5'001);
  EXPECT_EQ(status.code(), SLIPWAY_E_RANGE) << status.message();
  EXPECT_EQ(memory, Bytes(20'000));
  EXPECT_TRUE(Write(engine, segment, 0, local.data() + 5'000, 5'000).ok());
}

TEST(DeviceTest, TwoKindsThatNobodyKnowsBothOfAreRefused) {
  Json json = WithDevice(Configuration({Use("local-memcpy")}), "kind-a");
  const Engine engine = Make(WithDevice(json, "kind-b", Json::object(), "fake-memory-b"));
  const Device a("kind-a"), b("kind-b", "fake-memory-b");
  DeviceBytes from(a, 4096), to(b, 4096);
  const slipway_span span = {to.data(), to.size()};
  ASSERT_TRUE(engine.Publish("b", {&span, 1}).ok());
  const Segment segment = *engine.Open("/b");
  EXPECT_EQ(Write(engine, segment, 0, from.data(), from.size()).code(), SLIPWAY_E_UNSUPPORTED);
  Bytes host = Pattern(4096, 12);
  EXPECT_TRUE(engine.Write(segment, 0, host).ok());
  EXPECT_EQ(to.Look(), host);
}

TEST(DeviceTest, AnEngineWithoutTheProviderIsToldThatItNeedsOne) {
  const Engine owner = Make(WithDevice(Configuration({Use("local-memcpy")}), "owner"));
  const Engine plain = Make(Configuration({Use("local-memcpy")}));
  const Device device("owner");
  DeviceBytes memory(device, 4096);
  Bytes other(4096), local = Pattern(4096, 21);
  const slipway_span span = {memory.data(), memory.size()};
  ASSERT_TRUE(owner.Publish("device", {&span, 1}).ok());
  ASSERT_TRUE(Publish(owner, "host", other).ok());
  const Segment of_device = Open(plain, owner, "device"), of_host = Open(plain, owner, "host");
  const Status refused = plain.Write(of_device, 0, local);
  EXPECT_EQ(refused.code(), SLIPWAY_E_UNSUPPORTED);
  EXPECT_THAT(refused.message(), HasSubstr("memory provider"));
  EXPECT_TRUE(plain.Write(of_host, 0, local).ok());
  EXPECT_EQ(other, local);
}

TEST(DeviceTest, TwoProvidersOfOneKindAreAConflict) {
  Json json = WithDevice(Configuration({Use("local-memcpy")}), "first");
  const Result<Engine> refused = TryMake(WithDevice(json, "second"));
  ASSERT_FALSE(refused.ok());
}

// ---- order and ends --------------------------------------------------------------------------------------------

TEST(DeviceTest, CopiesComeAfterTheCallersStream) {
  const Engine target = Make(Configuration({Use("tcp")}));
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "stream"));
  const Device device("stream");
  void* const stream = device.control().stream(device.get());
  DeviceBytes local(device, kMiB);
  Bytes here(kMiB), there(kMiB);
  ASSERT_TRUE(Publish(engine, "here", here).ok());
  ASSERT_TRUE(Publish(target, "there", there).ok());
  const Segment near = *engine.Open("/here"), far = Open(engine, target, "there");
  local.Set(Pattern(kMiB, 13));
  device.control().set_busy(device.get(), stream, 1);
  const Request requests[] = {WriteRequest(near, 0, local.data(), kMiB), WriteRequest(far, 0, local.data(), kMiB)};
  const SubmitOptions options{.stream_kind = uint64_t{1} << 32, .stream = stream};
  Result<Batch> batch = engine.Submit(requests, options);
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  EXPECT_EQ(batch->Poll().code(), SLIPWAY_IN_PROGRESS);
  EXPECT_EQ(device.counters().pieces, 0u);
  local.Set(Pattern(kMiB, 14));  // what the stream was to write
  device.control().set_busy(device.get(), stream, 0);
  ASSERT_TRUE(batch->Wait().ok());
  EXPECT_EQ(here, Pattern(kMiB, 14));
  EXPECT_EQ(there, Pattern(kMiB, 14));
}

TEST(DeviceTest, AStreamThatIsNoneIsRefusedAndNothingIsSubmitted) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "no-stream"));
  const Device device("no-stream");
  DeviceBytes local(device, 4096);
  Bytes memory(4096);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  const Request request = WriteRequest(segment, 0, local.data(), 4096);
  int not_a_stream = 0;
  for (const uint64_t kind : {uint64_t{1} << 32, uint64_t{SLIPWAY_MEM_ROCM}}) {
    const Result<Batch> refused = engine.Submit({&request, 1}, {.stream_kind = kind, .stream = &not_a_stream});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.status().code(), SLIPWAY_E_INVALID) << refused.status().message();
  }
  EXPECT_EQ(device.counters().pieces, 0u);
  const Engine plain = Make(Configuration({Use("local-memcpy")}));
  ASSERT_TRUE(Publish(plain, "host", memory).ok());
  const Segment other = *plain.Open("/host");
  const Request host = WriteRequest(other, 0, memory.data(), 1);
  EXPECT_EQ(plain.Submit({&host, 1}, {.stream_kind = SLIPWAY_MEM_CUDA}).status().code(), SLIPWAY_E_INVALID);
}

TEST(DeviceTest, CanceledCopiesAreWaitedForWhereverTheyAre) {
  const Engine target = Make(Configuration({Use("tcp")}));
  const Engine engine =
      Make(WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "canceled", {{"max_inflight", 1}}));
  const Device device("canceled");
  DeviceBytes local(device, kMiB);
  Bytes here(kMiB), there(kMiB);
  ASSERT_TRUE(Publish(engine, "here", here).ok());
  ASSERT_TRUE(Publish(target, "there", there).ok());
  const Segment near = *engine.Open("/here"), far = Open(engine, target, "there");
  ASSERT_TRUE(Write(engine, far, 0, local.data(), 1).ok());  // so that it is connected
  device.control().set_hold(device.get(), 1);
  for (const Segment* segment : {&near, &far}) {
    const Request requests[] = {WriteRequest(*segment, 0, local.data(), 1000),
                                WriteRequest(*segment, 1000, local.data(), 1000)};
    Result<Batch> batch = engine.Submit(requests);
    ASSERT_TRUE(batch.ok());
    ASSERT_TRUE(batch->Cancel().ok());
    EXPECT_EQ(batch->Poll().code(), SLIPWAY_IN_PROGRESS) << "the device may still write";
    device.control().set_hold(device.get(), 0);
    EXPECT_EQ(batch->Wait().code(), SLIPWAY_E_CANCELED);
    device.control().set_hold(device.get(), 1);
  }
  device.control().set_hold(device.get(), 0);
  EXPECT_TRUE(Write(engine, near, 0, local.data(), kMiB).ok());
  EXPECT_TRUE(Write(engine, far, 0, local.data(), kMiB).ok());
}

TEST(DeviceTest, SeveralThreadsCopyAtOnce) {
  const Engine target = Make(Configuration({Use("tcp")}));
  const Engine engine =
      Make(WithDevice(Configuration({Use("local-memcpy"), Use("tcp")}), "threads", {{"max_inflight", 8}}));
  const Device device("threads");
  constexpr size_t kThreads = 4, kEach = 64 << 10;
  Bytes here(kThreads * kEach), there(kThreads * kEach);
  ASSERT_TRUE(Publish(engine, "here", here).ok());
  ASSERT_TRUE(Publish(target, "there", there).ok());
  const Segment near = *engine.Open("/here"), far = Open(engine, target, "there");
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      DeviceBytes local(device, kEach), back(device, kEach);
      for (uint32_t round = 0; round < 4; ++round) {
        local.Set(Pattern(kEach, static_cast<uint32_t>(100 * t + round)));
        const Segment& segment = round % 2 == 0 ? near : far;
        EXPECT_TRUE(Write(engine, segment, t * kEach, local.data(), kEach).ok());
        EXPECT_TRUE(Read(engine, segment, t * kEach, back.data(), kEach).ok());
        EXPECT_EQ(local.Look(), back.Look());
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace slipway

// Threads that submit at once: each has a dispatcher of its own, and none sees anything of that.
#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/engine/fixture.h"

namespace slipway {
namespace {

constexpr int kThreads = 6;

// Runs `body` on as many threads at once, each with its number.
template <typename Body>
void OnThreads(Body body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      ready.fetch_add(1);
      while (ready.load() < kThreads) std::this_thread::yield();
      body(t);
    });
  }
  for (std::thread& t : threads) t.join();
}

Json WithDispatchers(Json json, int count) {
  json["transfer"]["dispatchers"] = count;
  return json;
}

uint64_t Links(const Engine& engine) { return Described(engine)["links"].size(); }

class ThreadsTest : public testing::TestWithParam<const char*> {};

TEST_P(ThreadsTest, EachThreadsBytesArriveAndAllAreCounted) {
  const Engine owner = Make(Configuration({Use(GetParam())}));
  Json json = WithDispatchers(Configuration({Use(GetParam())}), 4);
  // Less than one request each of what the threads have in flight, where it is needed at all.
  json["memory"]["staging"] = {{"bytes", "128KiB"}, {"chunk_bytes", "16KiB"}, {"share_per_batch_percent", 60}};
  const Engine engine = Make(json);
  constexpr uint64_t kEach = 300'000;
  Bytes memory(kEach * kThreads);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine, owner, "box");
  constexpr int kRounds = 5;
  OnThreads([&](int t) {
    const uint64_t base = static_cast<uint64_t>(t) * kEach;
    for (int round = 0; round < kRounds; ++round) {
      const Bytes local = Pattern(kEach, static_cast<uint32_t>(t * 100 + round));
      std::vector<Request> requests;
      for (uint64_t at = 0, bytes = 1; at < kEach; at += bytes, bytes = bytes * 2 + 1) {
        bytes = std::min(bytes, kEach - at);
        requests.push_back(WriteRequest(segment, base + at, local.data() + at, bytes));
      }
      Result<Batch> batch = engine.Submit(requests);
      ASSERT_TRUE(batch.ok()) << batch.status().message();
      const Status status = batch->Wait();
      ASSERT_TRUE(status.ok()) << status.message();
      Bytes back(kEach);
      ASSERT_TRUE(engine.Read(segment, base, back).ok());
      ASSERT_EQ(back, local) << "thread " << t << ", round " << round;
    }
  });
  const Json counters = Described(engine)["counters"];
  EXPECT_EQ(counters["bytes_written"], kEach * kThreads * kRounds);
  EXPECT_EQ(counters["bytes_read"], kEach * kThreads * kRounds);
  EXPECT_EQ(counters["requests_inflight"], 0);
  EXPECT_EQ(counters["slices_inflight"], 0);
  EXPECT_EQ(counters["staging_now_bytes"], 0);
  EXPECT_EQ(Links(engine), 4u);
}

INSTANTIATE_TEST_SUITE_P(Over, ThreadsTest, testing::Values("local-memcpy", "tcp", "fake"), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(ThreadsTest, OneThreadUsesOneDispatcherAndOneConnectionToAPeer) {
  const Engine owner = Make(Configuration({Use("tcp")})),
               engine = Make(WithDispatchers(Configuration({Use("tcp")}), 4));
  Bytes memory(4096), local = Pattern(4096, 1);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine, owner, "box");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(engine.Write(segment, 0, local).ok());
  EXPECT_EQ(Links(engine), 1u);
}

TEST(ThreadsTest, WhereATransportHasNoMoreChannelsThreadsShare) {
  const Engine owner = Make(Configuration({Use("fake", {{"tag", "few-target"}})}));
  Json fake = Use("fake", {{"tag", "few"}, {"max_channels", 2}});
  const Engine engine = Make(WithDispatchers(Configuration({fake}), 8));
  Bytes memory(kThreads * 1000);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine, owner, "box");
  OnThreads([&](int t) {
    const Bytes local = Pattern(1000, static_cast<uint32_t>(t));
    for (int i = 0; i < 20; ++i) {
      const Status status = engine.Write(segment, static_cast<uint64_t>(t) * 1000, local);
      ASSERT_TRUE(status.ok()) << status.message();
    }
  });
  for (int t = 0; t < kThreads; ++t) {
    const Bytes expected = Pattern(1000, static_cast<uint32_t>(t));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory.begin() + t * 1000));
  }
}

TEST(ThreadsTest, UndeclaringWaitsForWhatAnyThreadHasInFlight) {
  const Engine owner = Make(Configuration({Use("fake", {{"tag", "wait-target"}})}));
  const Engine engine = Make(WithDispatchers(Configuration({Use("fake", {{"tag", "wait"}})}), 4));
  Bytes memory(4096), local(4096);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine, owner, "box");
  ASSERT_TRUE(engine.Declare(local.data(), local.size()).ok());
  ASSERT_TRUE(engine.Write(segment, 0, local).ok());  // this thread's dispatcher is the first
  FakeControl().set_hold(FakeControl().find("wait"), 1);
  Batch batch;
  std::thread other([&] {
    const Request request = WriteRequest(segment, 0, local.data(), local.size());
    batch = std::move(*engine.Submit({&request, 1}));
  });
  other.join();
  EXPECT_EQ(engine.Undeclare(local.data(), local.size(), 20).code(), SLIPWAY_E_REGION_BUSY);
  FakeControl().set_hold(FakeControl().find("wait"), 0);
  EXPECT_TRUE(batch.Wait().ok()) << "by a thread that did not submit it";
  EXPECT_TRUE(engine.Undeclare(local.data(), local.size(), 1000).ok());
}

TEST(ThreadsTest, TheLimitOfRequestsInFlightIsTheEngines) {
  const Engine owner = Make(Configuration({Use("fake", {{"tag", "limit-target"}})}));
  Json json = WithDispatchers(Configuration({Use("fake", {{"tag", "limit"}})}), 4);
  json["transfer"]["max_inflight_requests"] = 2;
  json["transfer"]["max_batch_requests"] = 2;
  const Engine engine = Make(json);
  Bytes memory(4096), local(4096);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  const Segment segment = Open(engine, owner, "box");
  ASSERT_TRUE(engine.Write(segment, 0, local).ok());
  FakeControl().set_hold(FakeControl().find("limit"), 1);
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  std::vector<Batch> batches(2);
  for (Batch& batch : batches) std::thread([&] { batch = std::move(*engine.Submit({&request, 1})); }).join();
  std::thread([&] { EXPECT_EQ(engine.Submit({&request, 1}).status().code(), SLIPWAY_E_AGAIN); }).join();
  FakeControl().set_hold(FakeControl().find("limit"), 0);
  for (const Batch& batch : batches) EXPECT_TRUE(batch.Wait().ok());
}

TEST(ThreadsTest, DestroyingTheEngineEndsWhatAllThreadsHaveInFlight) {
  const Engine owner = Make(Configuration({Use("tcp")}));
  Bytes memory(kMiB);
  ASSERT_TRUE(Publish(owner, "box", memory).ok());
  for (int round = 0; round < 5; ++round) {
    Engine engine = Make(WithDispatchers(Configuration({Use("tcp")}), 3));
    Segment segment = Open(engine, owner, "box");
    Bytes local(kMiB);
    std::vector<Batch> batches(kThreads);
    OnThreads([&](int t) {
      const Request request = WriteRequest(segment, 0, local.data(), local.size());
      batches[static_cast<size_t>(t)] = std::move(*engine.Submit({&request, 1}));
    });
    engine = Engine();
    for (const Batch& batch : batches) {
      const Status status = batch.Poll();
      EXPECT_NE(status.code(), SLIPWAY_IN_PROGRESS);
    }
  }
}

}  // namespace
}  // namespace slipway

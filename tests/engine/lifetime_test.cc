// What outlives what, and that nothing is left.
#include <filesystem>
#include <thread>

#include "tests/engine/fixture.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

size_t EntriesOf(const char* folder) {
  const std::filesystem::directory_iterator begin(folder), end;
  return static_cast<size_t>(std::distance(begin, end));
}

std::vector<Json> AllTransports() {
  std::vector<Json> all = {Use("fake"), Use("fake-b")};
  for (const char* name : {"local-memcpy", "tcp"}) {
    if (Built(name)) all.push_back(Use(name));
  }
  return all;
}

TEST(LifetimeTest, FiftyEnginesLeaveNoDescriptorAndNoThread) {
  const Json json = Configuration(AllTransports());
  size_t descriptors = 0, threads = 0;
  for (int i = 0; i < 50; ++i) {
    {
      const Engine engine = Make(json);
      Bytes memory(4096), local(4096);
      ASSERT_TRUE(Publish(engine, "s", memory).ok());
      const Segment segment = Open(engine, engine, "s");
      ASSERT_TRUE(engine.Write(segment, 0, local).ok());
    }
    if (i == 1) {
      descriptors = EntriesOf("/proc/self/fd");
      threads = EntriesOf("/proc/self/task");
    }
  }
  EXPECT_LE(EntriesOf("/proc/self/fd"), descriptors);
  EXPECT_TRUE(test::WaitUntil([&] { return EntriesOf("/proc/self/task") <= threads; }))
      << EntriesOf("/proc/self/task") << " threads, " << threads << " before";
}

TEST(LifetimeTest, AnEngineThatCannotStartLeavesNothing) {
  Json json = Configuration(AllTransports());
  Json bad = Use("nowhere");
  bad["required"] = true;
  json["transports"].push_back(bad);
  (void)TryMake(json);
  const size_t descriptors = EntriesOf("/proc/self/fd"), threads = EntriesOf("/proc/self/task");
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(TryMake(json).ok());
  EXPECT_LE(EntriesOf("/proc/self/fd"), descriptors);
  EXPECT_TRUE(test::WaitUntil([&] { return EntriesOf("/proc/self/task") <= threads; }));
}

TEST(LifetimeTest, SegmentsMayBeClosedAfterTheirEngine) {
  Engine engine = Make(Configuration({Use("fake")}));
  Bytes memory(4096);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  Segment used = *engine.Open("/s"), unused = *engine.Open("/s");
  Bytes local(100);
  ASSERT_TRUE(engine.Write(used, 0, local).ok());
  engine = Engine();
  EXPECT_EQ(used.length(), 4096u);
  used = Segment();
  unused = Segment();
}

TEST(LifetimeTest, BatchesMayBeReleasedAfterTheirEngine) {
  Engine engine = Make(Configuration({Use("fake", {{"tag", "outlived"}})}));
  Bytes memory(4096), local(4096);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  Batch done = std::move(*engine.Submit({&request, 1}));
  ASSERT_TRUE(done.Wait().ok());
  FakeControl().set_hold(FakeControl().find("outlived"), 1);
  Batch cut_short = std::move(*engine.Submit({&request, 1}));
  engine = Engine();
  EXPECT_TRUE(done.Poll().ok());
  EXPECT_EQ(done.result(0)->transport, "fake");
  EXPECT_EQ(cut_short.Wait().code(), SLIPWAY_E_CLOSED);
  EXPECT_EQ(cut_short.result(0)->status, SLIPWAY_E_CLOSED);
  EXPECT_NE(cut_short.message(0), "");
  EXPECT_GE(cut_short.fd(), 0);
  EXPECT_TRUE(cut_short.Cancel().ok());
}

TEST(LifetimeTest, WaitersAreWokenWhenTheirEngineGoes) {
  Engine engine = Make(Configuration({Use("fake", {{"tag", "waiter"}, {"hold", true}})}));
  Bytes memory(4096), local(4096);
  ASSERT_TRUE(Publish(engine, "s", memory).ok());
  const Segment segment = *engine.Open("/s");
  const Request request = WriteRequest(segment, 0, local.data(), local.size());
  Batch batch = std::move(*engine.Submit({&request, 1}));
  std::thread waiter([&] { EXPECT_EQ(batch.Wait().code(), SLIPWAY_E_CLOSED); });
  engine = Engine();
  waiter.join();
}

TEST(LifetimeTest, APeerThatGoesIsAnErrorAndNotTheEnd) {
  const std::vector<Json> transports = AllTransports();
  for (const Json& use : transports) {
    SCOPED_TRACE(use["name"].get<std::string>());
    Json json = Configuration({use});
    json["transfer"]["default_deadline_ms"] = 20'000;
    const Engine near = Make(json);
    Bytes memory(kMiB), local(kMiB);
    {
      const Engine far = Make(json);
      ASSERT_TRUE(Publish(far, "s", memory).ok());
      const Segment segment = Open(near, far, "s");
      ASSERT_TRUE(near.Write(segment, 0, local).ok());
    }
    const Engine far = Make(json);
    ASSERT_TRUE(Publish(far, "s", memory).ok());
    const Segment again = Open(near, far, "s");
    const Status written = near.Write(again, 0, local);
    EXPECT_TRUE(written.ok()) << written.message();
  }
}

TEST(LifetimeTest, RequestsToAPeerThatWentFailInTime) {
  for (const Json& use : AllTransports()) {
    SCOPED_TRACE(use["name"].get<std::string>());
    Json json = Configuration({use});
    json["transfer"]["default_deadline_ms"] = 20'000;
    const Engine near = Make(json);
    Bytes memory(kMiB), local(kMiB);
    Segment segment;
    {
      const Engine far = Make(json);
      ASSERT_TRUE(Publish(far, "s", memory).ok());
      segment = Open(near, far, "s");
      ASSERT_TRUE(near.Write(segment, 0, local).ok());
    }
    const Status written = near.Write(segment, 0, local);
    EXPECT_FALSE(written.ok());
    EXPECT_NE(written.code(), SLIPWAY_E_STUCK);
    EXPECT_NE(written.code(), SLIPWAY_E_DEADLINE) << "somebody could have known before the deadline";
  }
}

}  // namespace
}  // namespace slipway

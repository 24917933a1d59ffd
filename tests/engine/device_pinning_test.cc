// What an engine pins of the host's memory for a device that copies it: segments, all or what is hot of them.
#include <gmock/gmock.h>

#include "tests/engine/device_fixture.h"
#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

constexpr size_t kBlock = 64 << 10;

Status Write(const Engine& engine, const Segment& segment, uint64_t offset, const DeviceBytes& local, uint64_t bytes) {
  return engine.Write(segment, offset, {local.data(), bytes});
}
uint64_t PinnedBytes(const Engine& engine) { return Described(engine)["memory"]["pinned_bytes"].get<uint64_t>(); }

TEST(DevicePinningTest, ASegmentIsPinnedForTheDeviceWhileItIsPublished) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  Json json = WithDevice(Configuration({Use("local-memcpy")}), "pinned");
  json["memory"]["pin_policy"] = "whole-region";
  const Engine engine = Make(json);
  const Device device("pinned");
  EXPECT_EQ(device.counters().pinned_bytes_now, 0u) << "no pool is needed";
  DeviceBytes local(device, kMiB);
  Bytes memory(kMiB);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  EXPECT_GE(device.counters().pinned_bytes_now, kMiB);
  EXPECT_EQ(PinnedBytes(engine), device.counters().pinned_bytes_now);
  {
    const Segment segment = *engine.Open("/host");
    ASSERT_TRUE(Write(engine, segment, 0, local, kMiB).ok());
    EXPECT_EQ(device.counters().pinned_pieces, 1u);
  }
  ASSERT_TRUE(engine.Withdraw("host").ok());
  EXPECT_EQ(device.counters().pinned_bytes_now, 0u);
  EXPECT_EQ(PinnedBytes(engine), 0u);
}

TEST(DevicePinningTest, DeclaredMemoryIsPinnedForTheDeviceWhileItIsDeclared) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  Json json = WithDevice(Configuration({Use("local-memcpy")}), "declared");
  json["memory"]["pin_policy"] = "whole-region";
  const Engine engine = Make(json);
  const Device device("declared");
  DeviceBytes memory(device, kMiB);
  Bytes local = Pattern(kMiB, 23), plain = Pattern(kMiB, 24);
  const slipway_span span = {memory.data(), memory.size()};
  ASSERT_TRUE(engine.Publish("device", {&span, 1}).ok());
  ASSERT_TRUE(engine.Declare(memory.data(), memory.size()).ok());
  EXPECT_EQ(device.counters().pins, 0u) << "a device's own memory is not the host's";
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(engine.Declare(local.data(), local.size()).ok());
  EXPECT_EQ(device.counters().pins, 1u);
  EXPECT_EQ(PinnedBytes(engine), device.counters().pinned_bytes_now);
  {
    const Segment segment = *engine.Open("/device");
    ASSERT_TRUE(engine.Write(segment, 0, plain).ok());
    EXPECT_EQ(device.counters().pinned_pieces, 0u);
    ASSERT_TRUE(engine.Write(segment, 0, local).ok());
    EXPECT_EQ(device.counters().pinned_pieces, 1u);
  }
  EXPECT_EQ(memory.Look(), local);
  ASSERT_TRUE(engine.Undeclare(local.data(), local.size(), 1000).ok());
  EXPECT_GE(device.counters().pinned_bytes_now, kMiB) << "declared twice";
  ASSERT_TRUE(engine.Undeclare(local.data(), local.size(), 1000).ok());
  EXPECT_EQ(device.counters().pinned_bytes_now, 0u);
  EXPECT_EQ(PinnedBytes(engine), 0u);
  ASSERT_TRUE(engine.Withdraw("device").ok());
  ASSERT_TRUE(engine.Undeclare(memory.data(), memory.size(), 1000).ok());
}

TEST(DevicePinningTest, NothingIsPinnedWhereThePolicyForbidsIt) {
  Json json = WithDevice(Configuration({Use("local-memcpy")}), "off");
  json["memory"]["pin_policy"] = "off";
  const Engine engine = Make(json);
  const Device device("off");
  DeviceBytes local(device, kMiB);
  local.Set(Pattern(kMiB, 20));
  Bytes memory(kMiB);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Write(engine, segment, 0, local, kMiB).ok());
  EXPECT_EQ(memory, local.Look());
  EXPECT_EQ(device.counters().pins, 0u);
  EXPECT_EQ(PinnedBytes(engine), 0u);
}

TEST(DevicePinningTest, WhatIsHotOfASegmentIsPinnedUntilItIsWithdrawn) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "hot"));
  const Device device("hot");
  DeviceBytes local(device, kMiB);
  local.Set(Pattern(kMiB, 21));
  Bytes memory(kMiB);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  EXPECT_EQ(device.counters().pinned_bytes_now, 0u) << "publishing pins nothing";
  {
    const Segment segment = *engine.Open("/host");
    const auto directly = [&] {
      const uint64_t before = device.counters().pinned_pieces;
      EXPECT_TRUE(Write(engine, segment, 0, local, kMiB).ok());
      return device.counters().pinned_pieces > before;
    };
    EXPECT_TRUE(test::WaitUntil(directly)) << "never pinned, however often it is written";
  }
  EXPECT_EQ(memory, local.Look());
  EXPECT_GE(PinnedBytes(engine), kMiB);
  EXPECT_EQ(Described(engine)["memory"]["pin_cache"][0]["name"], "fake-memory");
  ASSERT_TRUE(engine.Withdraw("host").ok());
  EXPECT_EQ(device.counters().pinned_bytes_now, 0u) << "its memory may be freed now";
  EXPECT_EQ(PinnedBytes(engine), 0u);
}

TEST(DevicePinningTest, TheBudgetHoldsAfterEveryWriteOfAWorkingSetOfEightTimesAsMuch) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  constexpr uint64_t kBudget = 512 << 10;
  Json json = WithDevice(Configuration({Use("local-memcpy")}), "budget");
  json["memory"]["budget_bytes"] = kBudget;
  json["memory"]["staging"] = {{"bytes", "128KiB"}, {"chunk_bytes", "64KiB"}};
  json["memory"]["cache"] = {{"chunk_bytes", "64KiB"}, {"window_ms", 10'000}};
  const Engine engine = Make(json);
  const Device device("budget");
  DeviceBytes local(device, 2 * kBlock);
  local.Set(Pattern(local.size(), 22));
  Bytes memory(8 * kBudget);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  constexpr size_t kBlocks = 8 * kBudget / kBlock;
  for (size_t step = 0; step < 600; ++step) {
    const size_t block = (step % 3 == 0 ? step * 7 : step % 5) % (kBlocks - 1);
    ASSERT_TRUE(Write(engine, segment, block * kBlock + 100, local, kBlock + step).ok());
    ASSERT_LE(PinnedBytes(engine), kBudget) << step;
  }
  EXPECT_LE(device.counters().pinned_bytes_peak, kBudget);
  EXPECT_LE(Described(engine)["counters"]["pin_peak_bytes"].get<uint64_t>(), kBudget);
  EXPECT_TRUE(std::equal(memory.begin() + 100, memory.begin() + 100 + kBlock, local.Look().begin()));
}

TEST(DevicePinningTest, AProviderThatRefusesIsDoneWithout) {
  const Engine engine = Make(WithDevice(Configuration({Use("local-memcpy")}), "refused", {{"pin_limit_bytes", 0}}));
  const Device device("refused");
  DeviceBytes local(device, kMiB);
  Bytes memory(kMiB);
  ASSERT_TRUE(Publish(engine, "host", memory).ok());
  const Segment segment = *engine.Open("/host");
  for (uint32_t i = 0; i < 8; ++i) {
    local.Set(Pattern(kMiB, i));
    ASSERT_TRUE(Write(engine, segment, 0, local, kMiB).ok());
    EXPECT_EQ(memory, local.Look());
  }
  EXPECT_EQ(device.counters().pins, 0u);
}

}  // namespace
}  // namespace slipway

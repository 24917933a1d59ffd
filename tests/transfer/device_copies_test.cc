// Staging of memory that only its provider can touch: how copies are put together, and what happens when they do not
// end.
#include <algorithm>
#include <cstring>

#include "tests/transfer/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

constexpr uint64_t kDeviceKind = uint64_t{1} << 32;
constexpr uint64_t kSecond = 1000 * kMs;

class DeviceCopiesTest : public TransferTest {
 protected:
  void StartWithDevice(const std::string& options = "{}") {
    Configuration setup;
    setup.memory_provider = options;
    setup.transfer.completion_grace_ms = 1000;
    Start(setup);
  }
  // Of the device, with what a pattern of that seed has.
  char* Alloc(uint64_t bytes, uint32_t seed) {
    auto* const at = static_cast<char*>(device_control().alloc(device(), bytes));
    const std::vector<char> pattern = Pattern(bytes, seed);
    std::memcpy(View(at), pattern.data(), bytes);
    return at;
  }
  char* View(const char* device_memory) { return static_cast<char*>(device_control().view(device(), device_memory)); }
  static RequestSpec OfDevice(RequestSpec request) {
    request.local_kind = kDeviceKind;
    return request;
  }
};

TEST_F(DeviceCopiesTest, PiecesThatAreThereTogetherAreOneSubmission) {
  StartWithDevice();
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  char* const local = Alloc(64 * kKiB, 1);
  std::vector<RequestSpec> writes;
  for (uint32_t i = 0; i < 64; ++i) writes.push_back(OfDevice(Write(local + 1000 * i, 100, segment, 256 * i)));
  // The link is made first, so that all of them wait for it.
  ASSERT_EQ(Run({Write(target.memory.data(), 1, segment)}), SLIPWAY_OK);
  ASSERT_EQ(Run(writes), SLIPWAY_OK);
  EXPECT_EQ(DeviceCounters().pieces, 64u);
  EXPECT_EQ(DeviceCounters().submits, 1u);
  EXPECT_EQ(Count(Counter::kStagedProviderCopies), 64u);
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(std::memcmp(target.memory.data() + 256 * i, View(local) + 1000 * i, 100), 0) << i;
  }
}

TEST_F(DeviceCopiesTest, AProviderWithRoomForOnePieceIsEnough) {
  StartWithDevice(R"({"max_inflight": 1})");
  Target& target = AddTarget(100 * kKiB);
  RemoteSegment* segment = target.Open({100 * kKiB});
  char* const local = Alloc(100 * kKiB, 2);
  ASSERT_EQ(Run({OfDevice(Write(local, 100 * kKiB, segment))}), SLIPWAY_OK);
  EXPECT_EQ(std::memcmp(target.memory.data(), View(local), 100 * kKiB), 0);
  std::memset(View(local), 0, 100 * kKiB);
  ASSERT_EQ(Run({OfDevice(Read(local, 100 * kKiB, segment))}), SLIPWAY_OK);
  EXPECT_EQ(std::memcmp(target.memory.data(), View(local), 100 * kKiB), 0);
}

TEST_F(DeviceCopiesTest, WhatTheDeviceCopiesIsOnTheWireBeforeAllOfItIsCopied) {
  StartWithDevice();
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  char* const local = Alloc(64 * kKiB, 3);
  ASSERT_EQ(Run({Write(target.memory.data(), 1, segment)}), SLIPWAY_OK);
  void* const stream = device_control().stream(device());
  control().set_hold(instance(), 1);
  BatchState* first = Submit({OfDevice(Write(local, 32 * kKiB, segment))});
  device_control().set_busy(device(), stream, 1);
  BatchSpec after;
  after.stream_kind = kDeviceKind;
  after.stream = stream;
  BatchState* second = Submit({OfDevice(Write(local + 32 * kKiB, 32 * kKiB, segment, 32 * kKiB))}, after);
  Settle();
  EXPECT_EQ(Fake().inflight_now, 2u) << "two chunks fly while the device has two more";
  EXPECT_EQ(DeviceCounters().pieces, 2u);
  device_control().set_busy(device(), stream, 0);
  control().set_hold(instance(), 0);
  EXPECT_EQ(Drive(first), SLIPWAY_OK);
  EXPECT_EQ(Drive(second), SLIPWAY_OK);
  Release(first);
  Release(second);
  EXPECT_EQ(std::memcmp(target.memory.data(), View(local), 64 * kKiB), 0);
}

TEST_F(DeviceCopiesTest, ACopyThatFailsFailsItsRequestWithoutAnotherTry) {
  StartWithDevice();
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  char* const local = Alloc(48 * kKiB, 4);
  device_control().set_copy_error(device(), SLIPWAY_E_DEVICE, 1);
  BatchState* batch = Submit({OfDevice(Write(local, 48 * kKiB, segment))});
  EXPECT_EQ(Drive(batch), SLIPWAY_E_DEVICE);
  EXPECT_THAT(MessageOf(batch), HasSubstr("memory provider"));
  EXPECT_EQ(batch->requests[0].retries, 0u);
  Release(batch);
  EXPECT_GE(Count(Counter::kProviderCopiesFailed), 1u);
  EXPECT_FALSE(transports_[0]->failed());
  device_control().set_copy_error(device(), SLIPWAY_OK, 0);
  EXPECT_EQ(Run({OfDevice(Write(local, 48 * kKiB, segment))}), SLIPWAY_OK);
}

TEST_F(DeviceCopiesTest, ADeadlineWaitsForTheDeviceAndNoLongerThanItsBound) {
  StartWithDevice();
  Target& target = AddTarget(64 * kKiB);
  RemoteSegment* segment = target.Open({64 * kKiB});
  char* const local = Alloc(16 * kKiB, 5);
  ASSERT_EQ(Run({Write(target.memory.data(), 1, segment)}), SLIPWAY_OK);
  device_control().set_hold(device(), 1);
  BatchSpec spec;
  spec.timeout_ns = kSecond;
  BatchState* soon = Submit({OfDevice(Write(local, 1000, segment))}, spec);
  Pass(kSecond);
  Settle();
  EXPECT_FALSE(Done(soon)) << "the device may still write";
  device_control().set_hold(device(), 0);
  EXPECT_EQ(Drive(soon), SLIPWAY_E_DEADLINE);
  Release(soon);
  EXPECT_EQ(Count(Counter::kStagingNowBytes), 0u);

  device_control().set_hold(device(), 1);
  BatchState* never = Submit({OfDevice(Read(local, 1000, segment))}, spec);
  Settle();
  Pass(kSecond);
  Settle();
  EXPECT_FALSE(Done(never));
  Pass(3 * kSecond);
  Settle();
  ASSERT_TRUE(Done(never));
  EXPECT_EQ(never->status, SLIPWAY_E_STUCK);
  EXPECT_THAT(MessageOf(never), HasSubstr("must not be freed"));
  Release(never);
  EXPECT_FALSE(dispatcher_->WaitRangeIdle(reinterpret_cast<uint64_t>(local), 1000, 0)) << "and never will be";
  EXPECT_FALSE(transports_[0]->failed()) << "it is none of the transport's doing";
  std::vector<char> host(1000);
  EXPECT_EQ(Run({Write(host.data(), host.size(), segment)}), SLIPWAY_OK);
  device_control().set_hold(device(), 0);
  Settle();  // the completion comes late, and to nobody
  ExpectUnclean();
}

TEST_F(DeviceCopiesTest, StoppingWithCopiesThatNeverEndComesToAnEnd) {
  StartWithDevice();
  RemoteSegment* segment = OpenSegment(64 * kKiB);
  char* const local = Alloc(16 * kKiB, 6);
  device_control().set_hold(device(), 1);
  BatchState* batch = Submit({OfDevice(Write(local, 16 * kKiB, segment))});
  dispatcher_->Cancel(batch);
  Pass(10 * kSecond);
  Settle();
  EXPECT_TRUE(Done(batch));
  Release(batch);
  ExpectUnclean();
  Stop();
}

}  // namespace
}  // namespace slipway

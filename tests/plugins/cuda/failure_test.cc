// What the driver refuses in the middle of copies: a status for each piece, none lost, and the caller's thread as it
// was.
#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

constexpr int32_t kOutOfMemory = 2, kLaunchFailed = 719, kIllegalAddress = 700;

class CudaFailureTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (FakeCuda() == nullptr) return;
    ASSERT_NO_FATAL_FAILURE(Open());
    device_ = Device(kMiB);
    Pin(pinned_);
  }
  void TearDown() override {
    if (FakeCuda() != nullptr) FakeCuda()->break_contexts(0);
    CudaTest::TearDown();
  }
  // All of them complete, with that status; nothing was copied twice or lost.
  void ExpectAll(const std::vector<slipway_copy>& pieces, slipway_status expected, int32_t native) {
    uint32_t accepted = 0;
    ASSERT_EQ(Submit(pieces, &accepted), SLIPWAY_OK) << error_.message;
    ASSERT_EQ(accepted, pieces.size());
    for (const slipway_completion& c : Drain(accepted)) {
      EXPECT_EQ(c.status, expected);
      EXPECT_EQ(c.native, native);
      EXPECT_EQ(c.bytes, 0u);
    }
  }
  std::vector<slipway_copy> Many(size_t count, size_t length) {
    std::vector<slipway_copy> pieces;
    for (size_t i = 0; i < count; ++i) pieces.push_back(Up(device_ + i * length, pinned_.data() + i * length, length));
    return pieces;
  }
  void ExpectItWorks() {
    Copy(Many(20, 100));
    Copy({Up(device_, pageable_.data(), kMiB)});  // one after the other: both use the same memory
    Copy({Down(pageable_.data(), device_, 100)});
  }

  HostBuffer pinned_{kMiB}, pageable_{kMiB};
  char* device_ = nullptr;
};

TEST_F(CudaFailureTest, ARefusedCopyFailsItsPiecesAlone) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->fail("cuMemcpyAsync", kLaunchFailed, 0, 1);
  ExpectAll(Many(1, 100), SLIPWAY_E_DEVICE, kLaunchFailed);
  FakeCuda()->fail("cuLaunchKernel", kLaunchFailed, 0, 1);
  ExpectAll(Many(100, 100), SLIPWAY_E_DEVICE, kLaunchFailed);
  FakeCuda()->fail("cuMemcpyBatchAsync_v2", kOutOfMemory, 0, 1);
  ExpectAll(Many(5, 40'000), SLIPWAY_E_NOMEM, kOutOfMemory);
  EXPECT_EQ(Stat("failed"), 106u);
  ExpectItWorks();
}

TEST_F(CudaFailureTest, AnEventThatCannotBeRecordedFailsItsPieces) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->fail("cuEventRecord", kLaunchFailed, 0, 1);
  ExpectAll(Many(30, 100), SLIPWAY_E_DEVICE, kLaunchFailed);
  FakeCuda()->fail("cuEventRecord", kLaunchFailed, 0, 1);
  ExpectAll({Down(pageable_.data(), device_, 1000)}, SLIPWAY_E_DEVICE, kLaunchFailed);
  ExpectItWorks();
}

TEST_F(CudaFailureTest, ChunksOfTheRingFailWhole) {
  SLIPWAY_NEEDS_FAKE();
  const auto expect_failure = [&](bool down, const std::string& what) {
    uint32_t accepted = 0;
    ASSERT_EQ(Submit({down ? Down(pageable_.data(), device_, kMiB) : Up(device_, pageable_.data(), kMiB)}, &accepted),
              SLIPWAY_OK);
    const std::vector<slipway_completion> done = Drain(1);
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].status, SLIPWAY_E_DEVICE) << what;
    EXPECT_EQ(done[0].native, kLaunchFailed);
  };
  for (uint32_t skip = 0; skip < 4; ++skip) {
    for (const bool down : {true, false}) {
      FakeCuda()->fail("cuEventRecord", kLaunchFailed, skip, 1);
      expect_failure(down, "event " + std::to_string(skip));
    }
    FakeCuda()->fail("cuMemcpyAsync", kLaunchFailed, skip, 1);
    expect_failure(true, "copy " + std::to_string(skip));
  }
  // Chunks that go up are copied two together where both are filled, which depends on who is quick: of eight there are
  // more than two calls of one kind or the other.
  for (uint32_t skip = 0; skip < 3; ++skip) {
    for (const char* entry : {"cuMemcpyAsync", "cuMemcpyBatchAsync_v2"}) {
      FakeCuda()->fail(entry, kLaunchFailed, skip, UINT32_MAX);
    }
    expect_failure(false, "copies from " + std::to_string(skip) + " on");
    for (const char* entry : {"cuMemcpyAsync", "cuMemcpyBatchAsync_v2"}) FakeCuda()->fail(entry, 0, 0, 0);
  }
  ExpectItWorks();
}

TEST_F(CudaFailureTest, ABrokenContextIsToldForEveryPieceAndThenAtOnce) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->hold(1);
  uint32_t accepted = 0;
  ASSERT_EQ(Submit({Up(device_, pinned_.data(), 100), Down(pageable_.data(), device_, kMiB)}, &accepted), SLIPWAY_OK);
  ASSERT_EQ(accepted, 2u);
  FakeCuda()->break_contexts(kIllegalAddress);
  for (const slipway_completion& c : Drain(2)) EXPECT_EQ(c.status, SLIPWAY_E_DEVICE);
  ExpectAll({Up(device_, pinned_.data(), 100)}, SLIPWAY_E_DEVICE, kIllegalAddress);
  ExpectAll({Down(pageable_.data(), device_, 2 * kKiB)}, SLIPWAY_E_DEVICE, kIllegalAddress);
  slipway_pin* pin = nullptr;
  HostBuffer more(4096);
  EXPECT_EQ(TryPin(more.data(), 4096, &pin), SLIPWAY_E_DEVICE);
  FakeCuda()->break_contexts(0);
  FakeCuda()->hold(0);
}

// However the driver fails, each call of the table leaves the thread as it was: the fixture compares.
TEST_F(CudaFailureTest, TheThreadStaysAsItWasWhateverFails) {
  SLIPWAY_NEEDS_FAKE();
  for (const char* entry : {"cuPointerGetAttributes", "cuMemcpyAsync", "cuEventRecord", "cuEventCreate", "cuEventQuery",
                            "cuMemHostRegister_v2", "cuStreamCreateWithPriority"}) {
    memory_->disturb(provider_);
    FakeCuda()->fail(entry, kLaunchFailed, 0, 2);
    uint32_t accepted = 0;
    if (Submit({Up(device_, pinned_.data(), 100)}, &accepted) == SLIPWAY_OK && accepted == 1) Drain(1);
    slipway_pin* pin = nullptr;
    HostBuffer more(4096);
    if (TryPin(more.data(), 4096, &pin) == SLIPWAY_OK) Unpin(pin);
    Classify(device_);
    slipway_copy_queue* queue = nullptr;
    const slipway_status s = Checked("queue_open", [&] { return t_.queue_open(provider_, nullptr, &queue, &error_); });
    if (s == SLIPWAY_OK) Checked("queue_close", [&] { return t_.queue_close(queue); });
    FakeCuda()->fail(entry, 0, 0, 0);
  }
}

// The application records a graph on another thread, in the mode in which an unsafe call of any thread spoils it.
TEST_F(CudaFailureTest, AGraphThatIsBeingCapturedIsNotSpoilt) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_capturing(1);
  ExpectItWorks();
  HostBuffer more(4096);
  slipway_pin* pin = nullptr;
  EXPECT_EQ(TryPin(more.data(), 4096, &pin), SLIPWAY_OK);
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
  slipway_copy_queue* queue = nullptr;
  ASSERT_EQ(t_.queue_open(provider_, nullptr, &queue, &error_), SLIPWAY_OK);
  EXPECT_EQ(t_.queue_close(queue), SLIPWAY_OK);
  slipway_provider* another = nullptr;
  ASSERT_EQ(TryOpen(kSmallRing, &another), SLIPWAY_OK);
  t_.destroy(another);
  EXPECT_EQ(FakeCounts().capture_breaks, 0u);
}

}  // namespace
}  // namespace slipway::test

// What addresses are said to be.
#include <sys/mman.h>

#include <set>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

using fake_cuda::Kind;

class CudaClassifyTest : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Open());
  }
  // Memory of the fake's, given back at the end.
  char* Special(Kind kind, size_t bytes = 64 * kKiB) {
    special_.push_back(FakeCuda()->allocate(0, bytes, kind));
    return static_cast<char*>(special_.back());
  }
  void TearDown() override {
    for (void* at : special_) FakeCuda()->release(at);
    CudaTest::TearDown();
  }
  std::vector<void*> special_;
};

TEST_F(CudaClassifyTest, ItsOwnMemoryFromTheFirstByteToTheLast) {
  char* const device = Device(100'000);
  for (const size_t offset : {0, 1, 4095, 50'000, 99'999}) {
    const slipway_mem_info info = Classify(device + offset);
    EXPECT_EQ(info.mem_kind, kCuda) << offset;
    EXPECT_EQ(info.device_ordinal, 0);
    EXPECT_EQ(info.base, device);
    EXPECT_EQ(info.size, 100'000u);
    EXPECT_NE(info.allocation_id, 0u);
  }
}

TEST_F(CudaClassifyTest, HostMemoryIsNotItsOwnPinnedOrNot) {
  HostBuffer host(64 * kKiB);
  EXPECT_EQ(Classify(host.data()).mem_kind, 0u);
  Pin(host);
  EXPECT_EQ(Classify(host.data()).mem_kind, 0u) << "pinned for the device, but the host's all the same";
  int on_stack = 0;
  EXPECT_EQ(Classify(&on_stack).mem_kind, 0u);
  EXPECT_EQ(Classify(nullptr).mem_kind, 0u);
  EXPECT_EQ(Classify(reinterpret_cast<void*>(UINTPTR_MAX)).mem_kind, 0u);
  EXPECT_EQ(Classify(host.data()).device_ordinal, -77) << "the other fields are not touched";
}

TEST_F(CudaClassifyTest, AnAllocationIdIsNeverUsedAgain) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 20; ++i) {
    void* at = nullptr;
    ASSERT_EQ(memory_->alloc(provider_, kMiB, &at), SLIPWAY_OK);
    EXPECT_TRUE(seen.insert(Classify(at).allocation_id).second) << "round " << i;
    memory_->dealloc(provider_, at);
  }
}

TEST_F(CudaClassifyTest, FreedMemoryIsNotItsOwn) {
  SLIPWAY_NEEDS_FAKE();  // a device may keep a freed allocation's addresses for another
  void* at = nullptr;
  ASSERT_EQ(memory_->alloc(provider_, kMiB, &at), SLIPWAY_OK);
  memory_->dealloc(provider_, at);
  EXPECT_EQ(Classify(at).mem_kind, 0u);
}

TEST_F(CudaClassifyTest, ManagedMemoryAndAnotherContextsAreTheDevicesToo) {
  SLIPWAY_NEEDS_FAKE();
  EXPECT_EQ(Classify(Special(Kind::kManaged)).mem_kind, kCuda);
  EXPECT_EQ(Classify(Special(Kind::kOtherContext)).mem_kind, kCuda);
  EXPECT_EQ(Classify(Special(Kind::kNoAccess)).mem_kind, kCuda);
}

TEST_F(CudaClassifyTest, MemoryMappedByHandIsAsLargeAsItsMappingNotItsReservation) {
  SLIPWAY_NEEDS_FAKE();
  char* const mapped = Special(Kind::kMapped);
  const slipway_mem_info info = Classify(mapped + 5);
  EXPECT_EQ(info.mem_kind, kCuda);
  EXPECT_EQ(info.base, mapped);
  EXPECT_EQ(info.size, 64 * kKiB);
}

TEST_F(CudaClassifyTest, ADriverThatDoesNotAnswerOwnsNothing) {
  SLIPWAY_NEEDS_FAKE();
  char* const device = Device(kKiB);
  FakeCuda()->fail("cuPointerGetAttributes", 999, 0, 1);
  EXPECT_EQ(Classify(device).mem_kind, 0u);
}

// ---- what copies make of kinds of memory -------------------------------------------------------------------------

// Kernels must keep away from what the device may not touch: TearDown sees whether one did not.
TEST_F(CudaClassifyTest, EveryKindOfMemoryIsCopied) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer in(64 * kKiB), out(64 * kKiB);
  in.FillRandom(5);
  Pin(out);
  for (const Kind kind : {Kind::kPlain, Kind::kManaged, Kind::kOtherContext, Kind::kMapped, Kind::kNoAccess}) {
    char* const device = Special(kind);
    out.Fill(0);
    std::vector<slipway_copy> up, down;
    for (size_t at = 0; at < in.size(); at += kKiB) {
      up.push_back(Up(device + at, in.data() + at, kKiB));
      down.push_back(Down(out.data() + at, device + at, kKiB));
    }
    Copy(up);
    Copy(down);
    EXPECT_EQ(out.view(), in.view()) << static_cast<int>(kind);
  }
}

TEST_F(CudaClassifyTest, APieceThatReachesIntoAHoleFailsAlone) {
  SLIPWAY_NEEDS_FAKE();
  HostBuffer host(128 * kKiB);
  Pin(host);
  char* const mapped = Special(Kind::kMapped);
  std::vector<slipway_copy> pieces;
  for (int i = 0; i < 20; ++i) pieces.push_back(Up(mapped + i * kKiB, host.data(), kKiB));
  Copy(pieces);
  uint32_t accepted = 0;
  const slipway_copy hole = Up(mapped + 60 * kKiB, host.data(), 8 * kKiB);
  const slipway_status s = Submit({hole}, &accepted);
  if (accepted == 1) {
    EXPECT_NE(Drain(1).at(0).status, SLIPWAY_OK);
  } else {
    EXPECT_EQ(s, SLIPWAY_E_INVALID);
  }
  Copy({Up(mapped, host.data(), kKiB)});
}

TEST_F(CudaClassifyTest, PinnedMemoryMayHaveAnotherAddressOnTheDevice) {
  SLIPWAY_NEEDS_FAKE();
  Close();
  FakeCuda()->set_host_delta(uint64_t{1} << 44);
  Open();
  HostBuffer in(256 * kKiB), out(256 * kKiB);
  in.FillRandom(6);
  Pin(in);
  char* const device = Device(in.size());
  std::vector<slipway_copy> up, down;
  for (size_t at = 0; at < in.size(); at += 2 * kKiB) {
    up.push_back(Up(device + at, in.data() + at, 2 * kKiB));
    down.push_back(Down(out.data() + at, device + at, 2 * kKiB));
  }
  Copy(up);
  Copy(down);
  EXPECT_EQ(out.view(), in.view());
  EXPECT_GE(Stat("kernel_copies"), 128u);
}

TEST_F(CudaClassifyTest, TheDriverIsAskedAboutABufferNotAboutEachPiece) {
  HostBuffer host(kMiB), pageable(kMiB);
  Pin(host);
  char* const device = Device(kMiB);
  std::vector<slipway_copy> pieces;
  for (size_t at = 0; at < kMiB; at += kKiB) {
    pieces.push_back(Up(device + at, host.data() + at, kKiB));
    pieces.push_back(Down(pageable.data() + at, device + at, kKiB));
  }
  const uint64_t before = Stat("address_queries");
  uint32_t accepted = 0;
  ASSERT_EQ(Submit(pieces, &accepted), SLIPWAY_OK);
  ASSERT_EQ(accepted, pieces.size());
  EXPECT_LE(Stat("address_queries") - before, 8u) << "for 2048 pieces of three buffers";
  Drain(accepted);
}

TEST_F(CudaClassifyTest, AddressesThatAreNotWhatTheyAreSaidToBeAreRefused) {
  HostBuffer host(64 * kKiB), other(64 * kKiB);
  Pin(host);
  char* const device = Device(64 * kKiB);
  uint32_t accepted = 7;
  const auto refused = [&](const slipway_copy& piece) {
    EXPECT_EQ(Submit({piece}, &accepted), SLIPWAY_E_INVALID);
    EXPECT_EQ(accepted, 0u);
    EXPECT_STRNE(error_.message, "");
  };
  refused(Up(host.data(), other.data(), 100));
  refused(Down(host.data(), other.data(), 100));
  refused({1, device, device + kKiB, 100, kCuda, kHost});
  refused(Across(device, host.data(), 100));
  refused(Across(host.data(), device, 100));
  refused(Up(device + 60 * kKiB, other.data(), 100 * kKiB));  // beyond the allocation
}

}  // namespace
}  // namespace slipway::test

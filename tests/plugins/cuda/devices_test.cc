// Several devices, order with the caller's streams, and handles that leave the process.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "tests/plugins/cuda/provider.h"

extern char** environ;

namespace slipway::test {
namespace {

using fake_cuda::Kind;
using testing::HasSubstr;

class CudaDevicesTest : public CudaTest {};

TEST_F(CudaDevicesTest, EachDevicesMemoryIsCopiedOnItsOwnStreams) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_device_count(3);
  Open();
  HostBuffer in(96 * kKiB), out(96 * kKiB);
  in.FillRandom(4);
  Pin(in);
  std::vector<char*> device;
  for (int32_t d = 0; d < 3; ++d) {
    device.push_back(static_cast<char*>(FakeCuda()->allocate(d, 32 * kKiB, Kind::kPlain)));
    EXPECT_EQ(Classify(device.back()).device_ordinal, d);
  }
  // One submission, pieces of all devices in turn, pinned up and pageable down.
  std::vector<slipway_copy> up, across, down;
  for (size_t at = 0; at < 32 * kKiB; at += kKiB) {
    for (size_t d = 0; d < 3; ++d) {
      up.push_back(Up(device[d] + at, in.data() + d * 32 * kKiB + at, kKiB));
      down.push_back(Down(out.data() + d * 32 * kKiB + at, device[d] + at, kKiB));
    }
  }
  Copy(up);
  Copy(down);
  EXPECT_EQ(out.view(), in.view());
  // From one device to another.
  Copy({Across(device[2], device[0], 32 * kKiB)});
  EXPECT_EQ(ReadDevice(device[2], 32 * kKiB), in.view(0, 32 * kKiB));
  for (char* d : device) FakeCuda()->release(d);
}

TEST_F(CudaDevicesTest, OnlyDevicesThatAreUsedAreTouched) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_device_count(3);
  Open();
  EXPECT_EQ(FakeCounts().contexts, 1u);
  char* const other = static_cast<char*>(FakeCuda()->allocate(2, kKiB, Kind::kPlain));
  HostBuffer host(4096);
  Copy({Up(other, host.data(), kKiB)});
  EXPECT_EQ(FakeCounts().contexts, 2u) << "and the second device is left alone";
  FakeCuda()->release(other);
}

TEST_F(CudaDevicesTest, WhoReachesWhomIsTheDriversAnswer) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_device_count(4);
  Open();
  const auto& devices = Extension<sdk::MemoryDevices>(sdk::kMemoryDevicesId);
  EXPECT_EQ(devices.count(provider_), 4u);
  uint32_t can = 7;
  EXPECT_EQ(devices.can_reach(provider_, 0, 1, &can), SLIPWAY_OK);
  EXPECT_EQ(can, 1u);
  EXPECT_EQ(devices.can_reach(provider_, 0, 2, &can), SLIPWAY_OK);
  EXPECT_EQ(can, 0u);
  EXPECT_EQ(devices.can_reach(provider_, 0, 4, &can), SLIPWAY_E_INVALID);
}

// ---- order -------------------------------------------------------------------------------------------------------

// The default stream is the caller's here: a copy submitted after it holds work comes after that work.
TEST_F(CudaDevicesTest, PiecesComeAfterWhatTheCallersStreamHolds) {
  SLIPWAY_NEEDS_FAKE();
  Open();
  const auto& order = Extension<sdk::MemoryOrder>(sdk::kMemoryOrderId);
  HostBuffer first(64 * kKiB), out(64 * kKiB);
  first.FillRandom(1);
  Pin(first);
  char* const device = Device(64 * kKiB);
  for (const bool pageable : {true, false}) {
    slipway_pin* pin = pageable ? nullptr : Pin(out);
    FakeCuda()->hold(1);
    FakeCuda()->copy_on_default_stream(device, first.data(), first.size());
    memory_->disturb(provider_);
    ASSERT_EQ(Checked("after", [&] { return order.after(queue_, nullptr, &error_); }), SLIPWAY_OK) << error_.message;
    uint32_t accepted = 0;
    ASSERT_EQ(Submit({Down(out.data(), device, out.size())}, &accepted), SLIPWAY_OK);
    FakeCuda()->hold(0);
    Drain(1);
    EXPECT_EQ(out.view(), first.view());
    first.FillRandom(2);
    if (pin != nullptr) Unpin(pin);
  }
}

TEST_F(CudaDevicesTest, AStreamThatIsNoneOrIsRecordedIsRefused) {
  SLIPWAY_NEEDS_FAKE();
  Open();
  const auto& order = Extension<sdk::MemoryOrder>(sdk::kMemoryOrderId);
  EXPECT_EQ(Checked("after", [&] { return order.after(queue_, this, &error_); }), SLIPWAY_E_INVALID);
  FakeCuda()->set_capturing(1);
  EXPECT_EQ(order.after(queue_, nullptr, &error_), SLIPWAY_E_INVALID);
  EXPECT_THAT(error_.message, HasSubstr("captured"));
  EXPECT_EQ(order.after(nullptr, nullptr, &error_), SLIPWAY_E_INVALID);
}

// ---- DMA-BUF -----------------------------------------------------------------------------------------------------

TEST_F(CudaDevicesTest, ADmabufBeginsAtAPageAndSaysHowFarIn) {
  Open();
  char* const device = Device(256 * kKiB);
  int fd = -1;
  uint64_t offset = 0;
  const slipway_status s = Checked(
      "export_dmabuf", [&] { return t_.export_dmabuf(provider_, device + 5000, 10'000, &fd, &offset, &error_); });
  if (s == SLIPWAY_E_UNSUPPORTED) GTEST_SKIP() << error_.message;
  ASSERT_EQ(s, SLIPWAY_OK) << error_.message;
  EXPECT_EQ(offset, 5000u - 4096u);
  EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  close(fd);
}

TEST_F(CudaDevicesTest, WhatIsNoDevicesMemoryHasNoDmabuf) {
  Open();
  char* const device = Device(64 * kKiB);
  HostBuffer host(4096);
  int fd = -1;
  uint64_t offset = 0;
  EXPECT_EQ(t_.export_dmabuf(provider_, host.data(), 4096, &fd, &offset, &error_), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.export_dmabuf(provider_, device, 65 * kKiB, &fd, &offset, &error_), SLIPWAY_E_RANGE);
  EXPECT_EQ(t_.export_dmabuf(provider_, device, 0, &fd, &offset, &error_), SLIPWAY_E_INVALID);
  EXPECT_EQ(fd, -1);
}

// ---- handles for other processes ---------------------------------------------------------------------------------

constexpr const char* kChildVariable = "SLIPWAY_TEST_IPC_PIPES";
constexpr size_t kShared = 100'000;

// The other process: shares memory, waits, and holds it against what was written meanwhile.
TEST_F(CudaDevicesTest, TheOtherProcess) {
  const char* const pipes = std::getenv(kChildVariable);
  if (pipes == nullptr) return;  // another test runs it
  int out = -1, in = -1;
  ASSERT_EQ(std::sscanf(pipes, "%d,%d", &out, &in), 2);
  Open();
  HostBuffer host(kShared + 96);
  host.FillRandom(21);
  char* const device = Device(kShared + 96);
  WriteDevice(device, host, kShared);
  char bytes[256];
  size_t length = sizeof(bytes);
  const auto& ipc = Extension<sdk::MemoryIpc>(sdk::kMemoryIpcId);
  ASSERT_EQ(ipc.export_handle(provider_, device + 96, kShared - 96, bytes, &length, &error_), SLIPWAY_OK)
      << error_.message;
  // Its own is not for itself.
  void* mapped = nullptr;
  uint64_t mapped_length = 0;
  EXPECT_EQ(ipc.open_handle(provider_, bytes, length, &mapped, &mapped_length, &error_), SLIPWAY_E_INVALID);
  ASSERT_EQ(write(out, bytes, length), static_cast<ssize_t>(length));
  char done = 0;
  ASSERT_EQ(read(in, &done, 1), 1);
  EXPECT_EQ(ReadDevice(device + 96, 1000), std::string(1000, 'x')) << "what the first process wrote";
}

TEST_F(CudaDevicesTest, MemoryOfAnotherProcessIsMapped) {
  int to_child[2], to_parent[2];
  ASSERT_EQ(pipe(to_child), 0);
  ASSERT_EQ(pipe(to_parent), 0);
  const std::string variable =
      std::string(kChildVariable) + "=" + std::to_string(to_parent[1]) + "," + std::to_string(to_child[0]);
  std::vector<char*> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.push_back(*e);
  environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  char program[] = "/proc/self/exe", filter[] = "--gtest_filter=CudaDevicesTest.TheOtherProcess";
  char* arguments[] = {program, filter, nullptr};
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, program, nullptr, nullptr, arguments, environment.data()), 0);
  close(to_parent[1]);

  Open();
  const auto& ipc = Extension<sdk::MemoryIpc>(sdk::kMemoryIpcId);
  char bytes[256];
  const ssize_t length = read(to_parent[0], bytes, sizeof(bytes));
  ASSERT_GT(length, 0);
  void* mapped = nullptr;
  uint64_t mapped_length = 0;
  ASSERT_EQ(Checked("open_handle",
                    [&] {
                      return ipc.open_handle(provider_, bytes, static_cast<size_t>(length), &mapped, &mapped_length,
                                             &error_);
                    }),
            SLIPWAY_OK)
      << error_.message;
  EXPECT_EQ(mapped_length, kShared - 96);
  EXPECT_EQ(Classify(mapped).mem_kind, kCuda);
  HostBuffer expected(kShared + 96), mine(4096);
  expected.FillRandom(21);
  EXPECT_EQ(ReadDevice(static_cast<char*>(mapped), mapped_length), expected.view(96, mapped_length));
  mine.Fill('x');
  Copy({Up(static_cast<char*>(mapped), mine.data(), 1000)});
  EXPECT_EQ(Checked("close_handle", [&] { return ipc.close_handle(provider_, mapped, &error_); }), SLIPWAY_OK);
  EXPECT_EQ(ipc.close_handle(provider_, mapped, &error_), SLIPWAY_E_INVALID);
  ASSERT_EQ(write(to_child[1], "d", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const int fd : {to_child[0], to_child[1], to_parent[0]}) close(fd);
}

TEST_F(CudaDevicesTest, HandlesFromStrangersAreRefused) {
  Open();
  const auto& ipc = Extension<sdk::MemoryIpc>(sdk::kMemoryIpcId);
  char* const device = Device(64 * kKiB);
  char bytes[256] = {};
  size_t length = 0;
  EXPECT_EQ(ipc.export_handle(provider_, device, 64 * kKiB, nullptr, &length, &error_), SLIPWAY_E_BUFFER_TOO_SMALL);
  ASSERT_LE(length, sizeof(bytes));
  ASSERT_EQ(ipc.export_handle(provider_, device, 64 * kKiB, bytes, &length, &error_), SLIPWAY_OK) << error_.message;
  EXPECT_EQ(ipc.export_handle(provider_, device, 65 * kKiB, bytes, &length, &error_), SLIPWAY_E_RANGE);
  EXPECT_EQ(ipc.export_handle(provider_, this, 1, bytes, &length, &error_), SLIPWAY_E_INVALID);
  void* mapped = nullptr;
  uint64_t mapped_length = 0;
  const auto open = [&](size_t size) {
    return ipc.open_handle(provider_, bytes, size, &mapped, &mapped_length, &error_);
  };
  EXPECT_EQ(open(0), SLIPWAY_E_PROTOCOL);
  EXPECT_EQ(open(length - 1), SLIPWAY_E_PROTOCOL);
  // As if of another process, and then, one after the other: magic, revision, device, offset, length.
  bytes[8] = static_cast<char>(bytes[8] ^ 0x55);
  for (const size_t at : {0, 4, 16, 28, 96, 100, 104, 108}) {
    char saved[4];
    std::memcpy(saved, bytes + at, 4);
    std::memset(bytes + at, 0xee, 4);
    EXPECT_NE(open(length), SLIPWAY_OK) << "with other bytes at " << at;
    EXPECT_STRNE(error_.message, "");
    std::memcpy(bytes + at, saved, 4);
  }
  EXPECT_EQ(mapped, nullptr);
  EXPECT_EQ(ipc.close_handle(provider_, device, &error_), SLIPWAY_E_INVALID);
}

}  // namespace
}  // namespace slipway::test

// Instances: made where there is a driver and a device, refused with the reason elsewhere, gone without a trace.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "tests/plugins/cuda/provider.h"

namespace slipway::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CudaProviderTest : public CudaTest {
 protected:
  // Why an instance cannot be made, from probe and create alike.
  std::string Refused(const std::string& json, slipway_status expected) {
    slipway_provider* out = nullptr;
    slipway_error error = EmptyError();
    EXPECT_EQ(t_.create(host_.table(), json.data(), json.size(), &out, &error), expected) << error.message;
    EXPECT_EQ(out, nullptr);
    slipway_error probed = EmptyError();
    EXPECT_EQ(t_.probe(host_.table(), json.data(), json.size(), &probed), expected) << probed.message;
    EXPECT_STREQ(probed.message, error.message);
    return error.message;
  }
};

TEST_F(CudaProviderTest, WithoutADriverItSaysWhichFileIsMissing) {
  EXPECT_THAT(Refused(R"({"library": "libnot-there.so.1"})", SLIPWAY_E_DEVICE),
              AllOf(HasSubstr("no CUDA driver"), HasSubstr("libnot-there.so.1")));
}

TEST_F(CudaProviderTest, AnotherLibraryIsNotTakenForTheDriver) {
  EXPECT_THAT(Refused(R"({"library": "libm.so.6"})", SLIPWAY_E_DEVICE), HasSubstr("lacks cuInit"));
}

TEST_F(CudaProviderTest, WithoutADeviceItSaysSo) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_device_count(0);
  EXPECT_THAT(Refused(CudaConfig(), SLIPWAY_E_DEVICE),
              AllOf(HasSubstr("CUDA_ERROR_NO_DEVICE"), HasSubstr("CUDA_VISIBLE_DEVICES")));
}

TEST_F(CudaProviderTest, AnOldDriverIsNamedWithWhatIsNeeded) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_version(11020);
  EXPECT_THAT(Refused(CudaConfig(), SLIPWAY_E_DEVICE), AllOf(HasSubstr("11.2"), HasSubstr("11.4")));
}

TEST_F(CudaProviderTest, ProbingLeavesNothingBehind) {
  const std::string json = CudaConfig();
  ASSERT_EQ(t_.probe(host_.table(), json.data(), json.size(), &error_), SLIPWAY_OK) << error_.message;
  if (FakeCuda() != nullptr) {
    EXPECT_EQ(FakeCounts().contexts, 0u);
  }
}

// Each entry of the driver that making an instance calls fails once.
TEST_F(CudaProviderTest, WhateverFailsWhileItIsMadeIsGivenBack) {
  SLIPWAY_NEEDS_FAKE();
  for (const char* entry :
       {"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDevicePrimaryCtxRetain"}) {
    FakeCuda()->fail(entry, 999, 0, 1);
    slipway_provider* out = nullptr;
    EXPECT_NE(TryOpen(kSmallRing, &out), SLIPWAY_OK) << entry;
    EXPECT_EQ(out, nullptr);
    EXPECT_STRNE(error_.message, "") << entry;
    EXPECT_EQ(FakeCounts().contexts, 0u) << entry;
  }
}

TEST_F(CudaProviderTest, AQueueThatCannotHaveItsStreamsIsNotMade) {
  SLIPWAY_NEEDS_FAKE();
  Open();
  slipway_copy_queue* out = nullptr;
  for (uint32_t skip = 0; skip < 5; ++skip) {
    FakeCuda()->fail("cuStreamCreateWithPriority", 2, skip, 1);
    EXPECT_EQ(t_.queue_open(provider_, nullptr, &out, &error_), SLIPWAY_E_NOMEM) << skip;
    EXPECT_EQ(FakeCounts().streams, 5u) << "those of the other queue";
  }
}

TEST_F(CudaProviderTest, WithoutTheKernelCopiesGoOtherWays) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->fail("cuModuleLoadData", 222, 0, 1);
  host_.log_level = SLIPWAY_LOG_INFO;
  Open();
  EXPECT_THAT(host_.log(), testing::Contains(HasSubstr("without a kernel")));
  HostBuffer host(64 * kKiB);
  host.FillRandom(1);
  Pin(host);
  char* const device = Device(host.size());
  std::vector<slipway_copy> up;
  for (size_t at = 0; at < host.size(); at += kKiB) up.push_back(Up(device + at, host.data() + at, kKiB));
  Copy(up);
  EXPECT_EQ(ReadDevice(device, host.size()), host.view());
  EXPECT_EQ(Stat("kernel_copies"), 0u);
  EXPECT_GE(Stat("batch_copies"), 64u);
}

TEST_F(CudaProviderTest, ARefusedRingIsSaidOnceAndPageableCopiesGoOn) {
  SLIPWAY_NEEDS_FAKE();
  FakeCuda()->set_register_limit(0);
  Open("");
  EXPECT_THAT(host_.log(), testing::ElementsAre(HasSubstr("no pinned ring")));
  HostBuffer host(256 * kKiB);
  host.FillRandom(2);
  char* const device = Device(host.size());
  WriteDevice(device, host, host.size());
  EXPECT_EQ(ReadDevice(device, host.size()), host.view());
  EXPECT_EQ(Stat("plain_bytes"), 2 * host.size());
  EXPECT_EQ(host_.log().size(), 1u);
}

// A budget that has no room for the ring is asked, and not exceeded.
TEST_F(CudaProviderTest, TheRingIsChargedAndGivenBack) {
  static int64_t charged;
  static bool room;
  charged = 0;
  slipway_host host = *host_.table();
  host.pin_charge = [](void*, uint64_t bytes) -> slipway_status {
    if (!room) return SLIPWAY_E_PIN_LIMIT;
    charged += static_cast<int64_t>(bytes);
    return SLIPWAY_OK;
  };
  host.pin_uncharge = [](void*, uint64_t bytes) { charged -= static_cast<int64_t>(bytes); };
  const std::string json = CudaConfig(kSmallRing);
  for (const bool r : {true, false}) {
    room = r;
    slipway_provider* p = nullptr;
    ASSERT_EQ(t_.create(&host, json.data(), json.size(), &p, &error_), SLIPWAY_OK) << error_.message;
    EXPECT_EQ(charged >= static_cast<int64_t>(kMiB), room);
    if (FakeCuda() != nullptr) {
      EXPECT_EQ(static_cast<int64_t>(FakeCounts().registered_bytes), charged);
    }
    t_.destroy(p);
    EXPECT_EQ(charged, 0);
  }
}

TEST_F(CudaProviderTest, TwoInstancesDoNotMeet) {
  Open();
  slipway_provider* other = nullptr;
  ASSERT_EQ(TryOpen(kSmallRing, &other), SLIPWAY_OK);
  HostBuffer host(64 * kKiB);
  host.FillRandom(3);
  slipway_pin* pin = Pin(host);
  EXPECT_EQ(t_.unpin_host(other, pin, &error_), SLIPWAY_E_INVALID);
  slipway_pin* second = nullptr;
  EXPECT_EQ(t_.pin_host(other, host.data(), host.size(), &second, &error_), SLIPWAY_E_BUSY) << "the driver knows";
  t_.destroy(other);
  char* const device = Device(host.size());
  WriteDevice(device, host, host.size());
  EXPECT_EQ(ReadDevice(device, host.size()), host.view());
}

TEST_F(CudaProviderTest, PinsAndQueuesThatAreLeftGoWithTheInstance) {
  Open();
  HostBuffer host(64 * kKiB);
  Pin(host);
  slipway_copy_queue* another = nullptr;
  ASSERT_EQ(t_.queue_open(provider_, nullptr, &another, &error_), SLIPWAY_OK);
  Device(kKiB);
  for (void* at : allocated_) memory_->dealloc(provider_, at);
  allocated_.clear();
  pins_.clear();
  t_.destroy(provider_);  // TearDown sees whether anything is left
  provider_ = nullptr;
  queue_ = nullptr;
}

TEST_F(CudaProviderTest, AForkedChildIsTurnedAway) {
  Open();
  const pid_t child = fork();
  if (child == 0) {
    uint32_t accepted = 0;
    slipway_mem_info info{sizeof(info), 0, 0, nullptr, 0, 0};
    const slipway_copy piece{1, this, this, 0, kCuda, kHost};
    const bool told = t_.classify(provider_, this, 1, &info) == SLIPWAY_E_FORKED &&
                      t_.copy_submit(queue_, &piece, sizeof(piece), 1, &accepted, nullptr) == SLIPWAY_E_FORKED;
    t_.destroy(provider_);
    _exit(told ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(CudaProviderTest, DevicesAreDescribed) {
  Open();
  const auto& devices = Extension<sdk::MemoryDevices>(sdk::kMemoryDevicesId);
  ASSERT_GE(devices.count(provider_), 1u);
  sdk::MemoryDevice device{};
  device.struct_size = sizeof(device);
  EXPECT_EQ(devices.describe(provider_, 0, &device), SLIPWAY_OK);
  EXPECT_STRNE(device.name, "");
  EXPECT_THAT(device.bus_id, HasSubstr(":"));
  EXPECT_EQ(devices.describe(provider_, devices.count(provider_), &device), SLIPWAY_E_INVALID);
  uint32_t can = 7;
  EXPECT_EQ(devices.can_reach(provider_, 0, 0, &can), SLIPWAY_OK);
  EXPECT_EQ(can, 1u);
}

TEST_F(CudaProviderTest, UnknownExtensionsAreNone) {
  EXPECT_EQ(t_.get_extension("slipway.memory.unheard-of/1"), nullptr);
  EXPECT_EQ(t_.get_extension(""), nullptr);
  EXPECT_EQ(t_.get_extension(nullptr), nullptr);
}

// ---- configuration -----------------------------------------------------------------------------------------------

TEST_F(CudaProviderTest, WrongConfigurationsNameThePlace) {
  const struct {
    const char *json, *where;
  } cases[] = {{R"({"ring_bites": 1})", "/ring_bites"},
               {R"({"ring_bytes": "1 lot"})", "/ring_bytes"},
               {R"({"ring_bytes": "1MiB", "ring_chunk_bytes": "1MiB"})", "/ring_bytes"},
               {R"({"ring_chunk_bytes": 70000})", "/ring_chunk_bytes"},
               {R"({"copy_threads": 65})", "/copy_threads"},
               {R"({"copy_threads": -1})", "/copy_threads"},
               {R"({"max_inflight": 0})", "/max_inflight"},
               {R"({"method": "magic"})", "/method"},
               {R"({"kernel_blocks_up": 0})", "/kernel_blocks_up"},
               {R"({"library": ""})", "/library"},
               {R"({"library": 5})", "/library"},
               {R"([])", ""},
               {R"({)", ""}};
  for (const auto& c : cases) {
    slipway_error error = EmptyError();
    EXPECT_EQ(t_.probe(host_.table(), c.json, std::strlen(c.json), &error), SLIPWAY_E_CONFIG) << c.json;
    EXPECT_STREQ(error.where, c.where) << c.json << ": " << error.message;
  }
}

}  // namespace
}  // namespace slipway::test

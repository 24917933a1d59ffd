// Finding a device by its names in a made-up sysfs, and what tells it from others.
#include "plugins/cxl/device.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/plugins/cxl/window_file.h"

namespace slipway::cxl {
namespace {

namespace fs = std::filesystem;
using test::EmptyError;

// One CXL memory device, a region over it, and a device-DAX node in the region, laid out as Linux 6.1 does.
class DeviceTest : public testing::Test {
 protected:
  DeviceTest() {
    char folder[] = "/tmp/slipway-test-XXXXXX";
    root_ = mkdtemp(folder);
    MakeRegion("region0", 0x390000000, {"decoder2.0"});
    MakeMemory("mem0", "endpoint2", "decoder2.0", "0x1234", "0x0");
    MakeDax("dax0.0", 0x390600000, 262144000);
  }
  ~DeviceTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  void Link(const std::string& path, const std::string& to) {
    fs::create_directories((root_ / path).parent_path());
    fs::create_directories(root_ / to);
    fs::remove(root_ / path);
    fs::create_directory_symlink(root_ / to, root_ / path);
  }
  void MakeRegion(const std::string& name, uint64_t resource, const std::vector<std::string>& decoders) {
    const std::string folder = "devices/root0/" + name;
    Link("bus/cxl/devices/" + name, folder);
    Write(folder + "/resource", std::to_string(resource));
    Write(folder + "/size", "0x10000000");
    Write(folder + "/interleave_ways", std::to_string(decoders.size()));
    Write(folder + "/interleave_granularity", "256");
    for (size_t i = 0; i < decoders.size(); ++i) Write(folder + "/target" + std::to_string(i), decoders[i]);
  }
  void MakeMemory(const std::string& mem, const std::string& endpoint, const std::string& decoder,
                  const std::string& serial, const std::string& dpa) {
    Write("devices/pci/" + mem + "/serial", serial);
    Link("devices/root0/" + endpoint + "/uport", "devices/pci/" + mem);
    Write("devices/root0/" + endpoint + "/" + decoder + "/dpa_resource", dpa);
    Link("bus/cxl/devices/" + decoder, "devices/root0/" + endpoint + "/" + decoder);
    Link("bus/cxl/devices/" + mem, "devices/pci/" + mem);
  }
  void MakeDax(const std::string& name, uint64_t resource, uint64_t bytes, const std::string& driver = "device_dax") {
    const std::string folder = "devices/nd/" + name + "/" + name;
    Link("bus/dax/devices/" + name, folder);
    Write(folder + "/resource", std::to_string(resource));
    Write(folder + "/size", std::to_string(bytes));
    Write(folder + "/align", "2097152");
    Write(folder + "/numa_node", "0");
    if (!driver.empty()) Link(folder + "/driver", "bus/dax/drivers/" + driver);
  }

  slipway_status Find(const std::string& name, Sharing sharing = Sharing::kNonCoherent) {
    WindowConfig window;
    window.device = name;
    return Find(window, sharing);
  }
  slipway_status Find(const WindowConfig& window, Sharing sharing) {
    error_ = EmptyError();
    sdk::Error err(&error_);
    found_ = {};
    return FindDevice(window, sharing, root_.string(), "/windows/0", found_, err);
  }

  fs::path root_;
  Device found_;
  slipway_error error_;
};

TEST_F(DeviceTest, TheSameDeviceByThreeNames) {
  for (const char* name : {"dax0.0", "mem0", "region0"}) {
    ASSERT_EQ(Find(name), SLIPWAY_OK) << name << error_.message;
    EXPECT_EQ(found_.path, "/dev/dax0.0");
    EXPECT_EQ(found_.kind, DeviceKind::kDevDax);
    EXPECT_EQ(found_.bytes, 262144000u);
    EXPECT_EQ(found_.align, 2097152u);
    EXPECT_EQ(found_.numa_node, 0);
    EXPECT_EQ(found_.identity, "CXL serial 0x1234 at 0x0 from 0x600000");
    EXPECT_FALSE(found_.host_only);
  }
}

TEST_F(DeviceTest, AnotherHostKnowsItByTheSameIdentityWhereverItIsMapped) {
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  const std::string here = found_.identity;
  MakeRegion("region0", 0x500000000, {"decoder2.0"});
  MakeDax("dax0.0", 0x500600000, 262144000);
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  EXPECT_EQ(IdentityOf(found_.identity), IdentityOf(here));
}

TEST_F(DeviceTest, AnotherDeviceOrPlaceInItIsAnotherIdentity) {
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  const Identity first = IdentityOf(found_.identity);
  MakeMemory("mem0", "endpoint2", "decoder2.0", "0x1235", "0x0");
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  EXPECT_NE(IdentityOf(found_.identity), first) << "another serial number";
  MakeMemory("mem0", "endpoint2", "decoder2.0", "0x1234", "0x10000000");
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  EXPECT_NE(IdentityOf(found_.identity), first) << "another part of the device";
  MakeMemory("mem0", "endpoint2", "decoder2.0", "0x1234", "0x0");
  MakeDax("dax0.0", 0x390800000, 262144000);
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  EXPECT_NE(IdentityOf(found_.identity), first) << "another place in the region";
}

TEST_F(DeviceTest, AnInterleavedRegionIsAllOfItsDevicesInOrder) {
  MakeMemory("mem1", "endpoint3", "decoder3.0", "0x5678", "0x0");
  MakeRegion("region0", 0x390000000, {"decoder2.0", "decoder3.0"});
  ASSERT_EQ(Find("mem1"), SLIPWAY_OK) << error_.message;
  EXPECT_EQ(found_.identity, "CXL serial 0x1234 at 0x0 serial 0x5678 at 0x0 by 0x100 from 0x600000");
}

TEST_F(DeviceTest, WithoutASerialNumberTheNamespacesUuidOrANameOfOnesOwn) {
  MakeMemory("mem0", "endpoint2", "decoder2.0", "0xffffffffffffffff", "0x0");
  EXPECT_EQ(Find("dax0.0"), SLIPWAY_E_CONFIG);
  EXPECT_STREQ(error_.where, "/windows/0/identity");
  EXPECT_EQ(Find("dax0.0", Sharing::kHost), SLIPWAY_OK) << "within a host the address will do";
  WindowConfig window;
  window.device = "dax0.0";
  window.identity = "shelf 7";
  ASSERT_EQ(Find(window, Sharing::kNonCoherent), SLIPWAY_OK) << error_.message;
  EXPECT_EQ(found_.identity, "named shelf 7");
  Write("devices/nd/dax0.0/uuid", "6f1a");
  ASSERT_EQ(Find("dax0.0"), SLIPWAY_OK);
  EXPECT_EQ(found_.identity, "namespace 6f1a");
}

TEST_F(DeviceTest, ADeviceThatTheSystemUsesIsBusy) {
  MakeDax("dax0.0", 0x390600000, 262144000, "kmem");
  EXPECT_EQ(Find("dax0.0"), SLIPWAY_E_BUSY);
  EXPECT_NE(std::string(error_.message).find("daxctl reconfigure-device"), std::string::npos) << error_.message;
}

TEST_F(DeviceTest, ADeviceWithoutADriverOrOfABrokenSizeSaysWhatToDo) {
  MakeDax("dax1.0", 0, 262144000, "");
  EXPECT_EQ(Find("dax1.0"), SLIPWAY_E_DEVICE);
  EXPECT_NE(std::string(error_.message).find("daxctl enable-device dax1.0"), std::string::npos) << error_.message;
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{262144001}, uint64_t{1} << 20}) {
    MakeDax("dax0.0", 0x390600000, bytes);
    EXPECT_EQ(Find("dax0.0"), SLIPWAY_E_DEVICE) << bytes;
    EXPECT_NE(std::string(error_.message).find("alignment"), std::string::npos) << error_.message;
  }
}

TEST_F(DeviceTest, WhatIsNotThereIsADeviceError) {
  for (const char* name : {"dax9.9", "mem9", "region9", "/nowhere/file"}) {
    EXPECT_EQ(Find(name), SLIPWAY_E_DEVICE) << name;
    EXPECT_NE(error_.message[0], '\0');
    EXPECT_STREQ(error_.where, "/windows/0/device");
  }
  MakeRegion("region1", 0x900000000, {"decoder2.0"});
  EXPECT_EQ(Find("region1"), SLIPWAY_E_DEVICE) << "a region without a namespace";
  EXPECT_NE(std::string(error_.message).find("ndctl create-namespace"), std::string::npos) << error_.message;
}

TEST_F(DeviceTest, ANameThatMeansTwoDevicesIsRefused) {
  MakeDax("dax0.1", 0x390000000 + (8 << 20), 2 << 20);
  EXPECT_EQ(Find("region0"), SLIPWAY_E_CONFIG);
  EXPECT_NE(std::string(error_.message).find("dax0.0"), std::string::npos) << error_.message;
}

TEST_F(DeviceTest, WhatIsNoDeviceIsAConfigurationError) {
  EXPECT_EQ(Find("/tmp"), SLIPWAY_E_CONFIG);
  EXPECT_EQ(Find("/dev/null"), SLIPWAY_E_CONFIG);
  EXPECT_EQ(Find("mem"), SLIPWAY_E_DEVICE);
}

TEST_F(DeviceTest, AFileIsSaidToBeOneAndKnownByItsBirth) {
  const test::WindowFile one, two;
  ASSERT_EQ(Find(one.path(), Sharing::kHost), SLIPWAY_OK) << error_.message;
  EXPECT_NE(found_.Describe().find("ORDINARY FILE, NOT CXL"), std::string::npos);
  const std::string first = found_.identity;
  ASSERT_EQ(Find(two.path(), Sharing::kHost), SLIPWAY_OK);
  EXPECT_NE(found_.identity, first);
  EXPECT_EQ(Find(one.path(), Sharing::kCoherent), SLIPWAY_E_CONFIG) << "no other host knows the file";
}

TEST_F(DeviceTest, PartsBeyondTheEndAreRefused) {
  WindowConfig window;
  window.device = "dax0.0";
  window.offset = 262144000;
  EXPECT_EQ(Find(window, Sharing::kHost), SLIPWAY_E_CONFIG);
  EXPECT_STREQ(error_.where, "/windows/0/offset");
  window.offset = 2 << 20;
  window.bytes = 262144000;
  EXPECT_EQ(Find(window, Sharing::kHost), SLIPWAY_E_CONFIG);
  EXPECT_STREQ(error_.where, "/windows/0/bytes");
  window.bytes = 0;
  window.numa_node = 1;
  EXPECT_EQ(Find(window, Sharing::kHost), SLIPWAY_E_CONFIG);
  EXPECT_STREQ(error_.where, "/windows/0/numa_node");
}

}  // namespace
}  // namespace slipway::cxl

#include "tests/engine/device_fixture.h"

#include <cstring>
#include <ostream>

#include "tests/support/plugin_driver.h"

namespace slipway {
namespace {

const slipway_fake_memory_control& ControlOf(const std::string& plugin) {
  return *static_cast<const slipway_fake_memory_control*>(
      test::LoadMemoryProvider(test::FixturePath(plugin)).get_extension(SLIPWAY_FAKE_MEMORY_EXTENSION));
}

}  // namespace

Json WithDevice(Json configuration, const std::string& tag, Json options, const std::string& plugin) {
  options["tag"] = tag;
  configuration["memory_providers"].push_back({{"name", plugin}, {"required", true}, {"options", options}});
  return configuration;
}

Device::Device(const std::string& tag, const std::string& plugin)
    : control_(ControlOf(plugin)), provider_(control_.find(tag.c_str())) {
  EXPECT_NE(provider_, nullptr) << tag;
}

slipway_fake_memory_counters Device::counters() const {
  slipway_fake_memory_counters counters{};
  control_.get_counters(provider_, &counters);
  return counters;
}

DeviceBytes::DeviceBytes(const Device& device, size_t bytes)
    : device_(device), size_(bytes), data_(static_cast<std::byte*>(device.control().alloc(device.get(), bytes))) {
  EXPECT_NE(data_, nullptr);
}

DeviceBytes::~DeviceBytes() { device_.control().release(device_.get(), data_); }

Bytes DeviceBytes::Look() const {
  const auto* const view = static_cast<const std::byte*>(device_.control().view(device_.get(), data_));
  return Bytes(view, view + size_);
}

void DeviceBytes::Set(const Bytes& bytes) {
  ASSERT_EQ(bytes.size(), size_);
  std::memcpy(device_.control().view(device_.get(), data_), bytes.data(), size_);
}

Copies CopiesOf(const Engine& engine) {
  const Json counters = Described(engine)["counters"];
  return {counters["host_copies"], counters["staged_provider_copies"], counters["direct_provider_copies"]};
}

Copies operator-(const Copies& a, const Copies& b) {
  return {a.host - b.host, a.staged - b.staged, a.direct - b.direct};
}

std::ostream& operator<<(std::ostream& out, const Copies& c) {
  return out << c.host << " by the host, " << c.staged << " staged by a provider, " << c.direct << " direct";
}

Moved MovedBy(const Engine& engine) {
  const Json stats = Described(engine)["transports"][0]["stats"];
  return {stats["slices"], stats["inline_slices"], stats["device_slices"]};
}

void WarmUp(const Engine& engine, const Segment& segment) {
  std::byte byte{};
  ASSERT_TRUE(engine.Read(segment, 0, {&byte, 1}).ok());
}

}  // namespace slipway

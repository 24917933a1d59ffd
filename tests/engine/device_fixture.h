// Engines with the fake memory provider, and memory of its device.
#ifndef SLIPWAY_TESTS_ENGINE_DEVICE_FIXTURE_H_
#define SLIPWAY_TESTS_ENGINE_DEVICE_FIXTURE_H_

#include <span>
#include <string>
#include <vector>

#include "tests/engine/fixture.h"
#include "tests/fixtures/fake_memory_control.h"

namespace slipway {

// A configuration whose engine knows the fake device's memory; `tag` finds the provider.
Json WithDevice(Json configuration, const std::string& tag, Json options = Json::object(),
                const std::string& plugin = "fake-memory");

// The provider with that tag of a living engine.
class Device {
 public:
  explicit Device(const std::string& tag, const std::string& plugin = "fake-memory");
  slipway_provider* get() const { return provider_; }
  const slipway_fake_memory_control& control() const { return control_; }
  slipway_fake_memory_counters counters() const;

 private:
  const slipway_fake_memory_control& control_;
  slipway_provider* const provider_;
};

// Memory of the device, which faults when the CPU touches it. Goes before the engine does.
class DeviceBytes {
 public:
  DeviceBytes(const Device& device, size_t bytes);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  // What the device has there.
  Bytes Look() const;
  void Set(const Bytes& bytes);

 private:
  const Device& device_;
  const size_t size_;
  std::byte* const data_;
};

// How many copies of each sort an engine made between two looks.
struct Copies {
  uint64_t host = 0, staged = 0, direct = 0;
  bool operator==(const Copies&) const = default;
};
Copies CopiesOf(const Engine& engine);
Copies operator-(const Copies& a, const Copies& b);
std::ostream& operator<<(std::ostream& out, const Copies& c);

// What the first transport, local-memcpy, counts of its own.
struct Moved {
  uint64_t slices = 0, at_once = 0, device = 0;
};
Moved MovedBy(const Engine& engine);
// Connects, so that what follows may go direct.
void WarmUp(const Engine& engine, const Segment& segment);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_ENGINE_DEVICE_FIXTURE_H_

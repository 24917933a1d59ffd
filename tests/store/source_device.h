// Memory of a device that values are written from: of the fake provider, or of the cuda provider.
//
// The cuda provider runs with the fake driver; SLIPWAY_TEST_CUDA_LIBRARY=libcuda.so.1 runs the same on a real device.
#ifndef SLIPWAY_TESTS_STORE_SOURCE_DEVICE_H_
#define SLIPWAY_TESTS_STORE_SOURCE_DEVICE_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "slipway/store.hpp"
#include "tests/fixtures/fake_memory_control.h"
#include "tests/support/plugin_driver.h"
#include "tools/conform/test_memory.h"

namespace slipway {

class SourceDevice {
 public:
  // `plugin`: "fake-memory" or "cuda". Null where that was not built or finds no device; `why` says so.
  static std::unique_ptr<SourceDevice> Find(const std::string& plugin, std::string* why);
  ~SourceDevice();
  SourceDevice(const SourceDevice&) = delete;
  SourceDevice& operator=(const SourceDevice&) = delete;

  // Makes the engine of this configuration know the device's memory.
  void AddTo(nlohmann::json* configuration) const;
  // Memory of the device, with these bytes, put there through `store`, whose engine has the device. Freed with this,
  // which goes before that engine. Null: it could not be had.
  std::byte* Allocate(const Store& store, std::string_view bytes);

 private:
  explicit SourceDevice(std::string plugin) : plugin_(std::move(plugin)) {}
  bool is_cuda() const { return plugin_ == "cuda"; }
  nlohmann::json Options() const;

  const std::string plugin_;
  // The fake's memory belongs to the engine's provider, cuda's to the driver, which a provider of our own asks.
  const slipway_fake_memory_control* fake_ = nullptr;
  const slipway_memory_provider* table_ = nullptr;
  test::TestHost host_;
  slipway_provider* provider_ = nullptr;
  std::byte* memory_ = nullptr;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_STORE_SOURCE_DEVICE_H_

#include "tests/store/source_device.h"

#include <cstdlib>
#include <filesystem>

namespace slipway {
namespace {

constexpr const char* kTag = "source-device";

std::string CudaLibrary() {
  const char* const library = std::getenv("SLIPWAY_TEST_CUDA_LIBRARY");
  return library != nullptr ? library
                            : std::string(std::getenv("SLIPWAY_TEST_FIXTURE_DIR")) + "/fake-cuda/libcuda.so.1";
}

}  // namespace

nlohmann::json SourceDevice::Options() const {
  if (is_cuda()) return {{"library", CudaLibrary()}};
  return {{"tag", kTag}};
}

std::unique_ptr<SourceDevice> SourceDevice::Find(const std::string& plugin, std::string* why) {
  const std::string path = plugin == "cuda" ? test::PluginPath(plugin) : test::FixturePath(plugin);
  if (!std::filesystem::exists(path)) {
    *why = path + " was not built";
    return nullptr;
  }
  std::unique_ptr<SourceDevice> device(new SourceDevice(plugin));
  device->table_ = &test::LoadMemoryProvider(path);
  if (!device->is_cuda()) {
    device->fake_ =
        static_cast<const slipway_fake_memory_control*>(device->table_->get_extension(SLIPWAY_FAKE_MEMORY_EXTENSION));
    return device;
  }
  const std::string options = device->Options().dump();
  slipway_error error = test::EmptyError();
  const slipway_status status =
      device->table_->create(device->host_.table(), options.data(), options.size(), &device->provider_, &error);
  if (status == SLIPWAY_OK) return device;
  device->provider_ = nullptr;
  *why = error.message;
  return nullptr;
}

SourceDevice::~SourceDevice() {
  if (fake_ != nullptr && memory_ != nullptr) fake_->release(provider_, memory_);
  if (!is_cuda() || provider_ == nullptr) return;
  static_cast<const slipway_test_memory*>(table_->get_extension(SLIPWAY_TEST_MEMORY_ID))->dealloc(provider_, memory_);
  table_->destroy(provider_);
}

void SourceDevice::AddTo(nlohmann::json* configuration) const {
  (*configuration)["memory_providers"].push_back({{"name", plugin_}, {"required", true}, {"options", Options()}});
}

std::byte* SourceDevice::Allocate(const Store& store, std::string_view bytes) {
  void* memory = nullptr;
  if (is_cuda()) {
    const auto* extension = static_cast<const slipway_test_memory*>(table_->get_extension(SLIPWAY_TEST_MEMORY_ID));
    if (extension->alloc(provider_, bytes.size(), &memory) != SLIPWAY_OK) return nullptr;
  } else {
    provider_ = fake_->find(kTag);
    memory = fake_->alloc(provider_, bytes.size());
  }
  memory_ = static_cast<std::byte*>(memory);
  const std::string key = "for the device";
  const bool filled = store.Put(key, bytes).ok() && store.GetInto(key, memory, bytes.size()).ok();
  return filled && store.Remove(key).ok() ? memory_ : nullptr;
}

}  // namespace slipway

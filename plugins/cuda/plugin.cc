// What the plugin exports.
#include "slipway/sdk/memory_provider_plugin.hpp"

#include "plugins/cuda/config.h"
#include "plugins/cuda/extensions.h"
#include "plugins/cuda/instance.h"

namespace slipway::cuda {
namespace {

struct Cuda : sdk::MemoryProvider {
  static constexpr sdk::ProviderInfo kInfo = {.name = "cuda",
                                              .version = "1.0.0",
                                              .vendor = "Slipway",
                                              .description = "Memory of NVIDIA devices, by the CUDA driver",
                                              .config_schema = kConfigSchema,
                                              .mem_kind = SLIPWAY_MEM_CUDA};
  static constexpr bool kPinsHost = true, kExportsDmabuf = true;

  static slipway_status Probe(sdk::Host, std::string_view json, sdk::Error& err) {
    Config config;
    if (const slipway_status s = ReadConfig(json, config, err); s != SLIPWAY_OK) return s;
    std::shared_ptr<const Driver> driver;
    return Driver::Open(config.library, driver, err);
  }

  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::ProviderInstance>& out,
                               sdk::Error& err) {
    Config config;
    if (const slipway_status s = ReadConfig(json, config, err); s != SLIPWAY_OK) return s;
    std::shared_ptr<const Driver> driver;
    if (const slipway_status s = Driver::Open(config.library, driver, err); s != SLIPWAY_OK) return s;
    auto instance = std::make_unique<CudaInstance>(host, config, std::move(driver));
    if (const slipway_status s = instance->Start(err); s != SLIPWAY_OK) {
      instance->Stop();
      return s;
    }
    out = std::move(instance);
    return SLIPWAY_OK;
  }

  static const void* GetExtension(std::string_view id) { return FindExtension(id); }
};

}  // namespace
}  // namespace slipway::cuda

SLIPWAY_MEMORY_PLUGIN("cuda", "1.0.0", slipway::cuda::Cuda)

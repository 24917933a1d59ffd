// One configured instance of the provider.
#ifndef SLIPWAY_PLUGINS_CUDA_INSTANCE_H_
#define SLIPWAY_PLUGINS_CUDA_INSTANCE_H_

#include <memory>
#include <string>
#include <vector>

#include "plugins/cuda/config.h"
#include "plugins/cuda/copiers.h"
#include "plugins/cuda/device.h"
#include "plugins/cuda/ipc.h"
#include "plugins/cuda/pointers.h"
#include "plugins/cuda/ring.h"
#include "plugins/cuda/stats.h"
#include "slipway/sdk/memory_provider.hpp"

namespace slipway::cuda {

// See sdk::ProviderInstance.
class CudaInstance final : public sdk::ProviderInstance {
 public:
  CudaInstance(sdk::Host host, const Config& config, std::shared_ptr<const Driver> driver);

  // Opens the devices and the ring and starts the threads; Stop() cleans up after a failure.
  slipway_status Start(sdk::Error& err);

  void Stop() noexcept override;
  slipway_status Classify(const void* addr, uint64_t length, slipway_mem_info& out) override;
  slipway_status OpenQueue(void* cookie, std::unique_ptr<sdk::CopyQueue>& out, sdk::Error& err) override;
  slipway_status PinHost(void* addr, uint64_t length, std::unique_ptr<sdk::HostPin>& out, sdk::Error& err) override;
  slipway_status UnpinHost(sdk::HostPin& pin, sdk::Error& err) override;
  slipway_status ExportDmabuf(const void* addr, uint64_t length, int& fd, uint64_t& offset, sdk::Error& err) override;

  const Driver& driver() const { return *driver_; }
  const Config& config() const { return config_; }
  Ring& ring() { return ring_; }
  Copiers& copiers() { return copiers_; }
  IpcHandles& ipc() { return ipc_; }
  const OwnPins& pins() const { return pins_; }
  Counters& counters() { return counters_; }
  int32_t device_count() const { return static_cast<int32_t>(devices_.size()); }
  Device& device(int32_t ordinal) { return *devices_[static_cast<size_t>(ordinal)]; }
  // The device whose context pins host memory.
  Device& home() { return *home_; }

 private:
  const Config config_;
  const std::shared_ptr<const Driver> driver_;
  std::vector<std::unique_ptr<Device>> devices_;  // by ordinal
  Device* home_ = nullptr;
  Counters counters_;
  Ring ring_;
  Copiers copiers_;
  IpcHandles ipc_;
  OwnPins pins_;
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_INSTANCE_H_

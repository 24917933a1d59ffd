// A device: what it can do, and its primary context.
#ifndef SLIPWAY_PLUGINS_CUDA_DEVICE_H_
#define SLIPWAY_PLUGINS_CUDA_DEVICE_H_

#include <atomic>
#include <string>

#include "plugins/cuda/driver.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway::cuda {

// Thread-safe.
class Device {
 public:
  Device(const Driver& driver, int32_t ordinal);
  // Gives back what was retained. No stream, event or pin of the context is left.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Reads the attributes. E_DEVICE where the device is not one to work with.
  slipway_status Open(sdk::Error& err);

  int32_t ordinal() const { return ordinal_; }
  DeviceHandle handle() const { return handle_; }
  const std::string& name() const { return name_; }
  const std::string& bus_id() const { return bus_id_; }  // "0000:01:00.0"
  const Uuid& uuid() const { return uuid_; }
  int32_t numa_node() const { return numa_node_; }  // of the host memory next to it; -1: unknown
  bool exports_dmabuf() const { return exports_dmabuf_; }

  // Whether somebody in the process uses the primary context already, so that retaining it is quick.
  bool Active() const;
  // The primary context, retained when it is first asked for and kept: the one that every user of the CUDA runtime in
  // the process uses. Nothing of it is ever changed. The first call may take a second where nobody used it before.
  slipway_status Use(Context& out, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);
  // NULL before Use().
  Context context() const { return context_.load(std::memory_order_acquire); }

  // The copying kernel; NULL before Use(), or where the driver does not take it.
  Function kernel() const { return kernel_.load(std::memory_order_acquire); }
  // The one for pieces of one length; NULL where kernel() is.
  Function equal_kernel() const { return equal_kernel_.load(std::memory_order_acquire); }
  const std::string& why_no_kernel() const { return why_no_kernel_; }  // after Use()
  int32_t stream_priority() const { return stream_priority_; }         // the most urgent; after Use()

 private:
  void LoadKernel() SLIPWAY_REQUIRES(mutex_);
  int32_t Attribute(int32_t attribute) const;

  const Driver& driver_;
  const int32_t ordinal_;
  DeviceHandle handle_ = 0;
  std::string name_, bus_id_;
  Uuid uuid_{};
  int32_t numa_node_ = -1;
  bool exports_dmabuf_ = false;

  Mutex mutex_;
  std::atomic<Context> context_{nullptr};
  Module module_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  std::atomic<Function> kernel_{nullptr}, equal_kernel_{nullptr};
  std::string why_no_kernel_;
  int32_t stream_priority_ = 0;
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_DEVICE_H_

// Handles by which other processes of the host map this process's device memory, and theirs mapped here.
#ifndef SLIPWAY_PLUGINS_CUDA_IPC_H_
#define SLIPWAY_PLUGINS_CUDA_IPC_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/cuda/device.h"

namespace slipway::cuda {

// Thread-safe.
class IpcHandles {
 public:
  IpcHandles(const Driver& driver, const std::vector<std::unique_ptr<Device>>& devices);
  ~IpcHandles() { CloseAll(); }
  IpcHandles(const IpcHandles&) = delete;
  IpcHandles& operator=(const IpcHandles&) = delete;

  slipway_status Export(const void* addr, uint64_t length, std::string& out, sdk::Error& err);
  slipway_status Open(std::string_view bytes, void*& addr, uint64_t& length, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);
  slipway_status Close(void* addr, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);
  void CloseAll() SLIPWAY_EXCLUDES(mutex_);

 private:
  struct Mapping {
    DeviceAddress base;
    Context context;
  };

  const Driver& driver_;
  const std::vector<std::unique_ptr<Device>>& devices_;  // by ordinal
  const uint64_t process_;                               // tells this process from others
  Mutex mutex_;
  std::multimap<uintptr_t, Mapping> open_ SLIPWAY_GUARDED_BY(mutex_);  // by the address that was given out
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_IPC_H_

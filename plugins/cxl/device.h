// Finding a device by what a person calls it, and what tells it from every other.
#ifndef SLIPWAY_PLUGINS_CXL_DEVICE_H_
#define SLIPWAY_PLUGINS_CXL_DEVICE_H_

#include <array>
#include <cstdint>
#include <string>

#include "plugins/cxl/config.h"
#include "slipway/sdk/error.hpp"

namespace slipway::cxl {

// The same for everyone who sees the same memory, on whichever host.
using Identity = std::array<uint8_t, 16>;
Identity IdentityOf(const std::string& text);

enum class DeviceKind {
  kDevDax,  // a device-DAX node: the memory itself
  kFsDax,   // a file whose pages are the memory's
  kFile,    // an ordinary file: for development, or memory that the system manages
};

struct Device {
  std::string path;  // to open
  DeviceKind kind = DeviceKind::kFile;
  uint64_t bytes = 0;
  uint64_t align = 4096;   // of mappings
  int32_t numa_node = -1;  // that is nearest; -1: unknown
  std::string identity;    // what its Identity is made of; readable
  bool host_only = false;  // the identity means nothing on another host

  // "dax0.0 (CXL serial 0x1234 ...)"; loud where it is no such device.
  std::string Describe() const;
};

// Resolves `window.device`, looks at no more than the names and attributes under `sysfs` ("/sys") and at the file
// itself, and opens nothing. `pointer` is the window's place in the configuration, for errors: E_CONFIG for what cannot
// be meant, E_DEVICE for what is not there or not ready, E_BUSY for what the system uses itself.
slipway_status FindDevice(const WindowConfig& window, Sharing sharing, const std::string& sysfs,
                          const std::string& pointer, Device& out, sdk::Error& err);

// Of this start of this host, from the kernel.
std::string BootId();

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_DEVICE_H_

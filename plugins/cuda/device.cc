#include "plugins/cuda/device.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>

#include "plugins/cuda/kernel.h"

namespace slipway::cuda {
namespace {

// The kernel's word for the node of a PCI device; -1 also where there are no nodes.
int32_t NumaNodeOf(std::string bus_id) {
  std::transform(bus_id.begin(), bus_id.end(), bus_id.begin(), [](unsigned char c) { return std::tolower(c); });
  std::ifstream in("/sys/bus/pci/devices/" + bus_id + "/numa_node");
  int32_t node = -1;
  return in >> node ? node : -1;
}

}  // namespace

Device::Device(const Driver& driver, int32_t ordinal) : driver_(driver), ordinal_(ordinal) {}

Device::~Device() {
  const Context context = context_.load();
  if (context == nullptr) return;
  {
    MutexLock lock(mutex_);
    const ThreadGuard guard(driver_, context);
    if (module_ != nullptr) driver_.ModuleUnload(module_);
  }
  driver_.DevicePrimaryCtxRelease(handle_);
}

int32_t Device::Attribute(int32_t attribute) const {
  int32_t value = 0;
  return driver_.DeviceGetAttribute(&value, attribute, handle_) == kSuccess ? value : 0;
}

slipway_status Device::Open(sdk::Error& err) {
  char text[256] = {};
  if (const Result r = driver_.DeviceGet(&handle_, ordinal_); r != kSuccess) {
    return driver_.Fail(err, r, "cuDeviceGet");
  }
  if (driver_.DeviceGetName(text, sizeof(text) - 1, handle_) == kSuccess) name_ = text;
  if (driver_.DeviceGetPCIBusId(text, sizeof(text) - 1, handle_) == kSuccess) bus_id_ = text;
  driver_.DeviceGetUuid(&uuid_, handle_);
  numa_node_ = bus_id_.empty() ? -1 : NumaNodeOf(bus_id_);
  exports_dmabuf_ = driver_.MemGetHandleForAddressRange != nullptr && Attribute(kDeviceDmabufSupported) != 0;
  if (Attribute(kDeviceUnifiedAddressing) == 0) {
    return err.Fail(SLIPWAY_E_DEVICE, "device " + name_ + " does not share one address space with the host");
  }
  return SLIPWAY_OK;
}

bool Device::Active() const {
  uint32_t flags = 0;
  int32_t active = 0;
  return driver_.DevicePrimaryCtxGetState(handle_, &flags, &active) == kSuccess && active != 0;
}

slipway_status Device::Use(Context& out, sdk::Error& err) {
  out = context();
  if (out != nullptr) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  out = context();
  if (out != nullptr) return SLIPWAY_OK;
  Context context = nullptr;
  if (const Result r = driver_.DevicePrimaryCtxRetain(&context, handle_); r != kSuccess) {
    return driver_.Fail(err, r, "cuDevicePrimaryCtxRetain", "the device may be out of memory, or be used exclusively");
  }
  {
    const ThreadGuard guard(driver_, context);
    int32_t least = 0;
    driver_.CtxGetStreamPriorityRange(&least, &stream_priority_);
    LoadKernel();
  }
  context_.store(context, std::memory_order_release);
  out = context;
  return SLIPWAY_OK;
}

// Without the kernel copies go by other ways, so a refusal is only remembered.
void Device::LoadKernel() {
  Function function = nullptr, equal = nullptr;
  Result r = driver_.ModuleLoadData(&module_, kKernelPtx);
  if (r == kSuccess) r = driver_.ModuleGetFunction(&function, module_, kKernelName);
  if (r == kSuccess) r = driver_.ModuleGetFunction(&equal, module_, kEqualKernelName);
  if (r == kSuccess) {
    equal_kernel_.store(equal, std::memory_order_release);
    kernel_.store(function, std::memory_order_release);
  } else {
    why_no_kernel_ = driver_.Describe(r);
  }
}

}  // namespace slipway::cuda

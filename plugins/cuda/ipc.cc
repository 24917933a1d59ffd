#include "plugins/cuda/ipc.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "plugins/cuda/pointers.h"

namespace slipway::cuda {
namespace {

constexpr uint32_t kMagic = 0x43574c53;  // "SLWC"
constexpr uint32_t kRevision = 1;

// What travels. Both ends are processes of one host, so of one byte order.
struct Wire {
  uint32_t magic, revision;
  uint64_t process;
  Uuid device;
  IpcMemHandle handle;
  uint64_t offset, length;  // within the allocation
};
static_assert(sizeof(Wire) == 112);

uint64_t ProcessMark() {
  std::random_device random;
  return (uint64_t{random()} << 32 | random()) ^ static_cast<uint64_t>(getpid());
}

}  // namespace

IpcHandles::IpcHandles(const Driver& driver, const std::vector<std::unique_ptr<Device>>& devices)
    : driver_(driver), devices_(devices), process_(ProcessMark()) {}

slipway_status IpcHandles::Export(const void* addr, uint64_t length, std::string& out, sdk::Error& err) {
  const auto at = reinterpret_cast<uintptr_t>(addr);
  slipway_mem_info info{};
  ThreadGuard guard(driver_, nullptr);
  if (!ClassifyAddress(driver_, addr, info) || info.base == nullptr || info.device_ordinal < 0 ||
      static_cast<size_t>(info.device_ordinal) >= devices_.size()) {
    return err.Fail(SLIPWAY_E_INVALID, "export_handle: no memory of one device");
  }
  const auto base = reinterpret_cast<uintptr_t>(info.base);
  if (length == 0 || length > info.size - (at - base)) {
    return err.Fail(SLIPWAY_E_RANGE, "export_handle: empty, or beyond the allocation's end");
  }
  Device& device = *devices_[static_cast<size_t>(info.device_ordinal)];
  Context context = nullptr;
  if (const slipway_status s = device.Use(context, err); s != SLIPWAY_OK) return s;
  guard.Use(context);
  Wire wire{kMagic, kRevision, process_, device.uuid(), {}, at - base, length};
  if (const Result r = driver_.IpcGetMemHandle(&wire.handle, base); r != kSuccess) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED,
                    "cuIpcGetMemHandle: " + driver_.Describe(r) +
                        "; only memory of cuMemAlloc or cudaMalloc is shared so, not that of a pool or of cuMemCreate",
                    {}, r);
  }
  out.assign(reinterpret_cast<const char*>(&wire), sizeof(wire));
  return SLIPWAY_OK;
}

slipway_status IpcHandles::Open(std::string_view bytes, void*& addr, uint64_t& length, sdk::Error& err) {
  Wire wire;
  if (bytes.size() != sizeof(wire)) return err.Fail(SLIPWAY_E_PROTOCOL, "open_handle: not a handle, or cut short");
  std::memcpy(&wire, bytes.data(), sizeof(wire));
  if (wire.magic != kMagic || wire.revision != kRevision) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "open_handle: not a handle, or one of another revision");
  }
  if (wire.process == process_) {
    return err.Fail(SLIPWAY_E_INVALID, "open_handle: the memory is this process's own: use its address");
  }
  const auto device = std::find_if(devices_.begin(), devices_.end(), [&](const auto& d) {
    return std::memcmp(&d->uuid(), &wire.device, sizeof(wire.device)) == 0;
  });
  if (device == devices_.end()) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "open_handle: of a device that this process does not see");
  }
  ThreadGuard guard(driver_, nullptr);
  Context context = nullptr;
  if (const slipway_status s = (*device)->Use(context, err); s != SLIPWAY_OK) return s;
  guard.Use(context);
  DeviceAddress base = 0;
  if (const Result r = driver_.IpcOpenMemHandle(&base, wire.handle, kIpcLazyEnablePeerAccess); r != kSuccess) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "cuIpcOpenMemHandle: " + driver_.Describe(r) + "; ask the owner for a new one",
                    {}, r);
  }
  // What the handle says of itself is the peer's word; how much there is, the driver's.
  slipway_mem_info info{};
  const bool known = ClassifyAddress(driver_, reinterpret_cast<void*>(base), info) && info.size != 0;
  if (wire.length == 0 || (known && (wire.offset > info.size || wire.length > info.size - wire.offset))) {
    driver_.IpcCloseMemHandle(base);
    return err.Fail(SLIPWAY_E_PROTOCOL, "open_handle: the range is not within the allocation");
  }
  MutexLock lock(mutex_);
  open_.emplace(base + wire.offset, Mapping{base, context});
  addr = reinterpret_cast<void*>(base + wire.offset);
  length = wire.length;
  return SLIPWAY_OK;
}

slipway_status IpcHandles::Close(void* addr, sdk::Error& err) {
  Mapping mapping;
  {
    MutexLock lock(mutex_);
    const auto it = open_.find(reinterpret_cast<uintptr_t>(addr));
    if (it == open_.end()) return err.Fail(SLIPWAY_E_INVALID, "close_handle: no such handle is open");
    mapping = it->second;
    open_.erase(it);
  }
  const ThreadGuard guard(driver_, mapping.context);
  const Result r = driver_.IpcCloseMemHandle(mapping.base);
  return r == kSuccess ? SLIPWAY_OK : driver_.Fail(err, r, "cuIpcCloseMemHandle");
}

void IpcHandles::CloseAll() {
  MutexLock lock(mutex_);
  for (const auto& [addr, mapping] : open_) {
    const ThreadGuard guard(driver_, mapping.context);
    driver_.IpcCloseMemHandle(mapping.base);
  }
  open_.clear();
}

}  // namespace slipway::cuda

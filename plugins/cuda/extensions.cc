#include "plugins/cuda/extensions.h"

#include "plugins/cuda/instance.h"
#include "plugins/cuda/queue.h"
#include "slipway/sdk/memory_provider_extensions.hpp"
#include "slipway/sdk/memory_provider_plugin.hpp"

namespace slipway::cuda {
namespace {

CudaInstance& Of(slipway_provider* p) { return static_cast<CudaInstance&>(*sdk::AsProvider(p)); }

// ---- order -------------------------------------------------------------------------------------------------------

slipway_status After(slipway_copy_queue* queue, void* stream, slipway_error* error) {
  if (queue == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "after: the queue is NULL");
  return sdk::Guarded(error, [&] {
    sdk::Error err(error);
    return static_cast<CudaQueue&>(*sdk::AsCopyQueue(queue)).After(static_cast<Stream>(stream), err);
  });
}

// ---- reading ahead -----------------------------------------------------------------------------------------------

uint32_t ReadAhead(slipway_copy_queue* queue, const slipway_copy* pieces, uint32_t stride, uint32_t n) {
  if (queue == nullptr || pieces == nullptr || n == 0 || stride < sizeof(slipway_copy)) return 0;
  uint32_t taken = 0;
  (void)sdk::Guarded(nullptr, [&] {
    taken = static_cast<CudaQueue&>(*sdk::AsCopyQueue(queue)).ReadAhead(sdk::Copies(pieces, stride, n));
    return SLIPWAY_OK;
  });
  return taken;
}

uint32_t DropAhead(slipway_copy_queue* queue) {
  return queue != nullptr && static_cast<CudaQueue&>(*sdk::AsCopyQueue(queue)).DropAhead() ? 1 : 0;
}

// ---- handles -----------------------------------------------------------------------------------------------------

slipway_status ExportHandle(slipway_provider* p, const void* addr, uint64_t length, void* buf, size_t* len,
                            slipway_error* error) {
  if (p == nullptr || addr == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "export_handle: a NULL argument");
  return sdk::Guarded(error, [&]() -> slipway_status {
    sdk::Error err(error);
    std::string bytes;
    if (const slipway_status s = Of(p).ipc().Export(addr, length, bytes, err); s != SLIPWAY_OK) return s;
    const slipway_status s = sdk::CopyOut(bytes, buf, len);
    return s == SLIPWAY_OK ? s : err.Fail(s, "export_handle: NULL or too small; the length says what is needed");
  });
}

slipway_status OpenHandle(slipway_provider* p, const void* buf, size_t len, void** addr, uint64_t* length,
                          slipway_error* error) {
  if (p == nullptr || buf == nullptr || addr == nullptr || length == nullptr) {
    return sdk::Fail(error, SLIPWAY_E_INVALID, "open_handle: a NULL argument");
  }
  return sdk::Guarded(error, [&] {
    sdk::Error err(error);
    return Of(p).ipc().Open(std::string_view(static_cast<const char*>(buf), len), *addr, *length, err);
  });
}

slipway_status CloseHandle(slipway_provider* p, void* addr, slipway_error* error) {
  if (p == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "close_handle: the provider is NULL");
  return sdk::Guarded(error, [&] {
    sdk::Error err(error);
    return Of(p).ipc().Close(addr, err);
  });
}

// ---- devices -----------------------------------------------------------------------------------------------------

uint32_t DeviceCount(slipway_provider* p) { return p == nullptr ? 0 : static_cast<uint32_t>(Of(p).device_count()); }

slipway_status Describe(slipway_provider* p, uint32_t ordinal, sdk::MemoryDevice* out) {
  if (out == nullptr || ordinal >= DeviceCount(p)) return SLIPWAY_E_INVALID;
  const Device& device = Of(p).device(static_cast<int32_t>(ordinal));
  sdk::MemoryDevice full{};
  full.numa_node = device.numa_node();
  sdk::detail::CopyText(full.name, sizeof(full.name), device.name());
  sdk::detail::CopyText(full.bus_id, sizeof(full.bus_id), device.bus_id());
  return sdk::CopyToCaller(out, full) ? SLIPWAY_OK : SLIPWAY_E_INVALID;
}

slipway_status CanReach(slipway_provider* p, uint32_t from, uint32_t to, uint32_t* can) {
  if (can == nullptr || from >= DeviceCount(p) || to >= DeviceCount(p)) return SLIPWAY_E_INVALID;
  int32_t reaches = 1;
  if (from != to) {
    const Driver& driver = Of(p).driver();
    const ThreadGuard guard(driver, nullptr);
    const Result r = driver.DeviceCanAccessPeer(&reaches, Of(p).device(static_cast<int32_t>(from)).handle(),
                                                Of(p).device(static_cast<int32_t>(to)).handle());
    if (r != kSuccess) return Driver::StatusOf(r);
  }
  *can = reaches != 0 ? 1 : 0;
  return SLIPWAY_OK;
}

// ---- counters ----------------------------------------------------------------------------------------------------

slipway_status StatsJson(slipway_provider* p, char* buf, size_t* len) {
  if (p == nullptr) return SLIPWAY_E_INVALID;
  return sdk::Guarded(nullptr, [&] { return sdk::CopyOut(Of(p).counters().Json(), buf, len); });
}

// ---- for tests ---------------------------------------------------------------------------------------------------
// "slipway.test.memory/1", as conformance tests of memory providers ask for it. The ABI has no way to allocate a
// device's memory, because a core never does. A copy of the table's layout, since a plugin includes the SDK alone.

struct TestMemory {
  uint32_t struct_size;
  uint32_t reserved0;
  slipway_status (*alloc)(slipway_provider*, uint64_t bytes, void** out);
  void (*dealloc)(slipway_provider*, void*);
  uint64_t (*thread_state)(slipway_provider*);
  void (*disturb)(slipway_provider*);
};

slipway_status TestAlloc(slipway_provider* p, uint64_t bytes, void** out) {
  const Driver& driver = Of(p).driver();
  const ThreadGuard guard(driver, Of(p).home().context());
  DeviceAddress at = 0;
  const Result r = driver.MemAlloc(&at, bytes);
  if (r == kSuccess) *out = reinterpret_cast<void*>(at);
  return Driver::StatusOf(r);
}

void TestDealloc(slipway_provider* p, void* at) {
  if (at == nullptr) return;
  const ThreadGuard guard(Of(p).driver(), Of(p).home().context());
  Of(p).driver().MemFree(reinterpret_cast<uintptr_t>(at));
}

// The driver keeps no last error of a thread; what a thread has of it is its context and its mode of capture.
uint64_t TestThreadState(slipway_provider* p) {
  const Driver& driver = Of(p).driver();
  Context context = nullptr;
  driver.CtxGetCurrent(&context);
  int32_t mode = kCaptureModeRelaxed;
  driver.ThreadExchangeStreamCaptureMode(&mode);
  const int32_t found = mode;
  driver.ThreadExchangeStreamCaptureMode(&mode);
  return reinterpret_cast<uintptr_t>(context) * 4 + static_cast<uint64_t>(found);
}

// Turns between no context and each device's, and between the modes of capture.
void TestDisturb(slipway_provider* p) {
  static thread_local uint32_t turn = 0;
  CudaInstance& instance = Of(p);
  const auto choices = static_cast<uint32_t>(instance.device_count()) + 1;
  const uint32_t choice = turn++ % choices;
  Context context = nullptr;
  if (choice > 0) {
    sdk::Error none(nullptr);
    const ThreadGuard guard(instance.driver(), nullptr);
    instance.device(static_cast<int32_t>(choice) - 1).Use(context, none);
  }
  instance.driver().CtxSetCurrent(context);
  int32_t mode = turn / choices % 2 == 0 ? kCaptureModeThreadLocal : kCaptureModeGlobal;
  instance.driver().ThreadExchangeStreamCaptureMode(&mode);
}

constexpr sdk::MemoryOrder kOrder = {sizeof(sdk::MemoryOrder), 0, After};
constexpr sdk::MemoryAhead kAhead = {sizeof(sdk::MemoryAhead), 0, ReadAhead, DropAhead};
constexpr sdk::MemoryIpc kIpc = {sizeof(sdk::MemoryIpc), 0, ExportHandle, OpenHandle, CloseHandle};
constexpr sdk::MemoryDevices kDevices = {sizeof(sdk::MemoryDevices), 0, DeviceCount, Describe, CanReach};
constexpr sdk::MemoryStats kStats = {sizeof(sdk::MemoryStats), 0, StatsJson};
constexpr TestMemory kTestMemory = {sizeof(TestMemory), 0, TestAlloc, TestDealloc, TestThreadState, TestDisturb};

}  // namespace

const void* FindExtension(std::string_view id) {
  if (id == SLIPWAY_MEMORY_GROUP_ID) return &sdk::kGroupTable;
  if (id == sdk::kMemoryOrderId) return &kOrder;
  if (id == sdk::kMemoryAheadId) return &kAhead;
  if (id == sdk::kMemoryIpcId) return &kIpc;
  if (id == sdk::kMemoryDevicesId) return &kDevices;
  if (id == sdk::kMemoryStatsId) return &kStats;
  if (id == "slipway.test.memory/1") return &kTestMemory;
  return nullptr;
}

}  // namespace slipway::cuda

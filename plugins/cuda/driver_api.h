// The part of the CUDA driver API that this plugin calls, declared here.
//
// Source: the CUDA Driver API reference (https://docs.nvidia.com/cuda/cuda-driver-api/), from which the names, the
// values and the parameter lists are taken.
//
// Rationale: the driver's binary interface is stable, and only its header comes with a toolkit of gigabytes. Declaring
// what is used lets the plugin build everywhere, and says which revision of each entry is called: cuda.h renames
// entries by macro (cuMemAlloc means cuMemAlloc_v2), so that the same source calls other entries with another header.
#ifndef SLIPWAY_PLUGINS_CUDA_DRIVER_API_H_
#define SLIPWAY_PLUGINS_CUDA_DRIVER_API_H_

#include <cstddef>
#include <cstdint>

namespace slipway::cuda {

using Result = int32_t;  // CUresult
using DeviceHandle = int32_t;
using DeviceAddress = unsigned long long;
using Context = struct ContextTag*;
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using Module = struct ModuleTag*;
using Function = struct FunctionTag*;

// CUresult, as far as this plugin tells them apart.
enum : Result {
  kSuccess = 0,
  kErrorInvalidValue = 1,
  kErrorOutOfMemory = 2,
  kErrorNotInitialized = 3,
  kErrorDeinitialized = 4,
  kErrorStubLibrary = 34,
  kErrorNoDevice = 100,
  kErrorInvalidContext = 201,
  kErrorOperatingSystem = 304,
  kErrorInvalidHandle = 400,
  kErrorNotFound = 500,
  kErrorNotReady = 600,
  kErrorIllegalAddress = 700,
  kErrorPeerAccessAlreadyEnabled = 704,
  kErrorHostMemoryAlreadyRegistered = 712,
  kErrorHostMemoryNotRegistered = 713,
  kErrorNotPermitted = 800,
  kErrorNotSupported = 801,
  kErrorSystemDriverMismatch = 803,
  kErrorUnknown = 999,
};

// CUdevice_attribute.
enum : int32_t {
  kDeviceMultiprocessorCount = 16,
  kDeviceUnifiedAddressing = 41,
  kDeviceHostRegisterSupported = 99,
  kDeviceDmabufSupported = 124,
};

// CUpointer_attribute.
enum : int32_t {
  kPointerContext = 1,
  kPointerMemoryType = 2,
  kPointerDevicePointer = 3,
  kPointerBufferId = 7,
  kPointerIsManaged = 8,
  kPointerDeviceOrdinal = 9,
  kPointerIsLegacyIpcCapable = 10,
  kPointerRangeStart = 11,
  kPointerRangeSize = 12,
  kPointerAccessFlags = 16,
  kPointerMempoolHandle = 17,
  kPointerMappingSize = 18,
  kPointerMappingBase = 19,
};
inline constexpr uint32_t kAccessReadWrite = 3;  // CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE

// CUmemorytype. 0: no memory that the driver knows.
enum : uint32_t { kMemoryHost = 1, kMemoryDevice = 2 };

// CUstreamCaptureMode and CUstreamCaptureStatus.
enum : int32_t { kCaptureModeGlobal = 0, kCaptureModeThreadLocal = 1, kCaptureModeRelaxed = 2 };
enum : int32_t { kCaptureStatusNone = 0 };

inline constexpr uint32_t kStreamNonBlocking = 1;
inline constexpr uint32_t kEventDisableTiming = 2;
inline constexpr uint32_t kHostRegisterPortable = 1;   // pinned for every context
inline constexpr uint32_t kHostRegisterDevicemap = 2;  // kernels may reach it
inline constexpr uint32_t kIpcLazyEnablePeerAccess = 1;
inline constexpr int32_t kRangeHandleDmabuf = 1;
inline constexpr int32_t kSourceOrderStream = 1;  // CU_MEMCPY_SRC_ACCESS_ORDER_STREAM

struct Uuid {
  char bytes[16];
};
struct IpcMemHandle {
  char reserved[64];
};
struct MemLocation {
  int32_t type, id;
};
struct MemcpyAttributes {
  int32_t source_access_order;
  MemLocation source_hint, destination_hint;
  uint32_t flags;
};

// X(member, "exported name", (parameters)): what must be there.
#define SLIPWAY_CUDA_REQUIRED_ENTRIES(X)                                                                        \
  X(Init, "cuInit", (uint32_t flags))                                                                           \
  X(DriverGetVersion, "cuDriverGetVersion", (int32_t * version))                                                \
  X(GetErrorName, "cuGetErrorName", (Result, const char** name))                                                \
  X(GetErrorString, "cuGetErrorString", (Result, const char** text))                                            \
  X(DeviceGetCount, "cuDeviceGetCount", (int32_t * count))                                                      \
  X(DeviceGet, "cuDeviceGet", (DeviceHandle*, int32_t ordinal))                                                 \
  X(DeviceGetName, "cuDeviceGetName", (char* name, int32_t size, DeviceHandle))                                 \
  X(DeviceGetUuid, "cuDeviceGetUuid", (Uuid*, DeviceHandle))                                                    \
  X(DeviceGetPCIBusId, "cuDeviceGetPCIBusId", (char* id, int32_t size, DeviceHandle))                           \
  X(DeviceGetAttribute, "cuDeviceGetAttribute", (int32_t * value, int32_t attribute, DeviceHandle))             \
  X(DeviceCanAccessPeer, "cuDeviceCanAccessPeer", (int32_t * can, DeviceHandle, DeviceHandle peer))             \
  X(DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (Context*, DeviceHandle))                               \
  X(DevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (DeviceHandle))                                    \
  X(DevicePrimaryCtxGetState, "cuDevicePrimaryCtxGetState", (DeviceHandle, uint32_t * flags, int32_t * active)) \
  X(CtxGetCurrent, "cuCtxGetCurrent", (Context*))                                                               \
  X(CtxSetCurrent, "cuCtxSetCurrent", (Context))                                                                \
  X(CtxPushCurrent, "cuCtxPushCurrent_v2", (Context))                                                           \
  X(CtxPopCurrent, "cuCtxPopCurrent_v2", (Context*))                                                            \
  X(CtxGetStreamPriorityRange, "cuCtxGetStreamPriorityRange", (int32_t * least, int32_t * greatest))            \
  X(ThreadExchangeStreamCaptureMode, "cuThreadExchangeStreamCaptureMode", (int32_t * mode))                     \
  X(PointerGetAttributes, "cuPointerGetAttributes",                                                             \
    (uint32_t count, int32_t * attributes, void** values, DeviceAddress))                                       \
  X(MemAlloc, "cuMemAlloc_v2", (DeviceAddress*, size_t bytes))                                                  \
  X(MemFree, "cuMemFree_v2", (DeviceAddress))                                                                   \
  X(MemHostRegister, "cuMemHostRegister_v2", (void*, size_t bytes, uint32_t flags))                             \
  X(MemHostUnregister, "cuMemHostUnregister", (void*))                                                          \
  X(MemcpyAsync, "cuMemcpyAsync", (DeviceAddress dst, DeviceAddress src, size_t bytes, Stream))                 \
  X(StreamCreateWithPriority, "cuStreamCreateWithPriority", (Stream*, uint32_t flags, int32_t priority))        \
  X(StreamDestroy, "cuStreamDestroy_v2", (Stream))                                                              \
  X(StreamWaitEvent, "cuStreamWaitEvent", (Stream, Event, uint32_t flags))                                      \
  X(StreamGetCtx, "cuStreamGetCtx", (Stream, Context*))                                                         \
  X(StreamIsCapturing, "cuStreamIsCapturing", (Stream, int32_t * status))                                       \
  X(StreamSynchronize, "cuStreamSynchronize", (Stream))                                                         \
  X(EventCreate, "cuEventCreate", (Event*, uint32_t flags))                                                     \
  X(EventDestroy, "cuEventDestroy_v2", (Event))                                                                 \
  X(EventRecord, "cuEventRecord", (Event, Stream))                                                              \
  X(EventQuery, "cuEventQuery", (Event))                                                                        \
  X(ModuleLoadData, "cuModuleLoadData", (Module*, const void* image))                                           \
  X(ModuleUnload, "cuModuleUnload", (Module))                                                                   \
  X(ModuleGetFunction, "cuModuleGetFunction", (Function*, Module, const char* name))                            \
  X(LaunchKernel, "cuLaunchKernel",                                                                             \
    (Function, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z, uint32_t block_x, uint32_t block_y,           \
     uint32_t block_z, uint32_t shared_bytes, Stream, void** params, void** extra))                             \
  X(IpcGetMemHandle, "cuIpcGetMemHandle", (IpcMemHandle*, DeviceAddress))                                       \
  X(IpcOpenMemHandle, "cuIpcOpenMemHandle_v2", (DeviceAddress*, IpcMemHandle, uint32_t flags))                  \
  X(IpcCloseMemHandle, "cuIpcCloseMemHandle", (DeviceAddress))

// What newer drivers have; NULL where they do not. MemcpyBatchAsync is the revision of CUDA 12.8, MemcpyBatchAsync2
// that of CUDA 13.
#define SLIPWAY_CUDA_OPTIONAL_ENTRIES(X)                                                                    \
  X(MemcpyBatchAsync, "cuMemcpyBatchAsync",                                                                 \
    (DeviceAddress * dst, DeviceAddress * src, size_t * bytes, size_t count, MemcpyAttributes*,             \
     size_t * attribute_starts, size_t attribute_count, size_t * failed, Stream))                           \
  X(MemcpyBatchAsync2, "cuMemcpyBatchAsync_v2",                                                             \
    (DeviceAddress * dst, DeviceAddress * src, size_t * bytes, size_t count, MemcpyAttributes*,             \
     size_t * attribute_starts, size_t attribute_count, Stream))                                            \
  X(StreamWriteValue32, "cuStreamWriteValue32_v2", (Stream, DeviceAddress, uint32_t value, uint32_t flags)) \
  X(MemGetHandleForAddressRange, "cuMemGetHandleForAddressRange",                                           \
    (void* handle, DeviceAddress, size_t bytes, int32_t type, unsigned long long flags))

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_DRIVER_API_H_

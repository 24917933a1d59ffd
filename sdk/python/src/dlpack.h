// The structures of DLPack (https://dmlc.github.io/dlpack/latest/c_api.html, revisions 0.x and 1.0): how array
// libraries of Python hand tensors to each other inside a process. Laid out as that page says; names are ours.
#ifndef SLIPWAY_SDK_PYTHON_SRC_DLPACK_H_
#define SLIPWAY_SDK_PYTHON_SRC_DLPACK_H_

#include <cstdint>

namespace slipway::python::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };

struct Device {
  int32_t type;  // DeviceType
  int32_t id;
};

enum TypeCode : uint8_t {
  kInt = 0,
  kUInt = 1,
  kFloat = 2,
  kBfloat = 4,
  kComplex = 5,
  kBool = 6,
  kFloat8E4M3Fn = 10,
  kFloat8E5M2 = 12,
  kFloat8E8M0Fnu = 14,
};

struct DataType {
  uint8_t code;  // TypeCode
  uint8_t bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: contiguous, the last dimension fastest
  uint64_t byte_offset;
};

// What a capsule named "dltensor" holds.
struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};

constexpr uint64_t kReadOnly = 1;

// What a capsule named "dltensor_versioned" holds.
struct ManagedVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  Tensor tensor;
};

constexpr char kName[] = "dltensor", kUsedName[] = "used_dltensor";
constexpr char kVersionedName[] = "dltensor_versioned", kUsedVersionedName[] = "used_dltensor_versioned";

}  // namespace slipway::python::dlpack

#endif  // SLIPWAY_SDK_PYTHON_SRC_DLPACK_H_

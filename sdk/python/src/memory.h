// The memory behind a Python object, used in place: anything with the buffer protocol, NumPy's array interface or
// DLPack.
#ifndef SLIPWAY_SDK_PYTHON_SRC_MEMORY_H_
#define SLIPWAY_SDK_PYTHON_SRC_MEMORY_H_

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "dlpack.h"

namespace slipway::python {

// Move-only. While it lives, so does the memory; made and destroyed with the interpreter's lock held.
class Memory {
 public:
  // Raises TypeError for an object that has none of the protocols, and ValueError, saying which, for one whose memory
  // cannot be used as it is: read-only where `writable`, a type without a name here, another machine's byte order.
  static Memory Of(pybind11::handle object, bool writable);

  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept;
  ~Memory() { Release(); }

  void* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }                         // of all elements, without gaps
  const std::string& dtype() const { return dtype_; }               // as safetensors writes it: "F32", "BF16", ...
  const std::vector<int64_t>& shape() const { return shape_; }      // empty: a scalar
  const std::vector<int64_t>& strides() const { return strides_; }  // bytes, one a dimension
  dlpack::Device device() const { return device_; }
  // Elements lie one after another, the last dimension fastest: the memory can be taken as a run of bytes().
  bool contiguous() const;
  // Raises ValueError unless contiguous(); `what` is the argument's name.
  const Memory& RequireContiguous(const char* what) const;

 private:
  Memory() = default;
  bool TakeBuffer(pybind11::handle object, bool writable);
  bool TakeArrayInterface(pybind11::handle object, bool writable);
  bool TakeDlpack(pybind11::handle object, bool writable);
  void TakeTensor(const dlpack::Tensor& tensor);
  void Finish(uint64_t item_bytes);
  void Release();

  void* data_ = nullptr;
  uint64_t bytes_ = 0;
  std::string dtype_;
  std::vector<int64_t> shape_, strides_;
  dlpack::Device device_ = {dlpack::kCpu, 0};
  // What holds it, one of these.
  Py_buffer view_ = {};
  pybind11::object owner_;
};

// Bytes of one element; 0 for a name that is none.
uint64_t DtypeBytes(const std::string& dtype);
// "F32" for (kFloat, 32, 1); empty where there is no name.
std::string DtypeOf(const dlpack::DataType& type);
// The other way; lanes is 0 where DLPack has no such type.
dlpack::DataType DlpackTypeOf(const std::string& dtype);
// What NumPy, or ml_dtypes where NumPy has no such type, calls each: {"F32": "float32", "BF16": "bfloat16", ...}.
pybind11::dict NumpyNames();
// "F32" for the type string "<f4" of NumPy's array interface, or for the type's name where the string says nothing
// (bfloat16 and the 8-bit floats of ml_dtypes); empty where there is no name.
std::string DtypeOfNumpy(const std::string& typestr, const std::string& name);

}  // namespace slipway::python

#endif  // SLIPWAY_SDK_PYTHON_SRC_MEMORY_H_

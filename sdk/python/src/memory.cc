#include "memory.h"

#include <pybind11/stl.h>

#include <utility>

namespace slipway::python {
namespace {

namespace py = pybind11;

// A buffer's format, as the struct module writes it, and the bytes of an item, to a type string of NumPy's.
std::string TypestrOf(const char* format, Py_ssize_t item_bytes) {
  std::string text = format == nullptr ? "B" : format;
  if (!text.empty() && (text[0] == '@' || text[0] == '=' || text[0] == '<')) text.erase(0, 1);
  const std::string bytes = std::to_string(item_bytes);
  if (text == "?") return "|b1";
  if (text == "Zf" || text == "Zd") return "<c" + bytes;
  if (text.size() != 1) return {};
  if (std::string("bhilqn").find(text) != std::string::npos) return "<i" + bytes;
  if (std::string("BHILQNc").find(text) != std::string::npos) return "<u" + bytes;
  if (std::string("efd").find(text) != std::string::npos) return "<f" + bytes;
  return {};
}

[[noreturn]] void NoSuchType(const std::string& type) {
  throw py::value_error("elements of type " + type +
                        " cannot be stored; convert them to one of bool, the integers of 8 to 64 bits, float16, "
                        "bfloat16, float32, float64, complex64 or an 8-bit float");
}

std::vector<int64_t> RowMajor(const std::vector<int64_t>& shape, int64_t item_bytes) {
  std::vector<int64_t> strides(shape.size());
  for (size_t i = shape.size(); i-- > 0; item_bytes *= shape[i]) strides[i] = item_bytes;
  return strides;
}

[[noreturn]] void ReadOnly() { throw py::value_error("the memory is read-only; give one that can be written"); }

}  // namespace

Memory& Memory::operator=(Memory&& other) noexcept {
  if (this == &other) return *this;
  Release();
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  dtype_ = std::move(other.dtype_);
  shape_ = std::move(other.shape_);
  strides_ = std::move(other.strides_);
  device_ = other.device_;
  view_ = std::exchange(other.view_, Py_buffer{});
  owner_ = std::move(other.owner_);
  return *this;
}

void Memory::Release() {
  if (view_.obj != nullptr) PyBuffer_Release(&view_);
  owner_ = py::object();
}

Memory Memory::Of(py::handle object, bool writable) {
  Memory memory;
  if (memory.TakeBuffer(object, writable) || memory.TakeArrayInterface(object, writable) ||
      memory.TakeDlpack(object, writable))
    return memory;
  throw py::type_error("expected an object with the buffer protocol or __dlpack__, got " +
                       py::str(py::type::handle_of(object)).cast<std::string>());
}

bool Memory::TakeBuffer(py::handle object, bool writable) {
  if (!PyObject_CheckBuffer(object.ptr())) return false;
  if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
    // NumPy has arrays that it cannot describe so (bfloat16): the array interface can.
    PyErr_Clear();
    view_ = Py_buffer{};
    return false;
  }
  if (writable && view_.readonly) ReadOnly();
  dtype_ = DtypeOfNumpy(TypestrOf(view_.format, view_.itemsize), "");
  if (dtype_.empty()) {
    if (py::hasattr(object, "__array_interface__")) {
      PyBuffer_Release(&view_);
      view_ = Py_buffer{};
      return false;
    }
    NoSuchType(view_.format == nullptr ? "?" : view_.format);
  }
  data_ = view_.buf;
  shape_.assign(view_.shape, view_.shape + view_.ndim);
  if (view_.strides != nullptr) {
    strides_.assign(view_.strides, view_.strides + view_.ndim);
  } else {  // ctypes leaves them out also where they were asked for
    strides_ = RowMajor(shape_, view_.itemsize);
  }
  Finish(static_cast<uint64_t>(view_.itemsize));
  return true;
}

bool Memory::TakeArrayInterface(py::handle object, bool writable) {
  if (!py::hasattr(object, "__array_interface__")) return false;
  const auto fields = object.attr("__array_interface__").cast<py::dict>();
  std::string name;
  if (py::hasattr(object, "dtype")) name = py::str(object.attr("dtype")).cast<std::string>();
  const auto typestr = fields["typestr"].cast<std::string>();
  dtype_ = DtypeOfNumpy(typestr, name);
  if (dtype_.empty()) NoSuchType(name.empty() ? typestr : name);
  const auto place = fields["data"].cast<py::tuple>();
  if (writable && place[1].cast<bool>()) ReadOnly();
  data_ = reinterpret_cast<void*>(place[0].cast<uintptr_t>());
  shape_ = fields["shape"].cast<std::vector<int64_t>>();
  const uint64_t item_bytes = DtypeBytes(dtype_);
  if (fields.contains("strides") && !fields["strides"].is_none()) {
    strides_ = fields["strides"].cast<std::vector<int64_t>>();
  } else {
    strides_ = RowMajor(shape_, static_cast<int64_t>(item_bytes));
  }
  owner_ = py::reinterpret_borrow<py::object>(object);
  Finish(item_bytes);
  return true;
}

bool Memory::TakeDlpack(py::handle object, bool writable) {
  if (!py::hasattr(object, "__dlpack__")) return false;
  py::dict named;
  if (py::hasattr(object, "__dlpack_device__")) {
    const auto device = object.attr("__dlpack_device__")().cast<py::tuple>();
    // 1 is the legacy default stream; the store has its copies come after what that holds.
    if (device[0].cast<int>() == dlpack::kCuda) named["stream"] = 1;
  }
  py::object capsule;
  try {
    capsule = object.attr("__dlpack__")(**named, py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;  // knows no versions
    capsule = object.attr("__dlpack__")(**named);
  }
  if (PyCapsule_IsValid(capsule.ptr(), dlpack::kVersionedName)) {
    auto* managed = static_cast<dlpack::ManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), dlpack::kVersionedName));
    if (managed->major != 1) throw py::value_error("speaks another DLPack than version 1");
    if (writable && (managed->flags & dlpack::kReadOnly) != 0) ReadOnly();
    TakeTensor(managed->tensor);
  } else if (PyCapsule_IsValid(capsule.ptr(), dlpack::kName)) {
    TakeTensor(static_cast<dlpack::Managed*>(PyCapsule_GetPointer(capsule.ptr(), dlpack::kName))->tensor);
  } else {
    throw py::value_error("__dlpack__ gave something that is no unused DLPack capsule");
  }
  // A capsule that was not renamed deletes its tensor when it goes, which is when this does.
  owner_ = std::move(capsule);
  return true;
}

void Memory::TakeTensor(const dlpack::Tensor& tensor) {
  dtype_ = DtypeOf(tensor.dtype);
  if (dtype_.empty())
    NoSuchType("(DLPack) code " + std::to_string(tensor.dtype.code) + ", " + std::to_string(tensor.dtype.bits) +
               " bits, " + std::to_string(tensor.dtype.lanes) + " lanes");
  const auto item_bytes = static_cast<int64_t>(DtypeBytes(dtype_));
  device_ = tensor.device;
  data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
  shape_.assign(tensor.shape, tensor.shape + tensor.ndim);
  strides_ = RowMajor(shape_, item_bytes);
  for (size_t i = 0; tensor.strides != nullptr && i < strides_.size(); ++i)
    strides_[i] = tensor.strides[i] * item_bytes;
  Finish(static_cast<uint64_t>(item_bytes));
}

void Memory::Finish(uint64_t item_bytes) {
  bytes_ = item_bytes;
  for (const int64_t extent : shape_) {
    if (extent < 0 || __builtin_mul_overflow(bytes_, static_cast<uint64_t>(extent), &bytes_))
      throw py::value_error("a shape that no memory can have");
  }
}

bool Memory::contiguous() const {
  if (bytes_ == 0) return true;
  int64_t step = static_cast<int64_t>(DtypeBytes(dtype_));
  for (size_t i = shape_.size(); i-- > 0; step *= shape_[i])
    if (shape_[i] != 1 && strides_[i] != step) return false;
  return true;
}

const Memory& Memory::RequireContiguous(const char* what) const {
  if (!contiguous())
    throw py::value_error(std::string(what) + " is not contiguous; its elements must lie one after another");
  return *this;
}

}  // namespace slipway::python

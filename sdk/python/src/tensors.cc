// Store: tensors, from and to whatever speaks DLPack.
#include <pybind11/stl.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "store_handle.h"

namespace slipway::python {
namespace {

namespace py = pybind11;
using ReleaseLock = py::gil_scoped_release;
using PutOne = decltype(&slipway_store_put_tensor);
using PutMany = decltype(&slipway_store_put_tensor_batch);

constexpr uint64_t kAlignBytes = 64;  // what the array libraries ask for

// A tensor in host memory: a copy of its own, or the stored bytes. Constant once made.
struct TensorValue {
  std::string dtype;
  std::vector<int64_t> shape, strides;  // strides in elements
  void* data = nullptr;
  uint64_t bytes = 0;
  std::shared_ptr<void> owner;
  bool read_only = false;
};

std::vector<int64_t> RowMajor(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0; step *= shape[i]) strides[i] = step;
  return strides;
}

TensorValue Describe(const slipway_tensor_info& info) {
  TensorValue value;
  value.dtype = slipway_dtype_name(info.dtype);
  value.shape.assign(info.shape, info.shape + info.rank);
  value.strides = RowMajor(value.shape);
  value.bytes = info.data_length;
  return value;
}

void GiveMemory(TensorValue* value) {
  const uint64_t rounded = (value->bytes / kAlignBytes + 1) * kAlignBytes;
  value->data = std::aligned_alloc(kAlignBytes, rounded);
  if (value->data == nullptr) throw std::bad_alloc();
  value->owner = std::shared_ptr<void>(value->data, &std::free);
}

slipway_tensor RawOf(const TensorValue& value) {
  slipway_tensor raw{};
  raw.data = value.data;
  raw.shape = value.shape.data();
  raw.rank = static_cast<uint32_t>(value.shape.size());
  raw.dtype = slipway_dtype_from_name(value.dtype.c_str());
  return raw;
}

slipway_tensor_info EmptyInfo() {
  slipway_tensor_info info{};
  info.struct_size = sizeof(info);
  return info;
}

// The elements once, from where they are stored into memory of the tensor's own.
TensorValue GetCopy(const StoreHandle& self, const slipway_store_key& key, const ReadOptions& options) {
  slipway_store* store = self.open();
  const ReleaseLock unlocked;
  constexpr int kTries = 8;  // another writer may put another shape in its place between the two calls
  for (int attempt = 0;; ++attempt) {
    slipway_tensor_info info = EmptyInfo();
    Report report;
    report.Check(slipway_store_tensor_info(store, key.key, key.key_length, options.get(), &info, report.get()));
    TensorValue value = Describe(info);
    GiveMemory(&value);
    const slipway_tensor raw = RawOf(value);
    const slipway_status status =
        slipway_store_get_tensor_into(store, key.key, key.key_length, &raw, options.get(), report.get());
    if (status == SLIPWAY_E_NOT_TENSOR && attempt < kTries) continue;
    report.Check(status);
    return value;
  }
}

TensorValue FromView(slipway_store_view* view, const slipway_tensor_info& info) {
  TensorValue value = Describe(info);
  value.owner = std::shared_ptr<void>(
      view, [](void* owned) { slipway_store_view_release(static_cast<slipway_store_view*>(owned)); });
  value.data = static_cast<char*>(const_cast<void*>(slipway_store_view_data(view))) + info.data_offset;
  value.read_only = true;
  return value;
}

TensorValue GetTensor(const StoreHandle& self, const py::object& key, bool copy, const py::kwargs& named) {
  const ReadOptions options(named);
  const slipway_store_key name = KeyOf(key);
  if (copy) return GetCopy(self, name, options);
  slipway_store* store = self.open();
  slipway_tensor_info info = EmptyInfo();
  slipway_store_view* view = nullptr;
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_get_tensor(store, name.key, name.key_length, options.get(), &info, &view, report.get()));
  return FromView(view, info);
}

py::list GetTensors(const StoreHandle& self, const py::sequence& keys, const py::kwargs& named) {
  const ReadOptions options(named);
  const std::vector<slipway_store_key> names = KeysOf(keys);
  std::vector<slipway_tensor_info> infos(names.size(), EmptyInfo());
  std::vector<slipway_store_view*> views(names.size(), nullptr);
  std::vector<slipway_status> statuses(names.size(), SLIPWAY_E_INVALID);
  slipway_store* store = self.open();
  Report report;
  slipway_status status;
  {
    const ReleaseLock unlocked;
    status = slipway_store_get_tensor_batch(store, names.data(), names.size(), options.get(), infos.data(),
                                            views.data(), statuses.data(), report.get());
  }
  std::vector<std::optional<TensorValue>> values(names.size());
  for (size_t i = 0; i < names.size(); ++i)
    if (views[i] != nullptr) values[i] = FromView(views[i], infos[i]);
  RaiseUnlessNotFound(report, status, statuses);
  py::list out;
  for (std::optional<TensorValue>& value : values)
    out.append(value ? py::cast(std::move(*value)) : py::object(py::none()));
  return out;
}

void GetTensorInto(const StoreHandle& self, const py::object& key, const py::object& tensor, const py::kwargs& named) {
  ReadOptions options(named);
  const Memory memory = Memory::Of(tensor, /*writable=*/true);
  options.OrderAfter(memory);
  std::vector<int64_t> strides;
  const slipway_tensor raw = TensorOf(memory, &strides);
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_get_tensor_into(store, name.key, name.key_length, &raw, options.get(), report.get()));
}

auto PutTensor(PutOne put) {
  return [put](const StoreHandle& self, const py::object& key, const py::object& tensor, const py::kwargs& named) {
    WriteOptions options(named);
    const Memory memory = Memory::Of(tensor, false);
    options.OrderAfter(memory);
    std::vector<int64_t> strides;
    const slipway_tensor raw = TensorOf(memory, &strides);
    const slipway_store_key name = KeyOf(key);
    slipway_store* store = self.open();
    Report report;
    const ReleaseLock unlocked;
    return report.Check(put(store, name.key, name.key_length, &raw, options.get(), report.get())) == SLIPWAY_OK;
  };
}

auto PutTensors(PutMany put) {
  return [put](const StoreHandle& self, const py::sequence& keys, const py::sequence& tensors,
               const py::kwargs& named) {
    WriteOptions options(named);
    const std::vector<slipway_store_key> names = KeysOf(keys);
    if (names.size() != tensors.size())
      throw py::value_error(std::to_string(names.size()) + " keys, but " + std::to_string(tensors.size()) + " tensors");
    std::vector<Memory> memory;
    std::vector<std::vector<int64_t>> strides(names.size());
    for (const py::handle& tensor : tensors) {
      memory.push_back(Memory::Of(tensor, false));
      options.OrderAfter(memory.back());
    }
    std::vector<slipway_tensor> raw;
    for (size_t i = 0; i < memory.size(); ++i) raw.push_back(TensorOf(memory[i], &strides[i]));
    std::vector<slipway_status> statuses(names.size(), SLIPWAY_E_INVALID);
    slipway_store* store = self.open();
    Report report;
    slipway_status status;
    {
      const ReleaseLock unlocked;
      status = put(store, names.data(), raw.data(), names.size(), options.get(), statuses.data(), report.get());
    }
    RaiseIfMalformed(report, status, statuses);
    return Statuses(statuses);
  };
}

// ---- what get_tensor gives ----

// What a consumer's tensor needs until it calls the deleter.
template <typename Managed>
struct Export {
  TensorValue value;
  Managed managed{};
};

void Fill(TensorValue& value, dlpack::Tensor* out) {
  out->data = value.data;
  out->device = {dlpack::kCpu, 0};
  out->ndim = static_cast<int32_t>(value.shape.size());
  out->dtype = DlpackTypeOf(value.dtype);
  out->shape = value.shape.data();
  out->strides = value.strides.data();
}

// A capsule that owns the tensor until a consumer renames it.
template <typename Managed>
py::object Capsule(const TensorValue& value, const char* name, PyCapsule_Destructor destroy, uint64_t flags) {
  auto exported = std::make_unique<Export<Managed>>();
  exported->value = value;
  Managed& managed = exported->managed;
  Fill(exported->value, &managed.tensor);
  managed.context = exported.get();
  managed.deleter = [](Managed* self) { delete static_cast<Export<Managed>*>(self->context); };
  if constexpr (std::is_same_v<Managed, dlpack::ManagedVersioned>) {
    managed.major = 1;
    managed.flags = flags;
  }
  PyObject* capsule = PyCapsule_New(&managed, name, destroy);
  if (capsule == nullptr) throw py::error_already_set();
  (void)exported.release();
  return py::reinterpret_steal<py::object>(capsule);
}

template <typename Managed>
void DestroyUnused(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;  // renamed: the consumer's
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
  managed->deleter(managed);
}

py::object ToDlpack(const TensorValue& self, const py::object& stream, const py::object& max_version,
                    const py::object& dl_device, const py::object& copy) {
  if (!stream.is_none() && stream.cast<int64_t>() != -1) throw py::value_error("host memory has no stream");
  if (!dl_device.is_none() && dl_device.cast<std::pair<int, int>>() != std::pair<int, int>(dlpack::kCpu, 0))
    throw py::buffer_error("the tensor is in host memory and is not copied elsewhere");
  if (DlpackTypeOf(self.dtype).lanes == 0) throw py::buffer_error("DLPack has no type for " + self.dtype);
  TensorValue value = self;
  if (!copy.is_none() && copy.cast<bool>()) {
    GiveMemory(&value);
    std::memcpy(value.data, self.data, self.bytes);
    value.read_only = false;
  }
  const bool versioned = !max_version.is_none() && max_version.cast<std::pair<int, int>>().first >= 1;
  if (versioned)
    return Capsule<dlpack::ManagedVersioned>(
        value, dlpack::kVersionedName,
        [](PyObject* capsule) { DestroyUnused<dlpack::ManagedVersioned>(capsule, dlpack::kVersionedName); },
        value.read_only ? dlpack::kReadOnly : 0);
  if (value.read_only)
    throw py::buffer_error("the consumer cannot be told that the tensor is read-only; use get_tensor(copy=True)");
  return Capsule<dlpack::Managed>(
      value, dlpack::kName, [](PyObject* capsule) { DestroyUnused<dlpack::Managed>(capsule, dlpack::kName); }, 0);
}

void BindTensorClass(py::module_& module) {
  py::class_<TensorValue>(module, "Tensor",
                          "A tensor in host memory, for from_dlpack() of any array library, or numpy().")
      .def_property_readonly(
          "dtype", [](const TensorValue& self) { return self.dtype; },
          "As safetensors writes it: F32, BF16, I64, BOOL, F8_E4M3, ...")
      .def_property_readonly("shape", [](const TensorValue& self) { return py::tuple(py::cast(self.shape)); })
      .def_property_readonly("nbytes", [](const TensorValue& self) { return self.bytes; })
      .def_property_readonly("read_only", [](const TensorValue& self) { return self.read_only; })
      .def_property_readonly(
          "data",
          [](const py::object& object) {
            const auto& self = object.cast<const TensorValue&>();
            // A memoryview of memory that only the tensor keeps: NumPy and others keep the view, and it the tensor.
            return py::module_::import("slipway.tensor")
                .attr("memory_of")(object, reinterpret_cast<uintptr_t>(self.data), self.bytes);
          },
          "The elements' bytes, row-major, as a memoryview.")
      .def("__dlpack__", &ToDlpack, py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
           py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__", [](const TensorValue&) { return py::make_tuple(static_cast<int>(dlpack::kCpu), 0); })
      .def(
          "numpy", [](const py::object& self) { return py::module_::import("slipway.tensor").attr("to_numpy")(self); },
          "A NumPy array of the same memory; needs ml_dtypes for types that NumPy has not.")
      .def(
          "__array__",
          [](const py::object& self, const py::object& dtype, const py::object& copy) {
            return py::module_::import("slipway.tensor").attr("to_array")(self, dtype, copy);
          },
          py::arg("dtype") = py::none(), py::arg("copy") = py::none())
      .def("__repr__", [](const TensorValue& self) {
        return "<slipway.Tensor " + self.dtype + " " + py::str(py::tuple(py::cast(self.shape))).cast<std::string>() +
               ">";
      });
}

}  // namespace

void BindTensors(py::module_& module, StoreClass& store) {
  BindTensorClass(module);
  const auto key = py::arg("key"), keys = py::arg("keys");
  store
      .def("put_tensor", PutTensor(&slipway_store_put_tensor), key, py::arg("tensor"),
           "Stores anything with DLPack or the buffer protocol, as a safetensors file. As put.")
      .def("upsert_tensor", PutTensor(&slipway_store_upsert_tensor), key, py::arg("tensor"))
      .def("batch_put_tensor", PutTensors(&slipway_store_put_tensor_batch), keys, py::arg("tensors"))
      .def("batch_upsert_tensor", PutTensors(&slipway_store_upsert_tensor_batch), keys, py::arg("tensors"))
      .def("get_tensor", &GetTensor, key, py::arg("copy") = true,
           "A Tensor: with memory of its own, or (copy=False) read-only and, where it is in this process, in place.")
      .def("batch_get_tensor", &GetTensors, keys, "Read-only Tensors, None for keys that have none.")
      .def("get_tensor_into", &GetTensorInto, key, py::arg("tensor"),
           "Fills an array of the stored shape and type, on the host or on a device.");
}

}  // namespace slipway::python

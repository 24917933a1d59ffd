// Store: keys, buffers and segments.
#include <pybind11/stl.h>

#include <cstdint>
#include <utility>

#include "store_handle.h"

namespace slipway::python {
namespace {

namespace py = pybind11;
using ReleaseLock = py::gil_scoped_release;

bool Exists(const StoreHandle& self, const py::object& key) {
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  const slipway_status status = slipway_store_exists(store, name.key, name.key_length, report.get());
  return status != SLIPWAY_E_NOT_FOUND && report.Check(status) == SLIPWAY_OK;
}

slipway_store_info Stat(const StoreHandle& self, const py::object& key) {
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  slipway_store_info info{};
  info.struct_size = sizeof(info);
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_stat(store, name.key, name.key_length, &info, report.get()));
  return info;
}

void Remove(const StoreHandle& self, const py::object& key) {
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_remove(store, name.key, name.key_length, report.get()));
}

uint64_t RemoveAll(const StoreHandle& self, const std::string& prefix) {
  slipway_store* store = self.open();
  uint64_t removed = 0;
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_remove_all(store, prefix.data(), prefix.size(), &removed, report.get()));
  return removed;
}

// Keys are bytes on the wire; what is no UTF-8 comes back as bytes.
py::object KeyObject(const std::string& key) {
  PyObject* text = PyUnicode_DecodeUTF8(key.data(), static_cast<Py_ssize_t>(key.size()), nullptr);
  if (text != nullptr) return py::reinterpret_steal<py::object>(text);
  PyErr_Clear();
  return py::bytes(key);
}

py::list List(const StoreHandle& self, const std::string& prefix) {
  slipway_store* store = self.open();
  std::vector<std::string> keys;
  Report report;
  {
    const ReleaseLock unlocked;
    const auto each = [](void* user, const char* key, size_t length, const slipway_store_info*) {
      static_cast<std::vector<std::string>*>(user)->emplace_back(key, length);
      return 0;
    };
    report.Check(slipway_store_list(store, prefix.data(), prefix.size(), each, &keys, report.get()));
  }
  py::list out;
  for (const std::string& key : keys) out.append(KeyObject(key));
  return out;
}

void MountSegment(const StoreHandle& self, const std::string& name, uint64_t size,
                  const std::optional<std::string>& file, const std::optional<std::string>& transport) {
  slipway_store_segment_options options{};
  options.struct_size = sizeof(options);
  options.length = size;
  options.file = file ? file->c_str() : nullptr;
  options.transport = transport ? transport->c_str() : nullptr;
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_mount_segment(store, name.c_str(), &options, report.get()));
}

void UnmountSegment(const StoreHandle& self, const std::string& name, double timeout) {
  if (!(timeout >= 0)) throw py::value_error("timeout is seconds, 0 or more");
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_unmount_segment(store, name.c_str(), static_cast<uint64_t>(timeout * 1000), report.get()));
}

}  // namespace

void BindKeys(StoreClass& store) {
  const auto key = py::arg("key");
  store.def("exists", &Exists, key)
      .def("__contains__", &Exists, key)
      .def(
          "size", [](const StoreHandle& self, const py::object& name) { return Stat(self, name).length; }, key,
          "Bytes of the value.")
      .def(
          "stat",
          [](const StoreHandle& self, const py::object& name) {
            const slipway_store_info info = Stat(self, name);
            constexpr const char* kKeeps[] = {"default", "evictable", "soft_pinned", "pinned"};
            py::dict out;
            out["size"] = info.length;
            out["version"] = info.version;
            out["keep"] = kKeeps[info.keep & 3];
            out["replicas"] = info.replicas;
            out["checksum"] = info.checksummed != 0;
            return out;
          },
          key)
      .def("remove", &Remove, key, "Raises NotFoundError where there is none.")
      .def("remove_all", &RemoveAll, py::arg("prefix") = "", "Removes what begins with `prefix`; gives how many.")
      .def("list", &List, py::arg("prefix") = "", "The keys that begin with `prefix`, sorted.")
      .def(
          "register_buffer",
          [](const StoreHandle& self, uintptr_t addr, uint64_t size) {
            Report report;
            slipway_store* raw = self.open();
            const ReleaseLock unlocked;
            report.Check(slipway_store_register_buffer(raw, reinterpret_cast<void*>(addr), size, report.get()));
          },
          py::arg("addr"), py::arg("size"),
          "Tells of memory that many calls will use; it must outlive unregister_buffer().")
      .def(
          "unregister_buffer",
          [](const StoreHandle& self, uintptr_t addr, uint64_t size, double timeout) {
            Report report;
            slipway_store* raw = self.open();
            const auto timeout_ms = static_cast<uint64_t>(timeout * 1000);
            const ReleaseLock unlocked;
            report.Check(
                slipway_store_unregister_buffer(raw, reinterpret_cast<void*>(addr), size, timeout_ms, report.get()));
          },
          py::arg("addr"), py::arg("size"), py::arg("timeout") = 10.0)
      .def("mount_segment", &MountSegment, py::arg("name"), py::arg("size") = 0, py::arg("file") = py::none(),
           py::arg("transport") = py::none(),
           "Adds memory to this process's store: `size` bytes, of a transport that has memory for segments, or a file.")
      .def("unmount_segment", &UnmountSegment, py::arg("name"), py::arg("timeout") = 10.0);
}

}  // namespace slipway::python

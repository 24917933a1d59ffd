// Store: reads of bytes.
#include <pybind11/stl.h>

#include <cstdint>
#include <utility>

#include "store_handle.h"

namespace slipway::python {
namespace {

namespace py = pybind11;
using ReleaseLock = py::gil_scoped_release;

slipway_store_view* Fetch(const StoreHandle& self, const slipway_store_key& key, const ReadOptions& options) {
  slipway_store* store = self.open();
  Report report;
  slipway_store_view* view = nullptr;
  const ReleaseLock unlocked;
  report.Check(slipway_store_get(store, key.key, key.key_length, options.get(), &view, report.get()));
  return view;
}

// The value as bytes: the copy of a long one does not hold the interpreter's lock.
py::bytes BytesOf(const View& view) {
  constexpr uint64_t kLong = 64 << 10;
  py::bytes out(nullptr, view.length());
  char* to = PyBytes_AS_STRING(out.ptr());
  if (view.length() < kLong) {
    std::memcpy(to, view.data(), view.length());
  } else {
    const ReleaseLock unlocked;
    std::memcpy(to, view.data(), view.length());
  }
  return out;
}

py::bytes Get(const StoreHandle& self, const py::object& key, const py::kwargs& named) {
  const View view(Fetch(self, KeyOf(key), ReadOptions(named)));
  return BytesOf(view);
}

// None for keys that have no value; raises for what else failed.
py::list GetBatch(const StoreHandle& self, const py::sequence& keys, const py::kwargs& named) {
  const ReadOptions options(named);
  const std::vector<slipway_store_key> names = KeysOf(keys);
  std::vector<slipway_store_view*> raw(names.size(), nullptr);
  std::vector<slipway_status> statuses(names.size(), SLIPWAY_E_INVALID);
  slipway_store* store = self.open();
  Report report;
  slipway_status status;
  {
    const ReleaseLock unlocked;
    status = slipway_store_get_batch(store, names.data(), names.size(), options.get(), raw.data(), statuses.data(),
                                     report.get());
  }
  std::vector<View> views;
  for (slipway_store_view* one : raw) views.emplace_back(one);
  RaiseUnlessNotFound(report, status, statuses);
  py::list out;
  for (size_t i = 0; i < views.size(); ++i)
    out.append(statuses[i] < SLIPWAY_OK ? py::object(py::none()) : py::object(BytesOf(views[i])));
  return out;
}

std::shared_ptr<View> GetBuffer(const StoreHandle& self, const py::object& key, const py::kwargs& named) {
  const ReadOptions options(named);
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  slipway_store_view* view = nullptr;
  const ReleaseLock unlocked;
  report.Check(slipway_store_get_buffer(store, name.key, name.key_length, options.get(), &view, report.get()));
  return std::make_shared<View>(view);
}

uint64_t GetInto(const StoreHandle& self, const py::object& key, uintptr_t addr, uint64_t size,
                 const py::kwargs& named) {
  const ReadOptions options(named);
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  uint64_t length = 0;
  const ReleaseLock unlocked;
  report.Check(slipway_store_get_into(store, name.key, name.key_length, reinterpret_cast<void*>(addr), size, &length,
                                      options.get(), report.get()));
  return length;
}

using Addresses = std::vector<std::vector<uintptr_t>>;
using Sizes = std::vector<std::vector<uint64_t>>;

py::tuple GetIntoAll(const StoreHandle& self, const py::sequence& keys, const Addresses& all_addrs,
                     const Sizes& all_sizes, const py::kwargs& named) {
  const ReadOptions options(named);
  const std::vector<slipway_store_key> names = KeysOf(keys);
  if (names.size() != all_addrs.size() || names.size() != all_sizes.size())
    throw py::value_error(std::to_string(names.size()) + " keys, but " + std::to_string(all_addrs.size()) +
                          " addresses and " + std::to_string(all_sizes.size()) + " sizes");
  std::vector<std::vector<slipway_span>> parts(names.size());
  std::vector<slipway_store_item> items;
  for (size_t i = 0; i < names.size(); ++i) {
    if (all_addrs[i].size() != all_sizes[i].size())
      throw py::value_error("key " + std::to_string(i) + ": " + std::to_string(all_addrs[i].size()) +
                            " addresses, but " + std::to_string(all_sizes[i].size()) + " sizes");
    for (size_t j = 0; j < all_addrs[i].size(); ++j)
      parts[i].push_back({reinterpret_cast<void*>(all_addrs[i][j]), all_sizes[i][j]});
    items.push_back({names[i].key, names[i].key_length, parts[i].data(), parts[i].size()});
  }
  std::vector<uint64_t> lengths(items.size(), 0);
  std::vector<slipway_status> statuses(items.size(), SLIPWAY_E_INVALID);
  slipway_store* store = self.open();
  Report report;
  slipway_status status;
  {
    const ReleaseLock unlocked;
    status = slipway_store_get_into_batch(store, items.data(), items.size(), lengths.data(), options.get(),
                                          statuses.data(), report.get());
  }
  RaiseIfMalformed(report, status, statuses);
  return py::make_tuple(Statuses(statuses), lengths);
}

void GetIntoRanges(const StoreHandle& self, const py::object& key, const std::vector<uintptr_t>& addrs,
                   const std::vector<uint64_t>& sizes, const std::vector<uint64_t>& offsets, const py::kwargs& named) {
  const ReadOptions options(named);
  if (addrs.size() != sizes.size() || addrs.size() != offsets.size())
    throw py::value_error(std::to_string(addrs.size()) + " addresses, but " + std::to_string(sizes.size()) +
                          " sizes and " + std::to_string(offsets.size()) + " offsets");
  std::vector<slipway_store_range> ranges;
  for (size_t i = 0; i < addrs.size(); ++i) ranges.push_back({reinterpret_cast<void*>(addrs[i]), sizes[i], offsets[i]});
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  report.Check(slipway_store_get_into_ranges(store, name.key, name.key_length, ranges.data(), ranges.size(),
                                             options.get(), report.get()));
}

}  // namespace

void BindReads(StoreClass& store) {
  const auto key = py::arg("key"), keys = py::arg("keys");
  constexpr char kEach[] = "(a Status for each key, the values' lengths).";
  store.def("get", &Get, key, "The value, as bytes of Python's. get_buffer and get_into copy less.")
      .def("get_batch", &GetBatch, keys, "The values, None for keys that have none.")
      .def("get_buffer", &GetBuffer, key, "The stored bytes themselves, where they are in this process: a View.")
      .def("get_into", &GetInto, key, py::arg("addr"), py::arg("size"),
           "Copies the value to an address, host memory or a device's; gives its length.")
      .def(
          "batch_get_into",
          [](const StoreHandle& self, const py::sequence& names, const std::vector<uintptr_t>& addrs,
             const std::vector<uint64_t>& sizes, const py::kwargs& named) {
            Addresses all_addrs;
            Sizes all_sizes;
            for (const uintptr_t addr : addrs) all_addrs.push_back({addr});
            for (const uint64_t size : sizes) all_sizes.push_back({size});
            return GetIntoAll(self, names, all_addrs, all_sizes, named);
          },
          keys, py::arg("addrs"), py::arg("sizes"), kEach)
      .def("batch_get_into_multi_buffers", &GetIntoAll, keys, py::arg("all_addrs"), py::arg("all_sizes"), kEach)
      .def("get_into_ranges", &GetIntoRanges, key, py::arg("addrs"), py::arg("sizes"), py::arg("offsets"),
           "Copies parts of one value, `sizes[i]` bytes from `offsets[i]` on, to `addrs[i]`.");
}

}  // namespace slipway::python

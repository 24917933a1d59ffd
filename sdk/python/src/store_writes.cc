// Store: writes of bytes.
#include <pybind11/stl.h>

#include <cstdint>
#include <utility>

#include "store_handle.h"

namespace slipway::python {
namespace {

namespace py = pybind11;
using ReleaseLock = py::gil_scoped_release;
using PutOne = decltype(&slipway_store_put);
using PutMany = decltype(&slipway_store_put_batch);

// Items of a batch with the spans they are made of; the memory behind them is somebody else's.
class Items {
 public:
  explicit Items(const py::sequence& keys) : keys_(KeysOf(keys)) { parts_.resize(keys_.size()); }

  size_t count() const { return keys_.size(); }
  void Add(size_t index, void* address, uint64_t length) { parts_[index].push_back({address, length}); }

  const slipway_store_item* Build() {
    for (size_t i = 0; i < keys_.size(); ++i)
      items_.push_back({keys_[i].key, keys_[i].key_length, parts_[i].data(), parts_[i].size()});
    return items_.data();
  }

 private:
  std::vector<slipway_store_key> keys_;
  std::vector<std::vector<slipway_span>> parts_;
  std::vector<slipway_store_item> items_;
};

void RequireSameCount(size_t expected, size_t found, const char* what) {
  if (expected != found)
    throw py::value_error(std::to_string(expected) + " keys, but " + std::to_string(found) + " " + what);
}

bool Put(PutOne put, const StoreHandle& self, const py::object& key, void* data, uint64_t bytes,
         const WriteOptions& options) {
  const slipway_store_key name = KeyOf(key);
  slipway_store* store = self.open();
  Report report;
  const ReleaseLock unlocked;
  return report.Check(put(store, name.key, name.key_length, data, bytes, options.get(), report.get())) == SLIPWAY_OK;
}

// A malformed call raises; statuses tell of items that failed.
std::vector<slipway_status> PutAll(PutMany put, const StoreHandle& self, Items& items, const WriteOptions& options) {
  std::vector<slipway_status> statuses(items.count(), SLIPWAY_E_INVALID);
  const slipway_store_item* raw = items.Build();
  slipway_store* store = self.open();
  Report report;
  slipway_status status;
  {
    const ReleaseLock unlocked;
    status = put(store, raw, statuses.size(), options.get(), statuses.data(), report.get());
  }
  RaiseIfMalformed(report, status, statuses);
  return statuses;
}

auto PutValue(PutOne put) {
  return [put](const StoreHandle& self, const py::object& key, const py::object& value, const py::kwargs& named) {
    const Memory memory = Memory::Of(value, false);
    memory.RequireContiguous("value");
    WriteOptions options(named);
    options.OrderAfter(memory);
    return Put(put, self, key, memory.data(), memory.bytes(), options);
  };
}

auto PutFrom(PutOne put) {
  return [put](const StoreHandle& self, const py::object& key, uintptr_t addr, uint64_t size, const py::kwargs& named) {
    return Put(put, self, key, reinterpret_cast<void*>(addr), size, WriteOptions(named));
  };
}

auto PutParts(PutMany put) {
  return [put](const StoreHandle& self, const py::object& key, const py::sequence& parts, const py::kwargs& named) {
    Items items{py::make_tuple(key)};
    WriteOptions options(named);
    std::vector<Memory> memory;
    for (const py::handle& part : parts) {
      memory.push_back(Memory::Of(part, false));
      options.OrderAfter(memory.back());
      memory.back().RequireContiguous("part");
      items.Add(0, memory.back().data(), memory.back().bytes());
    }
    std::vector<slipway_status> statuses(1, SLIPWAY_E_INVALID);
    const slipway_store_item* raw = items.Build();
    slipway_store* store = self.open();
    Report report;
    const ReleaseLock unlocked;
    return report.Check(put(store, raw, 1, options.get(), statuses.data(), report.get())) == SLIPWAY_OK &&
           statuses[0] == SLIPWAY_OK;
  };
}

auto PutBatch(PutMany put) {
  return [put](const StoreHandle& self, const py::sequence& keys, const py::sequence& values, const py::kwargs& named) {
    RequireSameCount(keys.size(), values.size(), "values");
    Items items(keys);
    WriteOptions options(named);
    std::vector<Memory> memory;
    for (const py::handle& value : values) {
      memory.push_back(Memory::Of(value, false));
      options.OrderAfter(memory.back());
      memory.back().RequireContiguous("value");
      items.Add(memory.size() - 1, memory.back().data(), memory.back().bytes());
    }
    return Statuses(PutAll(put, self, items, options));
  };
}

auto PutFromBatch(PutMany put) {
  return [put](const StoreHandle& self, const py::sequence& keys, const std::vector<uintptr_t>& addrs,
               const std::vector<uint64_t>& sizes, const py::kwargs& named) {
    RequireSameCount(keys.size(), addrs.size(), "addresses");
    RequireSameCount(keys.size(), sizes.size(), "sizes");
    Items items(keys);
    for (size_t i = 0; i < addrs.size(); ++i) items.Add(i, reinterpret_cast<void*>(addrs[i]), sizes[i]);
    return Statuses(PutAll(put, self, items, WriteOptions(named)));
  };
}

auto PutFromMultiBuffers(PutMany put) {
  return [put](const StoreHandle& self, const py::sequence& keys, const std::vector<std::vector<uintptr_t>>& all_addrs,
               const std::vector<std::vector<uint64_t>>& all_sizes, const py::kwargs& named) {
    RequireSameCount(keys.size(), all_addrs.size(), "lists of addresses");
    RequireSameCount(keys.size(), all_sizes.size(), "lists of sizes");
    Items items(keys);
    for (size_t i = 0; i < all_addrs.size(); ++i) {
      if (all_addrs[i].size() != all_sizes[i].size())
        throw py::value_error("key " + std::to_string(i) + ": " + std::to_string(all_addrs[i].size()) +
                              " addresses, but " + std::to_string(all_sizes[i].size()) + " sizes");
      for (size_t j = 0; j < all_addrs[i].size(); ++j)
        items.Add(i, reinterpret_cast<void*>(all_addrs[i][j]), all_sizes[i][j]);
    }
    return Statuses(PutAll(put, self, items, WriteOptions(named)));
  };
}

}  // namespace

void BindWrites(StoreClass& store) {
  constexpr char kWhole[] = "Stores `value` unless the key has one. True: stored; False: the key keeps what it had.";
  constexpr char kSwitch[] = "Stores `value`, in place of what the key has; readers see the one or the other.";
  constexpr char kEach[] = "A Status for each key; one that fails does not keep the others.";
  const auto key = py::arg("key"), keys = py::arg("keys");
  store.def("put", PutValue(&slipway_store_put), key, py::arg("value"), kWhole)
      .def("upsert", PutValue(&slipway_store_upsert), key, py::arg("value"), kSwitch)
      .def("put_parts", PutParts(&slipway_store_put_batch), key, py::arg("parts"),
           "As put, of parts that follow one another.")
      .def("upsert_parts", PutParts(&slipway_store_upsert_batch), key, py::arg("parts"))
      .def("put_batch", PutBatch(&slipway_store_put_batch), keys, py::arg("values"), kEach)
      .def("upsert_batch", PutBatch(&slipway_store_upsert_batch), keys, py::arg("values"), kEach)
      .def("put_from", PutFrom(&slipway_store_put), key, py::arg("addr"), py::arg("size"),
           "As put, from memory at an address: host memory or a device's.")
      .def("upsert_from", PutFrom(&slipway_store_upsert), key, py::arg("addr"), py::arg("size"))
      .def("batch_put_from", PutFromBatch(&slipway_store_put_batch), keys, py::arg("addrs"), py::arg("sizes"), kEach)
      .def("batch_upsert_from", PutFromBatch(&slipway_store_upsert_batch), keys, py::arg("addrs"), py::arg("sizes"),
           kEach)
      .def("batch_put_from_multi_buffers", PutFromMultiBuffers(&slipway_store_put_batch), keys, py::arg("all_addrs"),
           py::arg("all_sizes"), kEach)
      .def("batch_upsert_from_multi_buffers", PutFromMultiBuffers(&slipway_store_upsert_batch), keys,
           py::arg("all_addrs"), py::arg("all_sizes"), kEach);
}

}  // namespace slipway::python

// Store and View: making, closing, and the arguments that its calls share.
#include <pybind11/stl.h>

#include <utility>

#include "store_handle.h"

namespace slipway::python {
namespace {

namespace py = pybind11;
using ReleaseLock = py::gil_scoped_release;

[[noreturn]] void NoSuchOption(const std::string& name) { throw py::type_error("no option is named " + name); }

uint64_t TimeoutMs(const py::handle& seconds) {
  const auto value = seconds.cast<double>();
  if (!(value >= 0)) throw py::value_error("timeout is seconds, 0 or more; 0 is the store's own");
  // Not 0, which is the default.
  return value > 1e15 ? SLIPWAY_NO_TIMEOUT : static_cast<uint64_t>(value * 1000) + (value > 0 && value < 0.001 ? 1 : 0);
}

uint32_t Choice(const char* option, const py::handle& value,
                std::initializer_list<std::pair<const char*, uint32_t>> all) {
  const auto word = value.cast<std::string>();
  std::string words;
  for (const auto& [name, number] : all) {
    if (word == name) return number;
    words += (words.empty() ? "\"" : ", \"") + std::string(name) + "\"";
  }
  throw py::value_error(std::string(option) + " is one of " + words + ", not \"" + word + "\"");
}

// Local memory and TCP; with an address, the store of the node there.
ConfigSource PlainConfig(const std::string& address) {
  py::list transports;
  for (const char* name : {"local-memcpy", "tcp"}) {
    py::dict one;
    one["name"] = name;
    transports.append(one);
  }
  py::dict plain;
  plain["transports"] = transports;
  if (!address.empty()) {
    plain["store"] = py::dict();
    plain["store"]["connect"] = address;
  }
  return ConfigOf(plain);
}

std::shared_ptr<StoreHandle> MakeStore(const py::object& config, const std::shared_ptr<EngineHandle>& engine,
                                       const std::string& address, double timeout) {
  auto handle = std::make_shared<StoreHandle>();
  Report report;
  if (engine) {
    if (!config.is_none()) throw py::type_error("give a configuration or an engine, not both");
    handle->engine = engine;
    const ReleaseLock unlocked;
    report.Check(slipway_store_open(engine->open().get(), address.c_str(),
                                    timeout < 0 ? SLIPWAY_NO_TIMEOUT : static_cast<uint64_t>(timeout * 1000),
                                    &handle->store, report.get()));
    return handle;
  }
  if (!config.is_none() && !address.empty())
    throw py::type_error("an address goes with no configuration (or an engine); in one it is store.connect");
  const ConfigSource source = config.is_none() ? PlainConfig(address) : ConfigOf(config);
  const ReleaseLock unlocked;
  report.Check(source.path.empty() ? slipway_store_create_from_json(source.text.data(), source.text.size(),
                                                                    &handle->store, report.get())
                                   : slipway_store_create_from_file(source.path.c_str(), &handle->store, report.get()));
  return handle;
}

py::object Describe(const StoreHandle& self) {
  Report report;
  const std::string text = ValueOrThrow(internal::ReadText(
      [&](char* out, size_t* len) { return slipway_store_describe(self.open(), out, len, report.get()); }));
  return py::module_::import("json").attr("loads")(text);
}

std::string ControlAddress(const StoreHandle& self) {
  slipway_engine* engine = slipway_store_engine(self.open());
  return ValueOrThrow(
      internal::ReadText([&](char* out, size_t* len) { return slipway_engine_control_address(engine, out, len); }));
}

void BindView(py::module_& module) {
  py::class_<View, std::shared_ptr<View>>(module, "View", py::buffer_protocol(),
                                          "A stored value, read-only, which stays as it is until it is released.")
      .def_buffer([](View& self) {
        return py::buffer_info(const_cast<void*>(self.data()), 1, "B", 1, {static_cast<py::ssize_t>(self.length())},
                               {1},
                               /*readonly=*/true);
      })
      .def("__len__", &View::length)
      .def("__bytes__",
           [](const View& self) { return py::bytes(static_cast<const char*>(self.data()), self.length()); })
      .def_property_readonly("is_copy", &View::is_copy, "False where it is the stored bytes themselves.")
      .def("release", &View::Release, "Gives the value back. Memoryviews of it must have gone.")
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](View& self, const py::args&) { self.Release(); });
}

}  // namespace

void StoreHandle::Close() {
  if (store == nullptr) return;
  slipway_store* closed = std::exchange(store, nullptr);
  const ReleaseLock unlocked;
  slipway_store_close(closed);
}

slipway_store* StoreHandle::open() const {
  if (store == nullptr) throw StatusError{SLIPWAY_E_CLOSED, "the store was closed"};
  return store;
}

const void* View::data() const {
  if (!view_) throw py::value_error("the view was released");
  return slipway_store_view_data(view_.get());
}
uint64_t View::length() const {
  if (!view_) throw py::value_error("the view was released");
  return slipway_store_view_length(view_.get());
}
bool View::is_copy() const {
  if (!view_) throw py::value_error("the view was released");
  return slipway_store_view_is_copy(view_.get()) != 0;
}
void View::Release() { view_.reset(); }

slipway_store_key KeyOf(py::handle key) {
  if (PyUnicode_Check(key.ptr())) {
    Py_ssize_t length = 0;
    const char* text = PyUnicode_AsUTF8AndSize(key.ptr(), &length);
    if (text == nullptr) throw py::error_already_set();
    return {text, static_cast<size_t>(length)};
  }
  if (PyBytes_Check(key.ptr())) return {PyBytes_AS_STRING(key.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(key.ptr()))};
  throw py::type_error("a key is str or bytes");
}

std::vector<slipway_store_key> KeysOf(const py::sequence& keys) {
  std::vector<slipway_store_key> out;
  out.reserve(keys.size());
  for (const py::handle& key : keys) out.push_back(KeyOf(key));
  return out;
}

slipway_status Report::Check(slipway_status status) const {
  if (status >= SLIPWAY_OK) return status;
  throw StatusError{status, Text(status)};
}

std::string Report::Text(slipway_status status) const {
  return failure_.message[0] != '\0' ? failure_.message : slipway_status_name(status);
}

WriteOptions::WriteOptions(const py::kwargs& named) {
  raw_.struct_size = sizeof(raw_);
  for (const auto& item : named) Set(item.first.cast<std::string>(), item.second);
}

void WriteOptions::Set(const std::string& name, const py::handle& value) {
  if (value.is_none()) return;
  if (name == "if_exists") {
    raw_.if_exists = Choice("if_exists", value, {{"keep", SLIPWAY_IF_EXISTS_KEEP}, {"error", SLIPWAY_IF_EXISTS_ERROR}});
  } else if (name == "keep") {
    raw_.keep = Choice("keep", value,
                       {{"evictable", SLIPWAY_KEEP_EVICTABLE},
                        {"soft_pinned", SLIPWAY_KEEP_SOFT_PINNED},
                        {"pinned", SLIPWAY_KEEP_PINNED}});
  } else if (name == "checksum") {
    raw_.checksum = value.cast<bool>() ? SLIPWAY_CHECKSUM_ON : SLIPWAY_CHECKSUM_OFF;
  } else if (name == "replicas") {
    raw_.replicas = value.cast<uint32_t>();
  } else if (name == "group") {
    group_ = value.cast<std::string>();
    raw_.group = group_.c_str();
  } else if (name == "preferred_segments") {
    preferred_ = value.cast<std::vector<std::string>>();
    for (const std::string& word : preferred_) preferred_words_.push_back(word.c_str());
    raw_.preferred_segments = preferred_words_.data();
    raw_.preferred_count = static_cast<uint32_t>(preferred_words_.size());
  } else if (name == "timeout") {
    raw_.timeout_ms = TimeoutMs(value);
  } else {
    NoSuchOption(name);
  }
}

ReadOptions::ReadOptions(const py::kwargs& named) {
  raw_.struct_size = sizeof(raw_);
  for (const auto& item : named) {
    const auto name = item.first.cast<std::string>();
    if (item.second.is_none()) continue;
    if (name == "verify") {
      raw_.verify = item.second.cast<bool>() ? SLIPWAY_VERIFY_ON : SLIPWAY_VERIFY_OFF;
    } else if (name == "timeout") {
      raw_.timeout_ms = TimeoutMs(item.second);
    } else {
      NoSuchOption(name);
    }
  }
}

slipway_tensor TensorOf(const Memory& memory, std::vector<int64_t>* strides) {
  const auto item_bytes = static_cast<int64_t>(DtypeBytes(memory.dtype()));
  strides->clear();
  for (const int64_t stride : memory.strides()) {
    if (stride % item_bytes != 0) throw py::value_error("the strides are no multiples of the element's size");
    strides->push_back(stride / item_bytes);
  }
  slipway_tensor tensor{};
  tensor.data = memory.data();
  tensor.shape = memory.shape().data();
  tensor.strides = strides->data();
  tensor.rank = static_cast<uint32_t>(memory.shape().size());
  tensor.dtype = slipway_dtype_from_name(memory.dtype().c_str());
  return tensor;
}

py::list Statuses(const std::vector<slipway_status>& statuses) {
  const py::object make = py::module_::import("slipway.errors").attr("Status");
  py::list out;
  for (const slipway_status status : statuses) out.append(make(status));
  return out;
}

void RaiseIfMalformed(const Report& report, slipway_status status, const std::vector<slipway_status>& statuses) {
  bool malformed = status == SLIPWAY_E_INVALID;
  for (const slipway_status one : statuses) malformed = malformed && one == SLIPWAY_E_INVALID;
  if (malformed) report.Check(status);
}

void RaiseUnlessNotFound(const Report& report, slipway_status status, const std::vector<slipway_status>& statuses) {
  for (const slipway_status one : statuses)
    if (one < SLIPWAY_OK && one != SLIPWAY_E_NOT_FOUND) throw StatusError{one, report.Text(status)};
}

void BindStore(py::module_& module) {
  BindView(module);
  StoreClass store(module, "Store", "Bytes and tensors under keys.");
  store
      .def(py::init(&MakeStore), py::arg("config") = py::none(), py::kw_only(), py::arg("engine") = nullptr,
           py::arg("address") = "", py::arg("timeout") = -1.0,
           "A store with an engine of its own, from `config` (a dict, a path, JSON text, or None for local memory and "
           "TCP); or that of `engine`. With `address`, host:port, the store of the node there.")
      .def("describe", &Describe)
      .def_property_readonly("control_address", &ControlAddress, "host:port, for other processes' `address`.")
      .def("close", &StoreHandle::Close)
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](StoreHandle& self, const py::args&) { self.Close(); });
  BindWrites(store);
  BindReads(store);
  BindKeys(store);
  BindTensors(module, store);
}

}  // namespace slipway::python

// Engine, Segment and Batch.
#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "bindings.h"
#include "errors.h"
#include "memory.h"

namespace slipway::python {
namespace {

namespace py = pybind11;
using ReleaseLock = py::gil_scoped_release;

struct SegmentHandle {
  std::shared_ptr<EngineHandle> engine;
  Segment segment;

  const Segment& open() const {
    if (!segment) throw StatusError{SLIPWAY_E_CLOSED, "the segment was closed"};
    return segment;
  }
};

struct RequestDescription {
  bool write;
  std::shared_ptr<SegmentHandle> segment;
  uint64_t offset;
  py::object local;
};

// A batch, and the memory that it uses until it is complete.
struct BatchHandle {
  std::shared_ptr<EngineHandle> engine;
  std::vector<std::shared_ptr<SegmentHandle>> segments;
  std::vector<Memory> memory;
  Batch batch;
  size_t count = 0;

  BatchHandle() = default;
  BatchHandle(const BatchHandle&) = delete;
  BatchHandle& operator=(const BatchHandle&) = delete;
  ~BatchHandle() {
    const ReleaseLock unlocked;  // waits for the end of what is in progress
    batch = Batch();
  }
};

uint64_t Milliseconds(const std::optional<double>& seconds, uint64_t otherwise) {
  if (!seconds) return otherwise;
  if (!(*seconds >= 0)) throw py::value_error("a timeout is seconds, 0 or more");
  return *seconds > 1e15 ? SLIPWAY_NO_TIMEOUT : static_cast<uint64_t>(*seconds * 1000);
}

uint32_t AccessOf(const std::string& access) {
  if (access == "r") return SLIPWAY_ACCESS_REMOTE_READ;
  if (access == "w") return SLIPWAY_ACCESS_REMOTE_WRITE;
  if (access == "rw") return SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;
  throw py::value_error("access is \"r\", \"w\" or \"rw\"");
}

py::object ParseJson(const std::string& text) { return py::module_::import("json").attr("loads")(text); }

using Range = std::pair<void*, uint64_t>;

// An integer is an address, with its length; anything else is an object with memory behind it, which `kept` then holds.
Range RangeOf(const py::object& memory, const std::optional<uint64_t>& length, std::optional<Memory>* kept) {
  if (py::isinstance<py::int_>(memory)) {
    if (!length) throw py::value_error("an address needs a length");
    return {reinterpret_cast<void*>(memory.cast<uintptr_t>()), *length};
  }
  kept->emplace(Memory::Of(memory, false));
  (*kept)->RequireContiguous("memory");
  return {(*kept)->data(), length.value_or((*kept)->bytes())};
}

void Declare(EngineHandle& self, const py::object& memory, const std::optional<uint64_t>& length) {
  std::optional<Memory> kept;
  const Range range = RangeOf(memory, length, &kept);
  {
    const ReleaseLock unlocked;
    ThrowIfFailed(self.open().Declare(range.first, range.second));
  }
  if (kept) self.declared.emplace(range, std::move(*kept));
}

void Undeclare(EngineHandle& self, const py::object& memory, const std::optional<uint64_t>& length,
               const std::optional<double>& timeout) {
  std::optional<Memory> kept;
  const Range range = RangeOf(memory, length, &kept);
  const uint64_t timeout_ms = Milliseconds(timeout, 0);
  {
    const ReleaseLock unlocked;
    ThrowIfFailed(self.open().Undeclare(range.first, range.second, timeout_ms));
  }
  if (const auto found = self.declared.find(range); found != self.declared.end()) self.declared.erase(found);
}

void Publish(EngineHandle& self, const std::string& name, const py::args& buffers, const std::string& access) {
  std::vector<slipway_span> spans;
  std::vector<Memory> kept;
  for (const py::handle& buffer : buffers) {
    kept.push_back(Memory::Of(buffer, access != "r"));
    const Memory& memory = kept.back().RequireContiguous("buffer");
    spans.push_back({memory.data(), memory.bytes()});
  }
  const uint32_t bits = AccessOf(access);
  {
    const ReleaseLock unlocked;
    ThrowIfFailed(self.open().Publish(name, spans, bits));
  }
  self.published[name] = std::move(kept);
}

void Transfer(const EngineHandle& self, bool write, const SegmentHandle& segment, uint64_t offset,
              const py::object& local, const std::optional<double>& timeout) {
  const Memory memory = Memory::Of(local, !write);
  memory.RequireContiguous("buffer");
  const uint64_t timeout_ms = Milliseconds(timeout, 0);
  const ReleaseLock unlocked;
  auto* data = static_cast<std::byte*>(memory.data());
  if (write) {
    ThrowIfFailed(self.open().Write(segment.open(), offset, {data, memory.bytes()}, timeout_ms));
  } else {
    ThrowIfFailed(self.open().Read(segment.open(), offset, {data, memory.bytes()}, timeout_ms));
  }
}

std::unique_ptr<BatchHandle> Submit(const std::shared_ptr<EngineHandle>& self,
                                    const std::vector<RequestDescription>& requests,
                                    const std::optional<double>& timeout) {
  auto handle = std::make_unique<BatchHandle>();
  std::vector<Request> raw;
  for (const RequestDescription& request : requests) {
    handle->memory.push_back(Memory::Of(request.local, !request.write));
    const Memory& memory = handle->memory.back().RequireContiguous("buffer");
    const Segment& segment = request.segment->open();
    raw.push_back(request.write ? WriteRequest(segment, request.offset, memory.data(), memory.bytes())
                                : ReadRequest(segment, request.offset, memory.data(), memory.bytes()));
    handle->segments.push_back(request.segment);
  }
  handle->engine = self;
  handle->count = raw.size();
  const SubmitOptions options{.timeout_ms = Milliseconds(timeout, 0)};
  const ReleaseLock unlocked;
  handle->batch = ValueOrThrow(self->open().Submit(raw, options));
  return handle;
}

py::dict ResultOf(const BatchHandle& self, size_t index) {
  const RequestResult result = ValueOrThrow(self.batch.result(index));
  py::dict out;
  out["status"] = slipway_status_name(result.status);
  out["bytes"] = result.bytes;
  out["slices"] = result.slices;
  out["staged_slices"] = result.staged_slices;
  out["retries"] = result.retries;
  out["transport"] = result.transport;
  out["message"] = self.batch.message(index);
  return out;
}

bool Wait(BatchHandle& self, const std::optional<double>& timeout) {
  const uint64_t timeout_ms = Milliseconds(timeout, SLIPWAY_NO_TIMEOUT);
  Status status;
  {
    const ReleaseLock unlocked;
    status = self.batch.Wait(timeout_ms);
    while (status.code() == SLIPWAY_IN_PROGRESS && !timeout) status = self.batch.Wait();
  }
  if (status.code() == SLIPWAY_IN_PROGRESS) return false;
  ThrowIfFailed(status);
  return true;
}

void BindBatch(py::module_& module) {
  py::class_<RequestDescription>(module, "Request", "One transfer of a batch: see Segment.read and Segment.write.");
  py::class_<BatchHandle>(module, "Batch", "Requests submitted together; holds their memory until they are complete.")
      .def("wait", &Wait, py::arg("timeout") = py::none(),
           "Waits for the end: True, or False when `timeout` seconds passed. Raises what the first failure was.")
      .def_property_readonly("done",
                             [](const BatchHandle& self) { return self.batch.Poll().code() != SLIPWAY_IN_PROGRESS; })
      .def(
          "cancel", [](const BatchHandle& self) { ThrowIfFailed(self.batch.Cancel()); },
          "Best effort; the batch still completes.")
      .def(
          "fileno", [](const BatchHandle& self) { return self.batch.fd(); }, "Readable once the batch is complete.")
      .def("result", &ResultOf, py::arg("index"), "How one request went.")
      .def("__len__", [](const BatchHandle& self) { return self.count; });
}

void BindSegment(py::module_& module) {
  const auto request = [](bool write) {
    return [write](std::shared_ptr<SegmentHandle> self, uint64_t offset, py::object buffer) {
      return RequestDescription{write, std::move(self), offset, std::move(buffer)};
    };
  };
  py::class_<SegmentHandle, std::shared_ptr<SegmentHandle>>(module, "Segment", "A peer's segment, opened.")
      .def_property_readonly("length", [](const SegmentHandle& self) { return self.open().length(); })
      .def("read", request(false), py::arg("offset"), py::arg("buffer"), "A request: segment to buffer.")
      .def("write", request(true), py::arg("offset"), py::arg("buffer"), "A request: buffer to segment.")
      .def("close", [](SegmentHandle& self) { self.segment = Segment(); })
      .def("__len__", [](const SegmentHandle& self) { return self.open().length(); })
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](SegmentHandle& self, const py::args&) { self.segment = Segment(); });
}

}  // namespace

void EngineHandle::Close() {
  if (engine) {
    Engine ended = std::move(engine);
    const ReleaseLock unlocked;
    ended = Engine();
  }
  published.clear();
  declared.clear();
}

const Engine& EngineHandle::open() const {
  if (!engine) throw StatusError{SLIPWAY_E_CLOSED, "the engine was closed"};
  return engine;
}

ConfigSource ConfigOf(const py::object& config) {
  if (py::isinstance<py::dict>(config))
    return {py::module_::import("json").attr("dumps")(config).cast<std::string>(), ""};
  auto word = py::module_::import("os").attr("fspath")(config).cast<std::string>();
  const size_t begin = word.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && word[begin] == '{') return {std::move(word), ""};
  return {"", std::move(word)};
}

std::shared_ptr<EngineHandle> MakeEngine(const py::object& config) {
  const ConfigSource source = config.is_none()
                                  ? ConfigSource{R"({"transports": [{"name": "local-memcpy"}, {"name": "tcp"}]})", ""}
                                  : ConfigOf(config);
  const ReleaseLock unlocked;
  auto handle = std::make_shared<EngineHandle>();
  handle->engine = ValueOrThrow(source.path.empty() ? Engine::FromJson(source.text) : Engine::FromFile(source.path));
  return handle;
}

void BindEngine(py::module_& module) {
  BindSegment(module);
  BindBatch(module);
  py::class_<EngineHandle, std::shared_ptr<EngineHandle>>(module, "Engine", "Moves bytes to and from peers' segments.")
      .def(py::init(&MakeEngine), py::arg("config") = py::none(),
           "`config`: a dict, a path, JSON text, or None for local memory and TCP.")
      .def_property_readonly("control_address",
                             [](const EngineHandle& self) { return ValueOrThrow(self.open().ControlAddress()); })
      .def("describe", [](const EngineHandle& self) { return ParseJson(ValueOrThrow(self.open().Describe())); })
      .def("declare", &Declare, py::arg("memory"), py::arg("length") = py::none(),
           "Tells the engine about memory that requests will use. An object is kept until undeclare(); memory at an "
           "address must outlive it.")
      .def("undeclare", &Undeclare, py::arg("memory"), py::arg("length") = py::none(), py::arg("timeout") = py::none())
      .def(
          "publish",
          [](EngineHandle& self, const std::string& name, const py::args& buffers, const py::kwargs& named) {
            for (const auto& item : named)
              if (item.first.cast<std::string>() != "access")
                throw py::type_error("publish() takes no argument " + item.first.cast<std::string>());
            Publish(self, name, buffers, named.contains("access") ? named["access"].cast<std::string>() : "rw");
          },
          "publish(name, *buffers, access=\"rw\"): the buffers, one after another, as a segment for peers, and kept "
          "until "
          "withdraw().")
      .def(
          "withdraw",
          [](EngineHandle& self, const std::string& name) {
            {
              const ReleaseLock unlocked;
              ThrowIfFailed(self.open().Withdraw(name));
            }
            self.published.erase(name);
          },
          py::arg("name"))
      .def(
          "open",
          [](const std::shared_ptr<EngineHandle>& self, const std::string& url, const std::optional<double>& timeout) {
            const uint64_t timeout_ms = Milliseconds(timeout, SLIPWAY_NO_TIMEOUT);
            const ReleaseLock unlocked;
            auto handle = std::make_shared<SegmentHandle>();
            handle->engine = self;
            handle->segment = ValueOrThrow(self->open().Open(url, timeout_ms));
            return handle;
          },
          py::arg("url"), py::arg("timeout") = py::none(), "Opens \"host:port/name\", or \"/name\" of this engine.")
      .def(
          "read",
          [](const EngineHandle& self, const SegmentHandle& segment, uint64_t offset, const py::object& buffer,
             const std::optional<double>& timeout) { Transfer(self, false, segment, offset, buffer, timeout); },
          py::arg("segment"), py::arg("offset"), py::arg("buffer"), py::arg("timeout") = py::none())
      .def(
          "write",
          [](const EngineHandle& self, const SegmentHandle& segment, uint64_t offset, const py::object& buffer,
             const std::optional<double>& timeout) { Transfer(self, true, segment, offset, buffer, timeout); },
          py::arg("segment"), py::arg("offset"), py::arg("buffer"), py::arg("timeout") = py::none())
      .def("submit", &Submit, py::arg("requests"), py::arg("timeout") = py::none())
      .def("close", &EngineHandle::Close, "Cancels what is in flight and frees everything.")
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](EngineHandle& self, const py::args&) { self.Close(); });
}

}  // namespace slipway::python

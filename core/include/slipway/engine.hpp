// The application API in C++: thin owners around the C API (slipway/engine.h), header only, so that no C++ type crosses
// the shared library's boundary and any C++20 compiler can use any build of it.
//
// Ownership. Engine, Segment and Batch are move-only owners of one handle each. A moved-from or default-constructed one
// is empty: its destructor does nothing, and nothing else may be called on it but operator bool and assignment.
// Destroy batches first, then segments, then the engine; a batch or segment that outlives its engine can only be
// destroyed. Threads. Calls on an Engine, a Segment and a Batch may be made from any thread at once; moving, assigning
// and destroying one must not run beside any other use of the same object. Errors. Every call that can fail gives a
// Status or a Result<T> whose message says what to do next. Nothing here throws but std::bad_alloc. Units. Lengths and
// offsets are bytes, times are milliseconds.
#ifndef SLIPWAY_ENGINE_HPP_
#define SLIPWAY_ENGINE_HPP_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "slipway/engine.h"
#include "slipway/options_json.hpp"
#include "slipway/status.hpp"

namespace slipway {

namespace internal {

// A failure report that costs two stores until something fails.
class Failure {
 public:
  Failure() {
    report_.struct_size = sizeof(report_);
    report_.code = SLIPWAY_OK;
    report_.message[0] = '\0';
  }
  slipway_failure* get() { return &report_; }
  Status ToStatus(slipway_status code) const {
    if (code == SLIPWAY_OK) return {};
    return {code, report_.message[0] != '\0' ? std::string(report_.message) : std::string(slipway_status_name(code))};
  }

 private:
  slipway_failure report_;
};

// Calls `read(text, &len)` with room enough. The text may grow between two calls, so it is asked for a few times.
template <typename Read>
Result<std::string> ReadText(Read read) {
  std::string text(4096, '\0');
  for (int attempt = 0; attempt < 8; ++attempt) {
    size_t len = text.size();
    const slipway_status status = read(text.data(), &len);
    if (status == SLIPWAY_OK) {
      text.resize(len);
      return text;
    }
    if (status != SLIPWAY_E_BUFFER_TOO_SMALL) return Status(status, slipway_status_name(status));
    text.resize(len + len / 4);
  }
  return Status(SLIPWAY_E_AGAIN, "the text kept growing while it was read; try again");
}

}  // namespace internal

// A peer's segment, opened. Its memory is the peer's; requests in flight keep what they need after it is closed.
class Segment {
 public:
  Segment() = default;
  explicit Segment(slipway_segment* owned) : handle_(owned) {}

  uint64_t length() const { return slipway_segment_length(handle_.get()); }
  explicit operator bool() const { return handle_ != nullptr; }
  slipway_segment* get() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(slipway_segment* segment) const { slipway_segment_close(segment); }
  };
  std::unique_ptr<slipway_segment, Close> handle_;
};

// Where memory for segments should come from.
struct AllocationOptions {
  int32_t numa_node = -1;  // -1: anywhere
  std::string transport;   // empty: the first one configured that has some, else ordinary memory
};

// Memory for segments that the engine allocated: zeroed at first, beginning at a multiple of 2 MiB. Freed by the
// destructor, unless a segment or a declared region lies on it still; then it goes with the engine. An owner that
// outlives the engine may only be destroyed: its memory is gone.
class Memory {
 public:
  Memory() = default;
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(engine_, other.engine_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory() { (void)Free(); }

  std::span<std::byte> bytes() const { return bytes_; }
  std::byte* data() const { return bytes_.data(); }
  uint64_t size() const { return bytes_.size(); }
  slipway_span span() const { return {bytes_.data(), bytes_.size()}; }
  explicit operator bool() const { return !bytes_.empty(); }

  // As the destructor, but tells. SLIPWAY_E_REGION_BUSY: still here.
  Status Free() {
    const std::shared_ptr<slipway_engine> engine = engine_.lock();
    if (engine == nullptr || bytes_.empty()) return {};
    internal::Failure failure;
    const slipway_status status = slipway_memory_free(engine.get(), bytes_.data(), failure.get());
    if (status == SLIPWAY_OK) bytes_ = {};
    return failure.ToStatus(status);
  }

 private:
  friend class Engine;
  Memory(std::weak_ptr<slipway_engine> engine, std::span<std::byte> bytes)
      : engine_(std::move(engine)), bytes_(bytes) {}

  std::weak_ptr<slipway_engine> engine_;
  std::span<std::byte> bytes_;
};

// What one request asks for: the C struct itself, so that a span of them is submitted without a copy.
using Request = slipway_request;

// segment[offset, offset + length) -> local. `local` is written until the batch is complete.
inline Request ReadRequest(const Segment& segment, uint64_t offset, void* local, uint64_t length) {
  return Request{SLIPWAY_REQUEST_READ, 0, local, length, segment.get(), offset, 0};
}
// local -> segment[offset, offset + length). `local` is read until the batch is complete.
inline Request WriteRequest(const Segment& segment, uint64_t offset, const void* local, uint64_t length) {
  return Request{SLIPWAY_REQUEST_WRITE, 0, const_cast<void*>(local), length, segment.get(), offset, 0};
}

// How one request of a batch went.
struct RequestResult {
  slipway_status status = SLIPWAY_IN_PROGRESS;
  uint64_t bytes = 0;  // moved so far
  uint32_t slices = 0, staged_slices = 0, retries = 0;
  std::string transport;  // "mixed" for several, empty for none
};

// Requests that were submitted together.
// The destructor of one that is still in progress cancels it and waits for its end, which the requests' deadline and
// transfer.completion_grace_ms bound: after it no transport touches the local memory.
class Batch {
 public:
  Batch() = default;
  explicit Batch(slipway_batch* owned) : handle_(owned) {}

  // OK when all requests succeeded, SLIPWAY_IN_PROGRESS, or the failure of the first request that failed.
  Status Poll() const { return Explain(slipway_batch_poll(handle_.get())); }
  // As Poll, but waits up to `timeout_ms` for the end.
  Status Wait(uint64_t timeout_ms = SLIPWAY_NO_TIMEOUT) const {
    return Explain(slipway_batch_wait(handle_.get(), timeout_ms));
  }
  // Best effort; the batch still completes, with SLIPWAY_E_CANCELED for what was cut short.
  Status Cancel() const { return Named(slipway_batch_cancel(handle_.get())); }
  // Readable once the batch is complete; belongs to the batch. -1: none could be made.
  int fd() const { return slipway_batch_fd(handle_.get()); }

  // E_INVALID or E_RANGE when there is no request `index`.
  Result<RequestResult> result(size_t index) const {
    slipway_request_result raw{};
    raw.struct_size = sizeof(raw);
    if (const slipway_status status = slipway_batch_result(handle_.get(), index, &raw); status != SLIPWAY_OK)
      return Named(status);
    return RequestResult{raw.status, raw.bytes, raw.slices, raw.staged_slices, raw.retries, raw.transport};
  }
  // What went wrong with request `index`, for a person; empty when nothing did.
  std::string message(size_t index) const {
    auto text = internal::ReadText(
        [&](char* out, size_t* len) { return slipway_batch_message(handle_.get(), index, out, len); });
    return text.ok() ? std::move(*text) : std::string();
  }

  explicit operator bool() const { return handle_ != nullptr; }
  slipway_batch* get() const { return handle_.get(); }

 private:
  struct CancelAndRelease {
    void operator()(slipway_batch* batch) const {
      if (slipway_batch_release(batch) != SLIPWAY_E_BUSY) return;
      (void)slipway_batch_cancel(batch);
      do {
        (void)slipway_batch_wait(batch, SLIPWAY_NO_TIMEOUT);
      } while (slipway_batch_release(batch) == SLIPWAY_E_BUSY);
    }
  };

  static Status Named(slipway_status status) {
    return status == SLIPWAY_OK ? Status() : Status(status, slipway_status_name(status));
  }
  // The message of the first request that failed with `status`, which is the one it stands for.
  Status Explain(slipway_status status) const {
    if (status == SLIPWAY_OK || status == SLIPWAY_IN_PROGRESS) return Named(status);
    slipway_request_result raw{};
    raw.struct_size = sizeof(raw);
    for (size_t i = 0; slipway_batch_result(handle_.get(), i, &raw) == SLIPWAY_OK; ++i) {
      if (raw.status != status) continue;
      if (std::string text = message(i); !text.empty()) return {status, std::move(text)};
      break;
    }
    return Named(status);
  }

  std::unique_ptr<slipway_batch, CancelAndRelease> handle_;
};

enum class Priority : uint32_t {
  kAuto = SLIPWAY_PRIORITY_AUTO,  // by size, see transfer.bulk_threshold_bytes
  kSmall = SLIPWAY_PRIORITY_SMALL,
  kBulk = SLIPWAY_PRIORITY_BULK
};

struct SubmitOptions {
  Priority priority = Priority::kAuto;
  uint64_t timeout_ms = 0;   // of the whole batch, staging waits and retries included; 0: transfer.default_deadline_ms
  uint64_t stream_kind = 0;  // SLIPWAY_MEM_*: copies of device memory come after what `stream` holds now; 0: at once
  void* stream = nullptr;    // CUDA: a cudaStream_t; null: the default stream
};

// Takes a batch that is complete. Called once, from a thread of the engine or from one that waits, with no lock held;
// must not block and must not throw (an exception ends the process: there is nobody to hand it to).
using BatchCallback = std::function<void(Batch)>;

class Engine {
 public:
  Engine() = default;
  explicit Engine(slipway_engine* owned) : handle_(owned, slipway_engine_destroy) {}
  Engine(Engine&&) noexcept = default;
  Engine& operator=(Engine&&) noexcept = default;

  // One JSON file configures the engine; every key is in configs/reference.json. On failure nothing is left behind.
  static Result<Engine> FromFile(const std::string& path) {
    return Create([&](slipway_engine** out, slipway_failure* error) {
      return slipway_engine_create_from_file(path.c_str(), out, error);
    });
  }
  static Result<Engine> FromJson(std::string_view json) {
    return Create([&](slipway_engine** out, slipway_failure* error) {
      return slipway_engine_create_from_json(json.data(), json.size(), out, error);
    });
  }
  static Result<Engine> FromOptions(const Options& options) { return FromJson(OptionsToJson(options)); }

  // host:port of the control listener, as peers name it; empty when it does not listen.
  Result<std::string> ControlAddress() const {
    return internal::ReadText(
        [&](char* text, size_t* len) { return slipway_engine_control_address(handle_.get(), text, len); });
  }
  // Plugins, attributes, regions, segments, peers, budget and counters, as one JSON object.
  Result<std::string> Describe() const {
    return internal::ReadText(
        [&](char* text, size_t* len) { return slipway_engine_describe(handle_.get(), text, len); });
  }

  // Tells the engine about memory that requests will use. It stays the caller's, and mapped until Undeclare returned
  // OK. `flags`: SLIPWAY_DECLARE_*.
  Status Declare(void* address, uint64_t length, uint32_t flags = 0) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_memory_declare(handle_.get(), address, length, flags, failure.get()));
  }
  // Waits up to `timeout_ms` for requests that use the range. After OK no transport touches the memory.
  Status Undeclare(void* address, uint64_t length, uint64_t timeout_ms = 0) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_memory_undeclare(handle_.get(), address, length, timeout_ms, failure.get()));
  }

  // `length` bytes for segments, from the transport that shares them best, huge pages where possible.
  Result<Memory> Allocate(uint64_t length, const AllocationOptions& options = {}) const {
    internal::Failure failure;
    slipway_memory_options raw{};
    raw.struct_size = sizeof(raw);
    raw.numa_node = options.numa_node;
    raw.transport = options.transport.empty() ? nullptr : options.transport.c_str();
    void* memory = nullptr;
    const slipway_status status = slipway_memory_allocate(handle_.get(), length, &raw, &memory, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return Memory(handle_, {static_cast<std::byte*>(memory), length});
  }

  // Makes memory readable and/or writable by peers under `name`. The spans follow one another in the segment's address
  // space, which starts at 0; they are not looked at after the call, the memory is until Withdraw returned OK.
  // `access`: SLIPWAY_ACCESS_REMOTE_READ and/or SLIPWAY_ACCESS_REMOTE_WRITE.
  Status Publish(const std::string& name, std::span<const slipway_span> spans,
                 uint32_t access = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE) const {
    internal::Failure failure;
    return failure.ToStatus(
        slipway_segment_publish(handle_.get(), name.c_str(), spans.data(), spans.size(), access, failure.get()));
  }
  // After OK no peer touches the memory.
  Status Withdraw(const std::string& name) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_segment_withdraw(handle_.get(), name.c_str(), failure.get()));
  }

  // Opens "host:port/name" (of that node's control listener), or "/name" for one of this engine's own.
  Result<Segment> Open(const std::string& url, uint64_t timeout_ms = SLIPWAY_NO_TIMEOUT) const {
    internal::Failure failure;
    slipway_segment* segment = nullptr;
    const slipway_status status = slipway_segment_open(handle_.get(), url.c_str(), timeout_ms, &segment, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return Segment(segment);
  }

  // Submits the requests together: either all are accepted or none is. They run in any order. `requests` is not looked
  // at after the call; the local memory is, until the batch is complete.
  Result<Batch> Submit(std::span<const Request> requests, const SubmitOptions& options = {}) const {
    internal::Failure failure;
    const slipway_submit_options raw = ToC(options);
    slipway_batch* batch = nullptr;
    const slipway_status status =
        slipway_submit(handle_.get(), requests.data(), requests.size(), &raw, &batch, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return Batch(batch);
  }

  // As above, but the batch is handed to `on_complete` when it is complete, possibly before this call returns. It then
  // belongs to the callback; before that it belongs to nobody else, so it cannot be cancelled: use Submit where that is
  // needed. When this call fails, `on_complete` is not called.
  Status SubmitThen(std::span<const Request> requests, const SubmitOptions& options, BatchCallback on_complete) const {
    internal::Failure failure;
    slipway_submit_options raw = ToC(options);
    auto callback = std::make_unique<BatchCallback>(std::move(on_complete));
    raw.on_complete = [](void* user, slipway_batch* batch) noexcept {
      const std::unique_ptr<BatchCallback> owned(static_cast<BatchCallback*>(user));
      (*owned)(Batch(batch));
    };
    raw.user = callback.get();
    slipway_batch* batch = nullptr;  // the callback's, never ours
    const slipway_status status =
        slipway_submit(handle_.get(), requests.data(), requests.size(), &raw, &batch, failure.get());
    if (status == SLIPWAY_OK) (void)callback.release();
    return failure.ToStatus(status);
  }

  // One transfer, from submission to its end.
  Status Read(const Segment& segment, uint64_t offset, std::span<std::byte> local, uint64_t timeout_ms = 0) const {
    return Run(ReadRequest(segment, offset, local.data(), local.size()), timeout_ms);
  }
  Status Write(const Segment& segment, uint64_t offset, std::span<const std::byte> local,
               uint64_t timeout_ms = 0) const {
    return Run(WriteRequest(segment, offset, local.data(), local.size()), timeout_ms);
  }

  // Which transport would serve the request, in which order the others would be tried, why each of the rest would not,
  // and how it would be sliced and staged, as JSON. Moves nothing.
  Result<std::string> Explain(const Request& request) const {
    internal::Failure failure;
    auto text = internal::ReadText(
        [&](char* out, size_t* len) { return slipway_explain(handle_.get(), &request, out, len, failure.get()); });
    if (!text.ok()) return failure.ToStatus(text.status().code());
    return text;
  }

  explicit operator bool() const { return handle_ != nullptr; }
  slipway_engine* get() const { return handle_.get(); }

 private:
  template <typename Make>
  static Result<Engine> Create(Make make) {
    internal::Failure failure;
    slipway_engine* engine = nullptr;
    const slipway_status status = make(&engine, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return Engine(engine);
  }

  static slipway_submit_options ToC(const SubmitOptions& options) {
    slipway_submit_options raw{};
    raw.struct_size = sizeof(raw);
    raw.priority = static_cast<uint32_t>(options.priority);
    raw.timeout_ms = options.timeout_ms;
    raw.stream_kind = options.stream_kind;
    raw.stream = options.stream;
    return raw;
  }

  Status Run(const Request& request, uint64_t timeout_ms) const {
    auto batch = Submit(std::span<const Request>(&request, 1), SubmitOptions{.timeout_ms = timeout_ms});
    if (!batch.ok()) return batch.status();
    Status status = batch->Wait();
    while (status.code() == SLIPWAY_IN_PROGRESS) status = batch->Wait();
    return status;
  }

  std::shared_ptr<slipway_engine> handle_;  // of this object alone: what is lent looks whether it is still there
};

}  // namespace slipway

#endif  // SLIPWAY_ENGINE_HPP_

// What calls on a store take and give (slipway/store.hpp).
#ifndef SLIPWAY_STORE_TYPES_HPP_
#define SLIPWAY_STORE_TYPES_HPP_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slipway/status.hpp"
#include "slipway/store.h"

namespace slipway {

enum class IfExists : uint32_t { kKeep = SLIPWAY_IF_EXISTS_KEEP, kError = SLIPWAY_IF_EXISTS_ERROR };
enum class Keep : uint32_t {
  kDefault = SLIPWAY_KEEP_DEFAULT,
  kEvictable = SLIPWAY_KEEP_EVICTABLE,
  kSoftPinned = SLIPWAY_KEEP_SOFT_PINNED,
  kPinned = SLIPWAY_KEEP_PINNED
};
enum class Checksum : uint32_t {
  kDefault = SLIPWAY_CHECKSUM_DEFAULT,
  kOn = SLIPWAY_CHECKSUM_ON,
  kOff = SLIPWAY_CHECKSUM_OFF
};
enum class Verify : uint32_t { kDefault = SLIPWAY_VERIFY_DEFAULT, kOn = SLIPWAY_VERIFY_ON, kOff = SLIPWAY_VERIFY_OFF };

struct WriteOptions {
  IfExists if_exists = IfExists::kKeep;  // of Put..., not of Upsert...
  Keep keep = Keep::kDefault;
  Checksum checksum = Checksum::kDefault;
  uint32_t replicas = 0;                        // 0: store.replicas
  std::vector<std::string> preferred_segments;  // tried in order before the others
  std::string group;                            // evicted together; empty: none
  uint64_t timeout_ms = 0;                      // of the whole call; 0: store.deadline_ms
  uint64_t stream_kind = 0;  // copies of device memory of this kind come after what `stream` holds at the call
  void* stream = nullptr;
};
struct ReadOptions {
  Verify verify = Verify::kDefault;
  uint64_t timeout_ms = 0;   // of the whole call; 0: store.deadline_ms
  uint64_t stream_kind = 0;  // as of WriteOptions
  void* stream = nullptr;
};

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// What became of a put that did not fail.
enum class PutOutcome { kStored, kExists /* the key had a value, and kept it */ };

// How each item of a batch went.
class BatchStatus {
 public:
  BatchStatus(Status first, std::vector<slipway_status> statuses)
      : first_(std::move(first)), statuses_(std::move(statuses)) {}
  bool ok() const { return first_.ok(); }                                   // none failed
  const Status& status() const { return first_; }                           // of the first that failed, or of the call
  slipway_status operator[](size_t item) const { return statuses_[item]; }  // OK, SLIPWAY_EXISTS or what failed
  size_t size() const { return statuses_.size(); }

 private:
  Status first_;
  std::vector<slipway_status> statuses_;
};

// A value that stays as it is. Move-only.
class View {
 public:
  View() = default;
  explicit View(slipway_store_view* owned) : handle_(owned) {}
  ConstBytes bytes() const { return {static_cast<const std::byte*>(slipway_store_view_data(handle_.get())), size()}; }
  std::string_view text() const { return {static_cast<const char*>(slipway_store_view_data(handle_.get())), size()}; }
  size_t size() const { return slipway_store_view_length(handle_.get()); }
  bool is_copy() const { return slipway_store_view_is_copy(handle_.get()) != 0; }  // false: the store's own memory
  explicit operator bool() const { return handle_ != nullptr; }
  slipway_store_view* get() const { return handle_.get(); }
  slipway_store_view* release() { return handle_.release(); }

 private:
  struct Release {
    void operator()(slipway_store_view* view) const { slipway_store_view_release(view); }
  };
  std::unique_ptr<slipway_store_view, Release> handle_;
};

// The items of a batch that was read: views[i] is empty where statuses[i] failed.
struct ViewBatch {
  BatchStatus statuses;
  std::vector<View> views;
};

using TensorInfo = slipway_tensor_info;

// A stored tensor; data() is the first element, in row-major order.
struct TensorView {
  TensorInfo info{};
  View view;
  const std::byte* data() const { return view.bytes().data() + info.data_offset; }
  std::span<const int64_t> shape() const { return {info.shape, info.rank}; }
};
struct TensorBatch {
  BatchStatus statuses;
  std::vector<TensorView> tensors;
};

struct ObjectInfo {
  std::string key;
  uint64_t length = 0, version = 0;
  Keep keep = Keep::kEvictable;
  uint32_t replicas = 0;
  bool checksummed = false;
};

struct SegmentOptions {
  uint64_t length = 0;      // bytes; 0 with `file`: all of it
  std::string file;         // empty: memory of the process
  void* address = nullptr;  // memory of the caller, mapped until unmounted
  std::string transport;    // empty; or whose memory for segments it lies in
};

namespace internal {

// The C options, with what they point to.
struct RawWriteOptions {
  explicit RawWriteOptions(const WriteOptions& options) {
    raw.struct_size = sizeof(raw);
    raw.if_exists = static_cast<uint32_t>(options.if_exists);
    raw.keep = static_cast<uint32_t>(options.keep);
    raw.checksum = static_cast<uint32_t>(options.checksum);
    raw.replicas = options.replicas;
    for (const std::string& name : options.preferred_segments) names.push_back(name.c_str());
    raw.preferred_count = static_cast<uint32_t>(names.size());
    raw.preferred_segments = names.data();
    raw.group = options.group.empty() ? nullptr : options.group.c_str();
    raw.timeout_ms = options.timeout_ms;
    raw.stream_kind = options.stream_kind;
    raw.stream = options.stream;
  }
  std::vector<const char*> names;
  slipway_store_write_options raw{};
};
inline slipway_store_read_options ToC(const ReadOptions& options) {
  slipway_store_read_options raw{};
  raw.struct_size = sizeof(raw);
  raw.verify = static_cast<uint32_t>(options.verify);
  raw.timeout_ms = options.timeout_ms;
  raw.stream_kind = options.stream_kind;
  raw.stream = options.stream;
  return raw;
}

}  // namespace internal

}  // namespace slipway

#endif  // SLIPWAY_STORE_TYPES_HPP_

// The object store in C++: thin owners around the C API (slipway/store.h), header only, as slipway/engine.hpp is.
//
// What that header says of ownership, threads and errors holds here too; what values, keys, batches and tensors mean is
// in slipway/store.h. Destroy views whenever you like, also after the store.
#ifndef SLIPWAY_STORE_HPP_
#define SLIPWAY_STORE_HPP_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slipway/engine.hpp"
#include "slipway/store.h"
#include "slipway/store_types.hpp"

namespace slipway {

class Store {
 public:
  Store() = default;
  explicit Store(slipway_store* owned) : handle_(owned) {}

  // An engine with its store; every key of the configuration is in configs/README.md.
  static Result<Store> FromFile(const std::string& path) {
    return Make([&](slipway_store** out, slipway_failure* error) {
      return slipway_store_create_from_file(path.c_str(), out, error);
    });
  }
  static Result<Store> FromJson(std::string_view json) {
    return Make([&](slipway_store** out, slipway_failure* error) {
      return slipway_store_create_from_json(json.data(), json.size(), out, error);
    });
  }
  static Result<Store> FromOptions(const Options& options) { return FromJson(OptionsToJson(options)); }
  // The store of an engine, or of the node whose control listener is at `address`. Destroy it before the engine.
  static Result<Store> Open(const Engine& engine, const std::string& address = "",
                            uint64_t timeout_ms = SLIPWAY_NO_TIMEOUT) {
    return Make([&](slipway_store** out, slipway_failure* error) {
      return slipway_store_open(engine.get(), address.c_str(), timeout_ms, out, error);
    });
  }

  Result<std::string> Describe() const {
    internal::Failure failure;
    auto text = internal::ReadText(
        [&](char* out, size_t* len) { return slipway_store_describe(get(), out, len, failure.get()); });
    if (!text.ok()) return failure.ToStatus(text.status().code());
    return text;
  }
  // The node's control address, as clients of this store name it; empty when it does not listen.
  Result<std::string> ControlAddress() const {
    return internal::ReadText([&](char* text, size_t* len) {
      return slipway_engine_control_address(slipway_store_engine(get()), text, len);
    });
  }

  // ---- high-level writes: the bytes are looked at during the call only ----

  Result<PutOutcome> Put(std::string_view key, ConstBytes value, const WriteOptions& options = {}) const {
    return Outcome(WriteOne(slipway_store_put, key, value.data(), value.size(), options));
  }
  Result<PutOutcome> Put(std::string_view key, std::string_view value, const WriteOptions& options = {}) const {
    return Put(key, std::as_bytes(std::span(value)), options);
  }
  Result<PutOutcome> PutParts(std::string_view key, std::span<const ConstBytes> parts,
                              const WriteOptions& options = {}) const {
    return Outcome(WriteParts(slipway_store_put_batch, key, parts, options));
  }
  BatchStatus PutBatch(std::span<const std::string> keys, std::span<const ConstBytes> values,
                       const WriteOptions& options = {}) const {
    return WriteBatch(slipway_store_put_batch, keys, values, options);
  }
  Result<PutOutcome> PutTensor(std::string_view key, const slipway_tensor& tensor,
                               const WriteOptions& options = {}) const {
    return Outcome(WriteTensor(slipway_store_put_tensor, key, tensor, options));
  }
  BatchStatus BatchPutTensor(std::span<const std::string> keys, std::span<const slipway_tensor> tensors,
                             const WriteOptions& options = {}) const {
    return WriteTensors(slipway_store_put_tensor_batch, keys, tensors, options);
  }
  Status Upsert(std::string_view key, ConstBytes value, const WriteOptions& options = {}) const {
    return WriteOne(slipway_store_upsert, key, value.data(), value.size(), options);
  }
  Status Upsert(std::string_view key, std::string_view value, const WriteOptions& options = {}) const {
    return Upsert(key, std::as_bytes(std::span(value)), options);
  }
  Status UpsertParts(std::string_view key, std::span<const ConstBytes> parts, const WriteOptions& options = {}) const {
    return WriteParts(slipway_store_upsert_batch, key, parts, options);
  }
  BatchStatus UpsertBatch(std::span<const std::string> keys, std::span<const ConstBytes> values,
                          const WriteOptions& options = {}) const {
    return WriteBatch(slipway_store_upsert_batch, keys, values, options);
  }
  Status UpsertTensor(std::string_view key, const slipway_tensor& tensor, const WriteOptions& options = {}) const {
    return WriteTensor(slipway_store_upsert_tensor, key, tensor, options);
  }
  BatchStatus BatchUpsertTensor(std::span<const std::string> keys, std::span<const slipway_tensor> tensors,
                                const WriteOptions& options = {}) const {
    return WriteTensors(slipway_store_upsert_tensor_batch, keys, tensors, options);
  }

  // ---- direct-slice writes: from memory that the caller owns, of any kind ----

  Result<PutOutcome> PutFrom(std::string_view key, const void* addr, uint64_t size,
                             const WriteOptions& options = {}) const {
    return Outcome(WriteOne(slipway_store_put, key, addr, size, options));
  }
  BatchStatus BatchPutFrom(std::span<const std::string> keys, std::span<const void* const> addrs,
                           std::span<const uint64_t> sizes, const WriteOptions& options = {}) const {
    return WriteFrom(slipway_store_put_batch, keys, addrs, sizes, options);
  }
  BatchStatus BatchPutFromMultiBuffers(std::span<const std::string> keys,
                                       std::span<const std::vector<const void*>> addrs,
                                       std::span<const std::vector<uint64_t>> sizes,
                                       const WriteOptions& options = {}) const {
    return WriteFromMany(slipway_store_put_batch, keys, addrs, sizes, options);
  }
  Status UpsertFrom(std::string_view key, const void* addr, uint64_t size, const WriteOptions& options = {}) const {
    return WriteOne(slipway_store_upsert, key, addr, size, options);
  }
  BatchStatus BatchUpsertFrom(std::span<const std::string> keys, std::span<const void* const> addrs,
                              std::span<const uint64_t> sizes, const WriteOptions& options = {}) const {
    return WriteFrom(slipway_store_upsert_batch, keys, addrs, sizes, options);
  }
  BatchStatus BatchUpsertFromMultiBuffers(std::span<const std::string> keys,
                                          std::span<const std::vector<const void*>> addrs,
                                          std::span<const std::vector<uint64_t>> sizes,
                                          const WriteOptions& options = {}) const {
    return WriteFromMany(slipway_store_upsert_batch, keys, addrs, sizes, options);
  }

  // ---- reads ----

  // The value: the store's own memory where it lies in this process, a copy otherwise.
  Result<View> Get(std::string_view key, const ReadOptions& options = {}) const {
    return ViewOf(slipway_store_get, key, options);
  }
  ViewBatch GetBatch(std::span<const std::string> keys, const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    const std::vector<slipway_store_key> list = Keys(keys);
    std::vector<slipway_store_view*> views(keys.size() + 1, nullptr);
    BatchStatus statuses = Each(keys.size(), [&](slipway_status* out, slipway_failure* error) {
      return slipway_store_get_batch(get(), list.data(), keys.size(), &raw, views.data(), out, error);
    });
    ViewBatch result{std::move(statuses), {}};
    for (size_t i = 0; i < keys.size(); ++i) result.views.emplace_back(views[i]);
    return result;
  }
  // Never a copy: E_UNSUPPORTED where the value is not in this process's host memory.
  Result<View> GetBuffer(std::string_view key, const ReadOptions& options = {}) const {
    return ViewOf(slipway_store_get_buffer, key, options);
  }
  // How many bytes the value has, which are now at `addr`. E_BUFFER_TOO_SMALL beyond `size`; nothing is copied then.
  Result<uint64_t> GetInto(std::string_view key, void* addr, uint64_t size, const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    internal::Failure failure;
    uint64_t length = 0;
    const slipway_status status =
        slipway_store_get_into(get(), key.data(), key.size(), addr, size, &length, &raw, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return length;
  }
  // `lengths` (may be null) receives the length of each value.
  BatchStatus BatchGetInto(std::span<const std::string> keys, std::span<void* const> addrs,
                           std::span<const uint64_t> sizes, std::vector<uint64_t>* lengths = nullptr,
                           const ReadOptions& options = {}) const {
    if (addrs.size() != keys.size()) return Mismatch(keys.size(), "addrs", addrs.size());
    if (sizes.size() != keys.size()) return Mismatch(keys.size(), "sizes", sizes.size());
    std::vector<slipway_span> spans(keys.size());
    std::vector<slipway_store_item> items;
    for (size_t i = 0; i < keys.size(); ++i) {
      spans[i] = {addrs[i], sizes[i]};
      items.push_back({keys[i].data(), keys[i].size(), &spans[i], 1});
    }
    return ReadItems(items, lengths, options);
  }
  BatchStatus BatchGetIntoMultiBuffers(std::span<const std::string> keys, std::span<const std::vector<void*>> addrs,
                                       std::span<const std::vector<uint64_t>> sizes,
                                       std::vector<uint64_t>* lengths = nullptr,
                                       const ReadOptions& options = {}) const {
    std::vector<slipway_span> spans;
    std::vector<slipway_store_item> items;
    if (auto wrong = ToItems(keys, addrs, sizes, &spans, &items); !wrong.ok()) return wrong;
    return ReadItems(items, lengths, options);
  }
  Status GetIntoRanges(std::string_view key, std::span<const slipway_store_range> ranges,
                       const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    internal::Failure failure;
    return failure.ToStatus(slipway_store_get_into_ranges(get(), key.data(), key.size(), ranges.data(), ranges.size(),
                                                          &raw, failure.get()));
  }
  Result<TensorView> GetTensor(std::string_view key, const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    internal::Failure failure;
    TensorView tensor;
    tensor.info.struct_size = sizeof(tensor.info);
    slipway_store_view* view = nullptr;
    const slipway_status status =
        slipway_store_get_tensor(get(), key.data(), key.size(), &raw, &tensor.info, &view, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    tensor.view = View(view);
    return tensor;
  }
  TensorBatch BatchGetTensor(std::span<const std::string> keys, const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    const std::vector<slipway_store_key> list = Keys(keys);
    std::vector<slipway_store_view*> views(keys.size() + 1, nullptr);
    std::vector<slipway_tensor_info> infos(keys.size() + 1);
    for (slipway_tensor_info& info : infos) info.struct_size = sizeof(info);
    BatchStatus statuses = Each(keys.size(), [&](slipway_status* out, slipway_failure* error) {
      return slipway_store_get_tensor_batch(get(), list.data(), keys.size(), &raw, infos.data(), views.data(), out,
                                            error);
    });
    TensorBatch result{std::move(statuses), {}};
    for (size_t i = 0; i < keys.size(); ++i) result.tensors.push_back({infos[i], View(views[i])});
    return result;
  }
  Status GetTensorInto(std::string_view key, const slipway_tensor& target, const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    internal::Failure failure;
    return failure.ToStatus(slipway_store_get_tensor_into(get(), key.data(), key.size(), &target, &raw, failure.get()));
  }
  Result<TensorInfo> TensorInfoOf(std::string_view key, const ReadOptions& options = {}) const {
    const slipway_store_read_options raw = ToC(options);
    internal::Failure failure;
    TensorInfo info{};
    info.struct_size = sizeof(info);
    const slipway_status status = slipway_store_tensor_info(get(), key.data(), key.size(), &raw, &info, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return info;
  }

  // ---- keys ----

  Result<bool> Exists(std::string_view key) const {
    internal::Failure failure;
    const slipway_status status = slipway_store_exists(get(), key.data(), key.size(), failure.get());
    if (status == SLIPWAY_OK || status == SLIPWAY_E_NOT_FOUND) return status == SLIPWAY_OK;
    return failure.ToStatus(status);
  }
  Result<ObjectInfo> Stat(std::string_view key) const {
    internal::Failure failure;
    slipway_store_info raw{};
    raw.struct_size = sizeof(raw);
    const slipway_status status = slipway_store_stat(get(), key.data(), key.size(), &raw, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return ToInfo(key, raw);
  }
  Result<uint64_t> Size(std::string_view key) const {
    Result<ObjectInfo> info = Stat(key);
    if (!info.ok()) return info.status();
    return info->length;
  }
  Status Remove(std::string_view key) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_store_remove(get(), key.data(), key.size(), failure.get()));
  }
  BatchStatus BatchRemove(std::span<const std::string> keys) const {
    const std::vector<slipway_store_key> list = Keys(keys);
    return Each(keys.size(), [&](slipway_status* out, slipway_failure* error) {
      return slipway_store_remove_batch(get(), list.data(), keys.size(), out, error);
    });
  }
  // How many were removed.
  Result<uint64_t> RemoveAll(std::string_view prefix = "") const {
    internal::Failure failure;
    uint64_t removed = 0;
    const slipway_status status =
        slipway_store_remove_all(get(), prefix.data(), prefix.size(), &removed, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return removed;
  }
  // By key.
  Result<std::vector<ObjectInfo>> List(std::string_view prefix = "") const {
    internal::Failure failure;
    std::vector<ObjectInfo> list;
    const auto each = [](void* user, const char* key, size_t length, const slipway_store_info* info) noexcept {
      static_cast<std::vector<ObjectInfo>*>(user)->push_back(ToInfo({key, length}, *info));
      return 0;
    };
    const slipway_status status = slipway_store_list(get(), prefix.data(), prefix.size(), each, &list, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return list;
  }

  // ---- memory ----

  Status RegisterBuffer(void* addr, uint64_t size) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_store_register_buffer(get(), addr, size, failure.get()));
  }
  Status UnregisterBuffer(void* addr, uint64_t size, uint64_t timeout_ms = 0) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_store_unregister_buffer(get(), addr, size, timeout_ms, failure.get()));
  }
  Status MountSegment(const std::string& name, const SegmentOptions& options) const {
    internal::Failure failure;
    slipway_store_segment_options raw{};
    raw.struct_size = sizeof(raw);
    raw.length = options.length;
    raw.file = options.file.empty() ? nullptr : options.file.c_str();
    raw.address = options.address;
    raw.transport = options.transport.empty() ? nullptr : options.transport.c_str();
    return failure.ToStatus(slipway_store_mount_segment(get(), name.c_str(), &raw, failure.get()));
  }
  Status UnmountSegment(const std::string& name, uint64_t timeout_ms = 0) const {
    internal::Failure failure;
    return failure.ToStatus(slipway_store_unmount_segment(get(), name.c_str(), timeout_ms, failure.get()));
  }

  explicit operator bool() const { return handle_ != nullptr; }
  slipway_store* get() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(slipway_store* store) const { slipway_store_close(store); }
  };
  using PutOne = decltype(&slipway_store_put);
  using PutMany = decltype(&slipway_store_put_batch);
  using PutTensorOne = decltype(&slipway_store_put_tensor);
  using PutTensorMany = decltype(&slipway_store_put_tensor_batch);
  using GetOne = decltype(&slipway_store_get);

  using RawWriteOptions = internal::RawWriteOptions;
  static slipway_store_read_options ToC(const ReadOptions& options) { return internal::ToC(options); }
  static ObjectInfo ToInfo(std::string_view key, const slipway_store_info& raw) {
    return {std::string(key), raw.length, raw.version, static_cast<Keep>(raw.keep), raw.replicas, raw.checksummed != 0};
  }
  static std::vector<slipway_store_key> Keys(std::span<const std::string> keys) {
    std::vector<slipway_store_key> list;
    list.reserve(keys.size());
    for (const std::string& key : keys) list.push_back({key.data(), key.size()});
    return list;
  }

  template <typename Create>
  static Result<Store> Make(Create create) {
    internal::Failure failure;
    slipway_store* store = nullptr;
    const slipway_status status = create(&store, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return Store(store);
  }
  static Result<PutOutcome> Outcome(Status status) {
    if (status.ok()) return PutOutcome::kStored;
    if (status.code() == SLIPWAY_EXISTS) return PutOutcome::kExists;
    return status;
  }
  template <typename Call>
  static BatchStatus Each(size_t count, Call call) {
    internal::Failure failure;
    std::vector<slipway_status> statuses(count, SLIPWAY_E_INVALID);
    const slipway_status status = call(statuses.data(), failure.get());
    return {failure.ToStatus(status), std::move(statuses)};
  }
  static BatchStatus Mismatch(size_t keys, const char* what, size_t found) {
    return {Status(SLIPWAY_E_INVALID, std::string(what) + " has " + std::to_string(found) + " entries for " +
                                          std::to_string(keys) + " keys: give one for each"),
            std::vector<slipway_status>(keys, SLIPWAY_E_INVALID)};
  }
  static slipway_span ToSpan(const void* addr, uint64_t size) { return {const_cast<void*>(addr), size}; }

  Status WriteOne(PutOne put, std::string_view key, const void* addr, uint64_t size,
                  const WriteOptions& options) const {
    const RawWriteOptions raw(options);
    internal::Failure failure;
    return failure.ToStatus(put(get(), key.data(), key.size(), addr, size, &raw.raw, failure.get()));
  }
  BatchStatus WriteItems(PutMany put, const std::vector<slipway_store_item>& items, const WriteOptions& options) const {
    const RawWriteOptions raw(options);
    return Each(items.size(), [&](slipway_status* out, slipway_failure* error) {
      return put(get(), items.data(), items.size(), &raw.raw, out, error);
    });
  }
  Status WriteParts(PutMany put, std::string_view key, std::span<const ConstBytes> parts,
                    const WriteOptions& options) const {
    std::vector<slipway_span> spans;
    for (const ConstBytes& part : parts) spans.push_back(ToSpan(part.data(), part.size()));
    const BatchStatus done = WriteItems(put, {{key.data(), key.size(), spans.data(), spans.size()}}, options);
    return done.ok() && done[0] == SLIPWAY_EXISTS ? Status(SLIPWAY_EXISTS, "the key has a value") : done.status();
  }
  BatchStatus WriteBatch(PutMany put, std::span<const std::string> keys, std::span<const ConstBytes> values,
                         const WriteOptions& options) const {
    if (values.size() != keys.size()) return Mismatch(keys.size(), "values", values.size());
    std::vector<slipway_span> spans(keys.size());
    std::vector<slipway_store_item> items;
    items.reserve(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      spans[i] = ToSpan(values[i].data(), values[i].size());
      items.push_back({keys[i].data(), keys[i].size(), &spans[i], 1});
    }
    return WriteItems(put, items, options);
  }
  BatchStatus WriteFrom(PutMany put, std::span<const std::string> keys, std::span<const void* const> addrs,
                        std::span<const uint64_t> sizes, const WriteOptions& options) const {
    if (addrs.size() != keys.size()) return Mismatch(keys.size(), "addrs", addrs.size());
    if (sizes.size() != keys.size()) return Mismatch(keys.size(), "sizes", sizes.size());
    std::vector<slipway_span> spans(keys.size());
    std::vector<slipway_store_item> items;
    items.reserve(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      spans[i] = ToSpan(addrs[i], sizes[i]);
      items.push_back({keys[i].data(), keys[i].size(), &spans[i], 1});
    }
    return WriteItems(put, items, options);
  }
  // `spans` is what `items` point into.
  template <typename Address>
  static BatchStatus ToItems(std::span<const std::string> keys, std::span<const std::vector<Address>> addrs,
                             std::span<const std::vector<uint64_t>> sizes, std::vector<slipway_span>* spans,
                             std::vector<slipway_store_item>* items) {
    if (addrs.size() != keys.size()) return Mismatch(keys.size(), "addrs", addrs.size());
    if (sizes.size() != keys.size()) return Mismatch(keys.size(), "sizes", sizes.size());
    size_t total = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (addrs[i].size() != sizes[i].size()) {
        return {Status(SLIPWAY_E_INVALID, "item " + std::to_string(i) + " (\"" + keys[i].substr(0, 64) + "\") has " +
                                              std::to_string(addrs[i].size()) + " addresses and " +
                                              std::to_string(sizes[i].size()) + " sizes"),
                std::vector<slipway_status>(keys.size(), SLIPWAY_E_INVALID)};
      }
      total += addrs[i].size();
    }
    spans->reserve(total);  // stays where it is
    for (size_t i = 0; i < keys.size(); ++i) {
      const slipway_span* first = spans->data() + spans->size();
      for (size_t j = 0; j < addrs[i].size(); ++j) spans->push_back(ToSpan(addrs[i][j], sizes[i][j]));
      items->push_back({keys[i].data(), keys[i].size(), first, addrs[i].size()});
    }
    return {Status(), {}};
  }
  BatchStatus WriteFromMany(PutMany put, std::span<const std::string> keys,
                            std::span<const std::vector<const void*>> addrs,
                            std::span<const std::vector<uint64_t>> sizes, const WriteOptions& options) const {
    std::vector<slipway_span> spans;
    std::vector<slipway_store_item> items;
    if (auto wrong = ToItems(keys, addrs, sizes, &spans, &items); !wrong.ok()) return wrong;
    return WriteItems(put, items, options);
  }
  Status WriteTensor(PutTensorOne put, std::string_view key, const slipway_tensor& tensor,
                     const WriteOptions& options) const {
    const RawWriteOptions raw(options);
    internal::Failure failure;
    return failure.ToStatus(put(get(), key.data(), key.size(), &tensor, &raw.raw, failure.get()));
  }
  BatchStatus WriteTensors(PutTensorMany put, std::span<const std::string> keys,
                           std::span<const slipway_tensor> tensors, const WriteOptions& options) const {
    if (tensors.size() != keys.size()) return Mismatch(keys.size(), "tensors", tensors.size());
    const RawWriteOptions raw(options);
    const std::vector<slipway_store_key> list = Keys(keys);
    return Each(keys.size(), [&](slipway_status* out, slipway_failure* error) {
      return put(get(), list.data(), tensors.data(), keys.size(), &raw.raw, out, error);
    });
  }
  BatchStatus ReadItems(const std::vector<slipway_store_item>& items, std::vector<uint64_t>* lengths,
                        const ReadOptions& options) const {
    const slipway_store_read_options raw = ToC(options);
    if (lengths != nullptr) lengths->assign(items.size(), 0);
    return Each(items.size(), [&](slipway_status* out, slipway_failure* error) {
      return slipway_store_get_into_batch(get(), items.data(), items.size(),
                                          lengths == nullptr ? nullptr : lengths->data(), &raw, out, error);
    });
  }
  Result<View> ViewOf(GetOne read, std::string_view key, const ReadOptions& options) const {
    const slipway_store_read_options raw = ToC(options);
    internal::Failure failure;
    slipway_store_view* view = nullptr;
    const slipway_status status = read(get(), key.data(), key.size(), &raw, &view, failure.get());
    if (status != SLIPWAY_OK) return failure.ToStatus(status);
    return View(view);
  }

  std::unique_ptr<slipway_store, Close> handle_;
};

}  // namespace slipway

#endif  // SLIPWAY_STORE_HPP_

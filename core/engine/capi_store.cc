// The C API of the store: checks arguments, stops exceptions, and calls the store.
#include <algorithm>
#include <cstring>

#include "core/engine/store_handles.h"

using slipway::Finish;
using slipway::Guarded;
using slipway::HeldValue;
using slipway::Item;
using slipway::ObjectStore;
using slipway::Report;
using slipway::Status;
using slipway::ToKey;

namespace slipway {
namespace {

constexpr slipway_status kNullStore = SLIPWAY_E_INVALID;

slipway_status WriteItems(slipway_store* store, const slipway_store_item* items, size_t count,
                          const slipway_store_write_options* options, bool replace, slipway_status* statuses,
                          slipway_failure* error) {
  if (store == nullptr) return Report(kNullStore, "store is null", error);
  return Guarded(error, [&] {
    std::vector<Item> list;
    WriteCall call;
    ObjectStore::Statuses results;
    Status status = ToItems(items, count, &list);
    if (status.ok()) status = ToWriteCall(options, replace, store->instance->node().options().store, &call);
    if (status.ok()) {
      status = store->instance->store().Write(list, call.policy, call.exists_is_error, call.timeout_ms, &results);
    }
    return Finish(status, results, count, statuses, error);
  });
}

slipway_status WriteOne(slipway_store* store, const char* key, size_t key_length, const void* address, uint64_t length,
                        const slipway_store_write_options* options, bool replace, slipway_failure* error) {
  const slipway_span part = {const_cast<void*>(address), length};
  const slipway_store_item item = {key, key_length, &part, 1};
  slipway_status status = SLIPWAY_OK;
  const slipway_status call = WriteItems(store, &item, 1, options, replace, &status, error);
  if (call != SLIPWAY_OK || status == SLIPWAY_OK) return call;
  return Report(status, "the key has a value already, which was kept", error);
}

slipway_status GetViews(slipway_store* store, const slipway_store_key* keys, size_t count,
                        const slipway_store_read_options* options, bool no_copy, slipway_store_view** views,
                        slipway_status* statuses, slipway_failure* error) {
  if (store == nullptr || views == nullptr || (keys == nullptr && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "store, keys or views is null", error);
  }
  return Guarded(error, [&] {
    slipway_store_read_options read;
    ObjectStore::Statuses results;
    std::vector<std::unique_ptr<HeldValue>> values;
    Status status = ToReadOptions(options, &read);
    if (status.ok()) status = store->instance->store().Get(ToKeys(keys, count), read, no_copy, &values, &results);
    for (size_t i = 0; i < count; ++i) views[i] = i < values.size() ? Wrap(values[i].release()) : nullptr;
    return Finish(status, results, count, statuses, error);
  });
}

}  // namespace
}  // namespace slipway

extern "C" {

// ---- writing
// ---------------------------------------------------------------------------------------------------------

SLIPWAY_API slipway_status slipway_store_put(slipway_store* store, const char* key, size_t key_length,
                                             const void* address, uint64_t length,
                                             const slipway_store_write_options* options, slipway_failure* error) {
  return slipway::WriteOne(store, key, key_length, address, length, options, false, error);
}

SLIPWAY_API slipway_status slipway_store_put_batch(slipway_store* store, const slipway_store_item* items, size_t count,
                                                   const slipway_store_write_options* options, slipway_status* statuses,
                                                   slipway_failure* error) {
  return slipway::WriteItems(store, items, count, options, false, statuses, error);
}

SLIPWAY_API slipway_status slipway_store_upsert(slipway_store* store, const char* key, size_t key_length,
                                                const void* address, uint64_t length,
                                                const slipway_store_write_options* options, slipway_failure* error) {
  return slipway::WriteOne(store, key, key_length, address, length, options, true, error);
}

SLIPWAY_API slipway_status slipway_store_upsert_batch(slipway_store* store, const slipway_store_item* items,
                                                      size_t count, const slipway_store_write_options* options,
                                                      slipway_status* statuses, slipway_failure* error) {
  return slipway::WriteItems(store, items, count, options, true, statuses, error);
}

// ---- reading
// ---------------------------------------------------------------------------------------------------------

SLIPWAY_API slipway_status slipway_store_get_into(slipway_store* store, const char* key, size_t key_length,
                                                  void* address, uint64_t capacity, uint64_t* length,
                                                  const slipway_store_read_options* options, slipway_failure* error) {
  const slipway_span part = {address, capacity};
  const slipway_store_item item = {key, key_length, &part, 1};
  return slipway_store_get_into_batch(store, &item, 1, length, options, nullptr, error);
}

SLIPWAY_API slipway_status slipway_store_get_into_batch(slipway_store* store, const slipway_store_item* items,
                                                        size_t count, uint64_t* lengths,
                                                        const slipway_store_read_options* options,
                                                        slipway_status* statuses, slipway_failure* error) {
  if (store == nullptr) return Report(SLIPWAY_E_INVALID, "store is null", error);
  return Guarded(error, [&] {
    std::vector<Item> list;
    slipway_store_read_options read;
    ObjectStore::Statuses results;
    Status status = slipway::ToItems(items, count, &list);
    if (status.ok()) status = slipway::ToReadOptions(options, &read);
    if (status.ok()) status = store->instance->store().ReadInto(list, read, lengths, &results);
    return Finish(status, results, count, statuses, error);
  });
}

SLIPWAY_API slipway_status slipway_store_get_into_ranges(slipway_store* store, const char* key, size_t key_length,
                                                         const slipway_store_range* ranges, size_t count,
                                                         const slipway_store_read_options* options,
                                                         slipway_failure* error) {
  if (store == nullptr || (ranges == nullptr && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "store or ranges is null", error);
  }
  return Guarded(error, [&] {
    slipway_store_read_options read;
    Status status = slipway::ToReadOptions(options, &read);
    if (!status.ok()) return Report(status, error);
    std::vector<slipway::RangeItem> list;
    for (size_t i = 0; i < count; ++i) {
      list.push_back({static_cast<char*>(ranges[i].address), ranges[i].length, ranges[i].offset});
    }
    return Report(store->instance->store().ReadRanges(ToKey(key, key_length), list, read), error);
  });
}

SLIPWAY_API slipway_status slipway_store_get(slipway_store* store, const char* key, size_t key_length,
                                             const slipway_store_read_options* options, slipway_store_view** out,
                                             slipway_failure* error) {
  const slipway_store_key one = {key, key_length};
  return slipway::GetViews(store, &one, 1, options, false, out, nullptr, error);
}

SLIPWAY_API slipway_status slipway_store_get_batch(slipway_store* store, const slipway_store_key* keys, size_t count,
                                                   const slipway_store_read_options* options,
                                                   slipway_store_view** views, slipway_status* statuses,
                                                   slipway_failure* error) {
  return slipway::GetViews(store, keys, count, options, false, views, statuses, error);
}

SLIPWAY_API slipway_status slipway_store_get_buffer(slipway_store* store, const char* key, size_t key_length,
                                                    const slipway_store_read_options* options, slipway_store_view** out,
                                                    slipway_failure* error) {
  const slipway_store_key one = {key, key_length};
  return slipway::GetViews(store, &one, 1, options, true, out, nullptr, error);
}

SLIPWAY_API const void* slipway_store_view_data(const slipway_store_view* view) {
  return view == nullptr ? nullptr : slipway::Unwrap(view)->data();
}
SLIPWAY_API uint64_t slipway_store_view_length(const slipway_store_view* view) {
  return view == nullptr ? 0 : slipway::Unwrap(view)->length();
}
SLIPWAY_API int slipway_store_view_is_copy(const slipway_store_view* view) {
  return view != nullptr && slipway::Unwrap(view)->is_copy() ? 1 : 0;
}
SLIPWAY_API void slipway_store_view_release(slipway_store_view* view) {
  (void)Guarded(nullptr, [&] {
    delete slipway::Unwrap(view);
    return SLIPWAY_OK;
  });
}

}  // extern "C"

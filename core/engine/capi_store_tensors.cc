// The C API of the store: tensors.
#include <algorithm>
#include <cstring>

#include "core/engine/store_handles.h"
#include "core/store/safetensors.h"
#include "core/store/tensor.h"

using slipway::Finish;
using slipway::Guarded;
using slipway::HeldValue;
using slipway::ObjectStore;
using slipway::Report;
using slipway::Status;
using slipway::ToKey;

namespace slipway {
namespace {

// Header and elements as two buffers of one value.
slipway_status WriteTensors(slipway_store* store, const slipway_store_key* keys, const slipway_tensor* tensors,
                            size_t count, const slipway_store_write_options* options, bool replace,
                            slipway_status* statuses, slipway_failure* error) {
  if (store == nullptr || ((keys == nullptr || tensors == nullptr) && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "store, keys or tensors is null", error);
  }
  return Guarded(error, [&] {
    WriteCall call;
    Status status = ToWriteCall(options, replace, store->instance->node().options().store, &call);
    std::vector<Layout> layouts;
    std::vector<std::string> headers;
    std::vector<Item> items(count);
    layouts.reserve(count);
    headers.reserve(count);
    for (size_t i = 0; i < count && status.ok(); ++i) {
      Result<Layout> layout = Layout::Of(tensors[i]);
      if (!layout.ok()) {
        status = Status(layout.status().code(), "item " + std::to_string(i) + ": " + layout.status().message());
        break;
      }
      const Layout& kept = layouts.emplace_back(std::move(*layout));
      std::string& header = headers.emplace_back(TensorHeader(tensors[i], kept.bytes()));
      items[i].key = ToKey(keys[i].key, keys[i].key_length);
      items[i].pieces.push_back({header.data(), header.size(), nullptr, 0});
      items[i].pieces.push_back({kept.data(), kept.bytes(), kept.contiguous() ? nullptr : &kept, 0});
    }
    ObjectStore::Statuses results;
    if (status.ok()) {
      status = store->instance->store().Write(items, call.policy, call.exists_is_error, call.timeout_ms, &results);
    }
    return Finish(status, results, count, statuses, error);
  });
}

slipway_status WriteTensor(slipway_store* store, const char* key, size_t key_length, const slipway_tensor* tensor,
                           const slipway_store_write_options* options, bool replace, slipway_failure* error) {
  const slipway_store_key one = {key, key_length};
  slipway_status status = SLIPWAY_OK;
  const slipway_status call = WriteTensors(store, &one, tensor, 1, options, replace, &status, error);
  if (call != SLIPWAY_OK || status == SLIPWAY_OK) return call;
  return Report(status, "the key has a value already, which was kept", error);
}

void FillTensorInfo(const slipway_tensor_info& info, slipway_tensor_info* out) {
  const uint32_t size = out->struct_size;
  std::memcpy(out, &info, std::min<size_t>(size, sizeof info));
  out->struct_size = size;
}

// Turns what was read as bytes into a tensor, or into why it is none.
Status ToTensor(const HeldValue& value, slipway_tensor_info* out) {
  const std::string_view bytes(value.data(), value.length());
  const Result<uint64_t> header = TensorHeaderBytes(bytes.substr(0, 8), bytes.size());
  if (!header.ok()) return header.status();
  slipway_tensor_info info{};
  SLIPWAY_RETURN_IF_ERROR(ParseTensorHeader(bytes.substr(0, *header), bytes.size(), &info));
  FillTensorInfo(info, out);
  return {};
}

}  // namespace
}  // namespace slipway

extern "C" {

SLIPWAY_API const char* slipway_dtype_name(uint32_t dtype) {
  const slipway::DtypeInfo* info = slipway::FindDtype(dtype);
  return info == nullptr ? nullptr : info->name;
}
SLIPWAY_API uint32_t slipway_dtype_bytes(uint32_t dtype) {
  const slipway::DtypeInfo* info = slipway::FindDtype(dtype);
  return info == nullptr ? 0 : info->bytes;
}
SLIPWAY_API uint32_t slipway_dtype_from_name(const char* name) {
  const slipway::DtypeInfo* info = name == nullptr ? nullptr : slipway::FindDtype(std::string_view(name));
  return info == nullptr ? 0 : info->dtype;
}

SLIPWAY_API slipway_status slipway_store_put_tensor(slipway_store* store, const char* key, size_t key_length,
                                                    const slipway_tensor* tensor,
                                                    const slipway_store_write_options* options,
                                                    slipway_failure* error) {
  return slipway::WriteTensor(store, key, key_length, tensor, options, false, error);
}
SLIPWAY_API slipway_status slipway_store_put_tensor_batch(slipway_store* store, const slipway_store_key* keys,
                                                          const slipway_tensor* tensors, size_t count,
                                                          const slipway_store_write_options* options,
                                                          slipway_status* statuses, slipway_failure* error) {
  return slipway::WriteTensors(store, keys, tensors, count, options, false, statuses, error);
}
SLIPWAY_API slipway_status slipway_store_upsert_tensor(slipway_store* store, const char* key, size_t key_length,
                                                       const slipway_tensor* tensor,
                                                       const slipway_store_write_options* options,
                                                       slipway_failure* error) {
  return slipway::WriteTensor(store, key, key_length, tensor, options, true, error);
}
SLIPWAY_API slipway_status slipway_store_upsert_tensor_batch(slipway_store* store, const slipway_store_key* keys,
                                                             const slipway_tensor* tensors, size_t count,
                                                             const slipway_store_write_options* options,
                                                             slipway_status* statuses, slipway_failure* error) {
  return slipway::WriteTensors(store, keys, tensors, count, options, true, statuses, error);
}

SLIPWAY_API slipway_status slipway_store_tensor_info(slipway_store* store, const char* key, size_t key_length,
                                                     const slipway_store_read_options* options,
                                                     slipway_tensor_info* info, slipway_failure* error) {
  if (store == nullptr || info == nullptr) return Report(SLIPWAY_E_INVALID, "store or info is null", error);
  return Guarded(error, [&] {
    slipway_store_read_options read;
    slipway_tensor_info found{};
    Status status = slipway::ToReadOptions(options, &read);
    if (status.ok()) status = store->instance->store().GetTensorInfo(ToKey(key, key_length), read, &found);
    if (status.ok()) slipway::FillTensorInfo(found, info);
    return Report(status, error);
  });
}

SLIPWAY_API slipway_status slipway_store_get_tensor(slipway_store* store, const char* key, size_t key_length,
                                                    const slipway_store_read_options* options,
                                                    slipway_tensor_info* info, slipway_store_view** out,
                                                    slipway_failure* error) {
  const slipway_store_key one = {key, key_length};
  return slipway_store_get_tensor_batch(store, &one, 1, options, info, out, nullptr, error);
}

SLIPWAY_API slipway_status slipway_store_get_tensor_batch(slipway_store* store, const slipway_store_key* keys,
                                                          size_t count, const slipway_store_read_options* options,
                                                          slipway_tensor_info* infos, slipway_store_view** views,
                                                          slipway_status* statuses, slipway_failure* error) {
  if (store == nullptr || ((keys == nullptr || infos == nullptr || views == nullptr) && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "store, keys, infos or views is null", error);
  }
  return Guarded(error, [&] {
    slipway_store_read_options read;
    ObjectStore::Statuses results;
    std::vector<std::unique_ptr<HeldValue>> values;
    const std::vector<std::string_view> list = slipway::ToKeys(keys, count);
    Status status = slipway::ToReadOptions(options, &read);
    if (status.ok()) status = store->instance->store().Get(list, read, false, &values, &results);
    for (size_t i = 0; i < count; ++i) {
      views[i] = nullptr;
      if (i >= values.size() || values[i] == nullptr) continue;
      results[i] = slipway::ToTensor(*values[i], &infos[i]);
      if (results[i].ok()) {
        views[i] = slipway::Wrap(values[i].release());
      } else {
        results[i] = Status(results[i].code(), "key " + slipway::Quoted(list[i]) + ": " + results[i].message());
      }
    }
    return Finish(status, results, count, statuses, error);
  });
}

SLIPWAY_API slipway_status slipway_store_get_tensor_into(slipway_store* store, const char* key, size_t key_length,
                                                         const slipway_tensor* target,
                                                         const slipway_store_read_options* options,
                                                         slipway_failure* error) {
  if (store == nullptr || target == nullptr) return Report(SLIPWAY_E_INVALID, "store or target is null", error);
  return Guarded(error, [&] {
    slipway_store_read_options read;
    Status status = slipway::ToReadOptions(options, &read);
    if (status.ok()) status = store->instance->store().GetTensorInto(ToKey(key, key_length), *target, read);
    return Report(status, error);
  });
}

}  // extern "C"

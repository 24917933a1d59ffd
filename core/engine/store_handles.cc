#include "core/engine/store_handles.h"

#include <algorithm>
#include <cstring>

namespace slipway {
namespace {

constexpr size_t kMostPreferred = 256;
constexpr size_t kMostGroupBytes = 255;

Status Bad(const std::string& what) { return Status(SLIPWAY_E_INVALID, what); }

}  // namespace

Status ToWriteCall(const slipway_store_write_options* options, bool replace, const StoreOptions& defaults,
                   WriteCall* call) {
  slipway_store_write_options o{};
  if (options != nullptr) std::memcpy(&o, options, std::min<size_t>(options->struct_size, sizeof o));
  if (o.if_exists > SLIPWAY_IF_EXISTS_ERROR) return Bad("options: if_exists is none of SLIPWAY_IF_EXISTS_*");
  if (o.keep > SLIPWAY_KEEP_PINNED) return Bad("options: keep is none of SLIPWAY_KEEP_*");
  if (o.checksum > SLIPWAY_CHECKSUM_OFF) return Bad("options: checksum is none of SLIPWAY_CHECKSUM_*");
  if (o.replicas > kReplicasMax) return Bad("options: at most " + std::to_string(kReplicasMax) + " replicas");
  if (o.preferred_count > kMostPreferred) {
    return Bad("options: at most " + std::to_string(kMostPreferred) + " preferred segments");
  }
  if (o.preferred_count > 0 && o.preferred_segments == nullptr) return Bad("options: preferred_segments is null");
  for (uint32_t i = 0; i < o.preferred_count; ++i) {
    if (o.preferred_segments[i] == nullptr) return Bad("options: a preferred segment is null");
    call->policy.preferred.emplace_back(o.preferred_segments[i]);
  }
  if (o.group != nullptr) call->policy.group = o.group;
  if (call->policy.group.size() > kMostGroupBytes) return Bad("options: a group has at most 255 bytes");
  call->policy.replace = replace;
  call->policy.checksum =
      o.checksum == SLIPWAY_CHECKSUM_DEFAULT ? defaults.checksums : o.checksum == SLIPWAY_CHECKSUM_ON;
  call->policy.keep = o.keep == SLIPWAY_KEEP_DEFAULT ? KeepClass::kEvictable : static_cast<KeepClass>(o.keep);
  call->policy.replicas = o.replicas == 0 ? static_cast<uint32_t>(defaults.replicas) : o.replicas;
  call->exists_is_error = o.if_exists == SLIPWAY_IF_EXISTS_ERROR;
  call->timeout_ms = o.timeout_ms;
  call->policy.order = {o.stream_kind, o.stream};
  return {};
}

Status ToReadOptions(const slipway_store_read_options* options, slipway_store_read_options* out) {
  *out = {};
  if (options != nullptr) std::memcpy(out, options, std::min<size_t>(options->struct_size, sizeof *out));
  if (out->verify > SLIPWAY_VERIFY_OFF) return Bad("options: verify is none of SLIPWAY_VERIFY_*");
  return {};
}

std::vector<std::string_view> ToKeys(const slipway_store_key* keys, size_t count) {
  std::vector<std::string_view> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(ToKey(keys[i].key, keys[i].key_length));
  return out;
}

Status ToItems(const slipway_store_item* items, size_t count, std::vector<Item>* out) {
  if (items == nullptr && count > 0) return Bad("items is null");
  out->resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (items[i].key == nullptr && items[i].key_length > 0) {
      return Bad("item " + std::to_string(i) + ": the key is null");
    }
    if (items[i].parts == nullptr && items[i].part_count > 0) {
      return Bad("item " + std::to_string(i) + ": parts is null and part_count " + std::to_string(items[i].part_count));
    }
    Item& item = (*out)[i];
    item.key = ToKey(items[i].key, items[i].key_length);
    item.pieces.reserve(items[i].part_count);
    for (size_t p = 0; p < items[i].part_count; ++p) {
      item.pieces.push_back({static_cast<char*>(items[i].parts[p].address), items[i].parts[p].length, nullptr, 0});
    }
  }
  return {};
}

slipway_status Finish(const Status& call, const ObjectStore::Statuses& statuses, size_t count, slipway_status* out,
                      slipway_failure* error) {
  if (!call.ok()) {
    if (out != nullptr) std::fill(out, out + count, call.code());
    return Report(call, error);
  }
  const Status* first = nullptr;
  for (size_t i = 0; i < statuses.size(); ++i) {
    if (out != nullptr) out[i] = statuses[i].code();
    if (first == nullptr && statuses[i].code() < 0) first = &statuses[i];
  }
  return first == nullptr ? SLIPWAY_OK : Report(*first, error);
}

}  // namespace slipway

// The C API of the store: stores themselves, keys, memory.
#include <algorithm>
#include <cstring>

#include "core/config/reader.h"
#include "core/engine/store_handles.h"

using slipway::Finish;
using slipway::Guarded;
using slipway::ObjectStat;
using slipway::ObjectStore;
using slipway::Report;
using slipway::Result;
using slipway::Status;
using slipway::ToKey;

namespace slipway {
namespace {

constexpr size_t kListPage = 1024;
constexpr uint64_t kNsPerMs = 1'000'000;

slipway_status OpenStore(slipway_engine* engine, const std::string& address, uint64_t timeout_ms, bool owns_engine,
                         slipway_store** out, slipway_failure* error) {
  Result<std::shared_ptr<StoreInstance>> instance =
      address.empty() ? StoreInstance::Own(engine->node) : StoreInstance::Of(engine->node, address, timeout_ms);
  if (!instance.ok()) return Report(instance.status(), error);
  *out = new slipway_store{std::move(*instance), engine, owns_engine};
  return SLIPWAY_OK;
}

slipway_status CreateStore(slipway_engine* engine, slipway_store** out, slipway_failure* error) {
  const slipway_status status = Guarded(error, [&] {
    const Options& options = engine->node->options();
    return OpenStore(engine, options.store.connect, options.transfer.connect_timeout_ms, true, out, error);
  });
  if (status != SLIPWAY_OK) slipway_engine_destroy(engine);
  return status;
}

void FillInfo(const ObjectStat& stat, slipway_store_info* out) {
  slipway_store_info info{};
  info.struct_size = out->struct_size;
  info.keep = static_cast<uint32_t>(stat.keep);
  info.replicas = stat.replicas;
  info.checksummed = stat.checksummed ? 1 : 0;
  info.length = stat.length;
  info.version = stat.version;
  std::memcpy(out, &info, std::min<size_t>(out->struct_size, sizeof info));
}

Status NotFound(std::string_view key) {
  return Status(SLIPWAY_E_NOT_FOUND, "key " + Quoted(key) + ": there is no object under this key");
}

}  // namespace
}  // namespace slipway

extern "C" {

SLIPWAY_API slipway_status slipway_store_create_from_file(const char* path, slipway_store** out,
                                                          slipway_failure* error) {
  if (out == nullptr) return Report(SLIPWAY_E_INVALID, "out is null", error);
  slipway_engine* engine = nullptr;
  const slipway_status status = slipway_engine_create_from_file(path, &engine, error);
  return status == SLIPWAY_OK ? slipway::CreateStore(engine, out, error) : status;
}

SLIPWAY_API slipway_status slipway_store_create_from_json(const char* json, size_t length, slipway_store** out,
                                                          slipway_failure* error) {
  if (out == nullptr) return Report(SLIPWAY_E_INVALID, "out is null", error);
  slipway_engine* engine = nullptr;
  const slipway_status status = slipway_engine_create_from_json(json, length, &engine, error);
  return status == SLIPWAY_OK ? slipway::CreateStore(engine, out, error) : status;
}

SLIPWAY_API slipway_status slipway_store_open(slipway_engine* engine, const char* address, uint64_t timeout_ms,
                                              slipway_store** out, slipway_failure* error) {
  if (engine == nullptr || out == nullptr) return Report(SLIPWAY_E_INVALID, "engine or out is null", error);
  return Guarded(error, [&] {
    return slipway::OpenStore(engine, address == nullptr ? "" : address, timeout_ms, false, out, error);
  });
}

SLIPWAY_API void slipway_store_close(slipway_store* store) {
  if (store == nullptr) return;
  slipway_engine* const engine = store->owns_engine ? store->engine : nullptr;
  (void)Guarded(nullptr, [&] {
    store->instance.reset();
    return SLIPWAY_OK;
  });
  delete store;
  slipway_engine_destroy(engine);
}

SLIPWAY_API slipway_engine* slipway_store_engine(slipway_store* store) {
  return store == nullptr ? nullptr : store->engine;
}

SLIPWAY_API slipway_status slipway_store_describe(slipway_store* store, char* text, size_t* len,
                                                  slipway_failure* error) {
  if (store == nullptr) return Report(SLIPWAY_E_INVALID, "store is null", error);
  return Guarded(error, [&] {
    Result<std::string> json = store->instance->DescribeJson();
    if (!json.ok()) return Report(json.status(), error);
    return slipway::PutText(*json, text, len);
  });
}

// ---- keys
// ------------------------------------------------------------------------------------------------------------

SLIPWAY_API slipway_status slipway_store_exists(slipway_store* store, const char* key, size_t key_length,
                                                slipway_failure* error) {
  const slipway_store_key one = {key, key_length};
  return slipway_store_stat_batch(store, &one, 1, nullptr, nullptr, error);
}

SLIPWAY_API slipway_status slipway_store_stat(slipway_store* store, const char* key, size_t key_length,
                                              slipway_store_info* info, slipway_failure* error) {
  if (info == nullptr) return Report(SLIPWAY_E_INVALID, "info is null", error);
  const slipway_store_key one = {key, key_length};
  return slipway_store_stat_batch(store, &one, 1, info, nullptr, error);
}

SLIPWAY_API slipway_status slipway_store_stat_batch(slipway_store* store, const slipway_store_key* keys, size_t count,
                                                    slipway_store_info* infos, slipway_status* statuses,
                                                    slipway_failure* error) {
  if (store == nullptr || (keys == nullptr && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "store or keys is null", error);
  }
  return Guarded(error, [&] {
    const std::vector<std::string_view> list = slipway::ToKeys(keys, count);
    std::vector<ObjectStat> stats(count);
    ObjectStore::Statuses results(count);
    const Status status = store->instance->store().directory().Stat(list, stats);
    for (size_t i = 0; i < count && status.ok(); ++i) {
      if (stats[i].code != SLIPWAY_OK) {
        results[i] = slipway::NotFound(list[i]);
      } else if (infos != nullptr) {
        slipway::FillInfo(stats[i], &infos[i]);
      }
    }
    return Finish(status, results, count, statuses, error);
  });
}

SLIPWAY_API slipway_status slipway_store_remove(slipway_store* store, const char* key, size_t key_length,
                                                slipway_failure* error) {
  const slipway_store_key one = {key, key_length};
  return slipway_store_remove_batch(store, &one, 1, nullptr, error);
}

SLIPWAY_API slipway_status slipway_store_remove_batch(slipway_store* store, const slipway_store_key* keys, size_t count,
                                                      slipway_status* statuses, slipway_failure* error) {
  if (store == nullptr || (keys == nullptr && count > 0)) {
    return Report(SLIPWAY_E_INVALID, "store or keys is null", error);
  }
  return Guarded(error, [&] {
    const std::vector<std::string_view> list = slipway::ToKeys(keys, count);
    std::vector<slipway_status> codes(count, SLIPWAY_E_NOT_FOUND);
    ObjectStore::Statuses results(count);
    const Status status = store->instance->store().directory().Remove(list, codes);
    for (size_t i = 0; i < count && status.ok(); ++i) {
      if (codes[i] != SLIPWAY_OK) results[i] = slipway::NotFound(list[i]);
    }
    return Finish(status, results, count, statuses, error);
  });
}

SLIPWAY_API slipway_status slipway_store_remove_all(slipway_store* store, const char* prefix, size_t prefix_length,
                                                    uint64_t* removed, slipway_failure* error) {
  if (store == nullptr) return Report(SLIPWAY_E_INVALID, "store is null", error);
  return Guarded(error, [&] {
    const Result<uint64_t> count = store->instance->store().directory().RemoveAll(ToKey(prefix, prefix_length));
    if (!count.ok()) return Report(count.status(), error);
    if (removed != nullptr) *removed = *count;
    return slipway_status{SLIPWAY_OK};
  });
}

SLIPWAY_API slipway_status slipway_store_list(slipway_store* store, const char* prefix, size_t prefix_length,
                                              slipway_store_each each, void* user, slipway_failure* error) {
  if (store == nullptr || each == nullptr) return Report(SLIPWAY_E_INVALID, "store or each is null", error);
  return Guarded(error, [&] {
    std::string after;
    for (;;) {
      const Result<std::vector<ObjectStat>> page =
          store->instance->store().directory().List(ToKey(prefix, prefix_length), after, slipway::kListPage);
      if (!page.ok()) return Report(page.status(), error);
      for (const ObjectStat& stat : *page) {
        slipway_store_info info{};
        info.struct_size = sizeof info;
        slipway::FillInfo(stat, &info);
        if (each(user, stat.key.data(), stat.key.size(), &info) != 0) return slipway_status{SLIPWAY_OK};
      }
      if (page->size() < slipway::kListPage) return slipway_status{SLIPWAY_OK};
      after = page->back().key;
    }
  });
}

// ---- memory
// ----------------------------------------------------------------------------------------------------------

SLIPWAY_API slipway_status slipway_store_register_buffer(slipway_store* store, void* address, uint64_t length,
                                                         slipway_failure* error) {
  if (store == nullptr) return Report(SLIPWAY_E_INVALID, "store is null", error);
  return Guarded(error, [&] { return Report(store->instance->node().Declare(address, length, 0), error); });
}

SLIPWAY_API slipway_status slipway_store_unregister_buffer(slipway_store* store, void* address, uint64_t length,
                                                           uint64_t timeout_ms, slipway_failure* error) {
  if (store == nullptr) return Report(SLIPWAY_E_INVALID, "store is null", error);
  return Guarded(error, [&] {
    const uint64_t ns = timeout_ms > UINT64_MAX / slipway::kNsPerMs ? UINT64_MAX : timeout_ms * slipway::kNsPerMs;
    return Report(store->instance->node().Undeclare(address, length, ns), error);
  });
}

SLIPWAY_API slipway_status slipway_store_mount_segment(slipway_store* store, const char* name,
                                                       const slipway_store_segment_options* options,
                                                       slipway_failure* error) {
  if (store == nullptr || name == nullptr || options == nullptr) {
    return Report(SLIPWAY_E_INVALID, "store, name or options is null", error);
  }
  return Guarded(error, [&] {
    slipway_store_segment_options o{};
    std::memcpy(&o, options, std::min<size_t>(options->struct_size, sizeof o));
    if (o.flags != 0) return Report(SLIPWAY_E_INVALID, "flags must be 0", error);
    const int sources = (o.file != nullptr) + (o.address != nullptr) + (o.transport != nullptr);
    if (sources > 1) return Report(SLIPWAY_E_INVALID, "give one of file, address and transport", error);
    if (store->instance->local() == nullptr) {
      return Report(SLIPWAY_E_UNSUPPORTED, "the store is another node's: mount the segment there", error);
    }
    const auto begin = reinterpret_cast<uint64_t>(o.address);
    if (o.address != nullptr && (o.length == 0 || begin + o.length < begin)) {
      return Report(SLIPWAY_E_INVALID, "the length is 0, or wraps around the address space with the address", error);
    }
    Result<slipway::SegmentMemory> memory = o.address != nullptr ? slipway::SegmentMemory::Borrow(o.address, o.length)
                                            : o.file != nullptr  ? slipway::SegmentMemory::MapFile(o.file, o.length)
                                            : o.transport != nullptr
                                                ? store->instance->AllocateFrom(o.transport, o.length)
                                                : slipway::SegmentMemory::Map(o.length);
    if (!memory.ok()) return Report(memory.status(), error);
    return Report(store->instance->local()->Mount(name, std::move(*memory)), error);
  });
}

SLIPWAY_API slipway_status slipway_store_unmount_segment(slipway_store* store, const char* name, uint64_t timeout_ms,
                                                         slipway_failure* error) {
  if (store == nullptr || name == nullptr) return Report(SLIPWAY_E_INVALID, "store or name is null", error);
  return Guarded(error, [&] {
    if (store->instance->local() == nullptr) {
      return Report(SLIPWAY_E_UNSUPPORTED, "the store is another node's: unmount the segment there", error);
    }
    constexpr uint64_t kLongestMs = 3'600'000;  // every wait is bounded
    const uint64_t ns = std::min(timeout_ms, kLongestMs) * slipway::kNsPerMs;
    return Report(store->instance->local()->Unmount(name, ns), error);
  });
}

}  // extern "C"

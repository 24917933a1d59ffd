// What the store's handles of the C API are, and how its arguments become the store's.
#ifndef SLIPWAY_CORE_ENGINE_STORE_HANDLES_H_
#define SLIPWAY_CORE_ENGINE_STORE_HANDLES_H_

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/engine/handles.h"
#include "core/engine/store_instance.h"
#include "slipway/store.h"

struct slipway_store {
  std::shared_ptr<slipway::StoreInstance> instance;
  slipway_engine* engine = nullptr;
  bool owns_engine = false;
};

namespace slipway {

inline slipway_store_view* Wrap(HeldValue* value) { return reinterpret_cast<slipway_store_view*>(value); }
inline HeldValue* Unwrap(slipway_store_view* view) { return reinterpret_cast<HeldValue*>(view); }
inline const HeldValue* Unwrap(const slipway_store_view* view) { return reinterpret_cast<const HeldValue*>(view); }

struct WriteCall {
  WritePolicy policy;
  bool exists_is_error = false;
  uint64_t timeout_ms = 0;
};
// Options may be NULL, and shorter than here. E_INVALID names what cannot be.
Status ToWriteCall(const slipway_store_write_options* options, bool replace, const StoreOptions& defaults,
                   WriteCall* call);
Status ToReadOptions(const slipway_store_read_options* options, slipway_store_read_options* out);

inline std::string_view ToKey(const char* key, size_t length) {
  return key == nullptr ? std::string_view() : std::string_view(key, length);
}
std::vector<std::string_view> ToKeys(const slipway_store_key* keys, size_t count);
// Refuses NULL lists with a count.
Status ToItems(const slipway_store_item* items, size_t count, std::vector<Item>* out);

// What an entry returns: statuses go out where there is room, the first failure is reported.
slipway_status Finish(const Status& call, const ObjectStore::Statuses& statuses, size_t count, slipway_status* out,
                      slipway_failure* error);

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_STORE_HANDLES_H_

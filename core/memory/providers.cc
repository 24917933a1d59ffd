#include "core/memory/providers.h"

#include "core/base/bytes.h"
#include "core/base/status_name.h"

namespace slipway {

const void* MemoryProvider::Extension(const char* id) const {
  if (!SLIPWAY_HAS(table, slipway_memory_provider, get_extension) || table->get_extension == nullptr) return nullptr;
  return table->get_extension(id);
}

Result<slipway_pin*> MemoryProvider::Pin(void* addr, uint64_t length) const {
  if (!CanPin()) return Status(SLIPWAY_E_UNSUPPORTED, name() + " does not pin host memory");
  slipway_error error = EmptyError();
  slipway_pin* pin = nullptr;
  const slipway_status status = table->pin_host(instance, addr, length, &pin, &error);
  if (status == SLIPWAY_OK) return pin;
  return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, name() + " cannot pin " + FormatSize(length));
}

Status MemoryProvider::Unpin(slipway_pin* pin) const {
  slipway_error error = EmptyError();
  const slipway_status status = table->unpin_host(instance, pin, &error);
  if (status == SLIPWAY_OK) return {};
  return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, name() + " cannot unpin");
}

Providers::~Providers() {
  while (!providers_.empty()) {
    providers_.back().table->destroy(providers_.back().instance);
    providers_.pop_back();
  }
}

Status Providers::Add(const slipway_memory_provider* table, const slipway_host* host, const std::string& options_json,
                      const std::string& json_pointer) {
  if (const MemoryProvider* other = Find(table->mem_kind)) {
    return Status(SLIPWAY_E_CONFIG_CONFLICT, json_pointer + ": " + table->name + " and " + other->name() +
                                                 " are providers of the same kind of memory: keep one of them");
  }
  slipway_error error = EmptyError();
  slipway_provider* instance = nullptr;
  const slipway_status status = table->create(host, options_json.data(), options_json.size(), &instance, &error);
  if (status == SLIPWAY_OK) {
    providers_.push_back({table, instance});
    kinds_ |= table->mem_kind;
    return {};
  }
  Status said = FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, table->name);
  if (status != SLIPWAY_E_CONFIG) return said;
  return Status(SLIPWAY_E_PLUGIN_CONFIG, json_pointer + ": " + said.message());
}

MemoryInfo Providers::Classify(const void* addr, uint64_t length) const {
  for (const MemoryProvider& p : providers_) {
    slipway_mem_info info{};
    info.struct_size = sizeof info;
    if (p.table->classify(p.instance, addr, length, &info) != SLIPWAY_OK || info.mem_kind != p.kind()) continue;
    return {info.mem_kind, reinterpret_cast<uint64_t>(info.base), info.base == nullptr ? 0 : info.size,
            info.allocation_id};
  }
  return {};
}

const MemoryProvider* Providers::Find(uint64_t kind) const {
  for (const MemoryProvider& p : providers_) {
    if (p.kind() == kind) return &p;
  }
  return nullptr;
}

}  // namespace slipway

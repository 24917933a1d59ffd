// The configured memory providers: what kind of memory an address is, and who copies and pins for which kind.
#ifndef SLIPWAY_CORE_MEMORY_PROVIDERS_H_
#define SLIPWAY_CORE_MEMORY_PROVIDERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "slipway/abi/memory_provider.h"
#include "slipway/status.hpp"

namespace slipway {

// What an address is made of. Host memory where no provider claims it; the rest is then 0.
struct MemoryInfo {
  uint64_t kind = SLIPWAY_MEM_HOST;  // one SLIPWAY_MEM_* bit
  uint64_t base = 0, size = 0;       // of the allocation; size 0: unknown
  uint64_t allocation_id = 0;        // 0: unknown
};

// One provider's instance; owned by Providers.
struct MemoryProvider {
  const slipway_memory_provider* table = nullptr;
  slipway_provider* instance = nullptr;

  std::string name() const { return table->name; }
  uint64_t kind() const { return table->mem_kind; }
  // A table of slipway/sdk/memory_provider_extensions.hpp, or null.
  const void* Extension(const char* id) const;
  // Page-aligned, not empty. Whoever pins reserves the bytes in the budget first. E_PIN_LIMIT and E_BUSY: do without.
  Result<slipway_pin*> Pin(void* addr, uint64_t length) const;
  // On failure the pages stay pinned and the pin stays valid.
  Status Unpin(slipway_pin* pin) const;
  bool CanPin() const { return table->pin_host != nullptr && table->unpin_host != nullptr; }
};

// Owns the instances. Thread-safe once every provider has been added.
class Providers {
 public:
  Providers() = default;
  ~Providers();
  Providers(const Providers&) = delete;
  Providers& operator=(const Providers&) = delete;

  // Creates an instance; `host` outlives it. E_PLUGIN_CONFIG where the plugin refuses `options_json`, E_CONFIG_CONFLICT
  // where another provider has the kind already.
  Status Add(const slipway_memory_provider* table, const slipway_host* host, const std::string& options_json,
             const std::string& json_pointer);

  MemoryInfo Classify(const void* addr, uint64_t length) const;
  // The one that copies memory of `kind`; null where there is none, and for host memory.
  const MemoryProvider* Find(uint64_t kind) const;
  // SLIPWAY_MEM_* bits of all of them.
  uint64_t kinds() const { return kinds_; }
  const std::vector<MemoryProvider>& all() const { return providers_; }

 private:
  std::vector<MemoryProvider> providers_;
  uint64_t kinds_ = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_PROVIDERS_H_

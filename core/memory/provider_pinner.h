// A memory provider as the pin cache sees it: what is pinned are pages of the host, for its devices to copy.
#ifndef SLIPWAY_CORE_MEMORY_PROVIDER_PINNER_H_
#define SLIPWAY_CORE_MEMORY_PROVIDER_PINNER_H_

#include "core/memory/copier.h"
#include "core/memory/pinner.h"
#include "core/memory/providers.h"

namespace slipway {

// Thread-safe, as the provider's pinning is.
class ProviderPinner final : public Pinner {
 public:
  // `copies` are those of all providers.
  ProviderPinner(const MemoryProvider& provider, const CopyService& copies) : provider_(provider), copies_(copies) {}

  Result<PinHandle> Pin(const slipway_range& range) override {
    Result<slipway_pin*> made = provider_.Pin(range.addr, range.length);
    if (!made.ok()) return made.status();
    return static_cast<PinHandle>(*made);
  }
  Status Unpin(PinHandle handle) override {
    Status status = provider_.Unpin(static_cast<slipway_pin*>(handle));
    if (status.code() == SLIPWAY_E_BUSY) return Status(SLIPWAY_E_REGION_BUSY, status.message());
    return status;
  }
  // A device's driver starts no copy while it pins, and while it unpins waits for those that it has started.
  void AwaitQuiet() override;
  PinnerTraits Traits() const {
    PinnerTraits traits;
    traits.name = provider_.name();
    traits.mem_kinds = SLIPWAY_MEM_HOST;
    traits.for_devices = true;
    return traits;
  }

 private:
  const MemoryProvider& provider_;
  const CopyService& copies_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_PROVIDER_PINNER_H_

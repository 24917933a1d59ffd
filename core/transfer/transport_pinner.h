// A transport as the pin cache sees it: what is pinned is a registration.
#ifndef SLIPWAY_CORE_TRANSFER_TRANSPORT_PINNER_H_
#define SLIPWAY_CORE_TRANSFER_TRANSPORT_PINNER_H_

#include "core/memory/pinner.h"
#include "core/transfer/transport.h"

namespace slipway {

// Thread-safe, as the transport's registering is.
class TransportPinner final : public Pinner {
 public:
  explicit TransportPinner(Transport& transport) : transport_(transport) {}

  Result<PinHandle> Pin(const slipway_range& range) override {
    Result<slipway_mr*> made = transport_.RegisterMemory(range);
    if (!made.ok()) return made.status();
    return static_cast<PinHandle>(*made);
  }
  Status Unpin(PinHandle handle) override {
    Status status = transport_.DeregisterMemory(static_cast<slipway_mr*>(handle));
    if (status.code() == SLIPWAY_E_BUSY) return Status(SLIPWAY_E_REGION_BUSY, status.message());
    return status;
  }
  PinnerTraits Traits() const {
    const slipway_attrs& a = transport_.attrs();
    PinnerTraits traits;
    traits.name = transport_.name();
    traits.mem_kinds = a.mem_kinds;
    traits.granularity_bytes = a.reg_granularity;
    traits.max_pin_bytes = a.max_mr_bytes;
    traits.max_total_bytes = a.max_registered_bytes;
    traits.max_pins = a.max_mrs;
    traits.pins_per_byte = a.pins_per_reg;
    return traits;
  }

 private:
  Transport& transport_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_TRANSPORT_PINNER_H_

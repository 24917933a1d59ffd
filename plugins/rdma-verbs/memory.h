// Registrations: one memory region a device, all under one base address on the wire that cannot be guessed.
//
// A remote key has 32 bits, and drivers give them out in a pattern. The address that a peer has to name beside it is
// free, so it is random: offset 0 of a registration is called `wire_base`, of which the low 30 bits are the memory's
// own (so that the device can use large pages) and the next 33 are random. A stale key thus leads nowhere even where
// the driver has given the same key out again.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_MEMORY_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_MEMORY_H_

#include <array>
#include <memory>
#include <vector>

#include "plugins/rdma-verbs/device.h"
#include "slipway/sdk/transport.hpp"

namespace slipway::rdma {

using Devices = std::vector<std::unique_ptr<Device>>;

// The IBV_ACCESS_* bits for SLIPWAY_ACCESS_* ones: those that were asked for, and no more. Verbs demand that whatever
// peers may write this side may write as well.
unsigned VerbsAccess(uint32_t access, const Config& config);

class Registration : public sdk::Registration {
 public:
  // E_PIN_LIMIT and E_NOMEM (retryable) where the system does not pin, E_INVALID where the range is not mapped that
  // way.
  static slipway_status Make(const Devices& devices, const Config& config, const slipway_range& range,
                             std::unique_ptr<sdk::Registration>& out, sdk::Error& err);
  ~Registration() override;

  // After OK no device touches the memory. E_BUSY: some device still may; to be tried again.
  slipway_status Release();

  uint32_t lkey(uint32_t device) const { return regions_[device]->lkey; }
  uint64_t WireAddress(const void* local) const { return wire_base_ + (reinterpret_cast<uintptr_t>(local) - address_); }
  uint64_t wire_base() const { return wire_base_; }
  std::vector<uint32_t> rkeys() const;

 private:
  Registration(const Devices& devices, const slipway_range& range);
  slipway_status Register(const Config& config, const slipway_range& range, sdk::Error& err);

  const Devices& devices_;
  const uintptr_t address_;
  uint64_t wire_base_ = 0;
  std::array<ibv_mr*, kDevicesMax> regions_{};  // by device
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_MEMORY_H_

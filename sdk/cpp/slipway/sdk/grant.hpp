// Registrations of transports that copy with the CPU: memory that peers name by a key, until it is deregistered.
#ifndef SLIPWAY_SDK_GRANT_HPP_
#define SLIPWAY_SDK_GRANT_HPP_

#include <cstdint>
#include <memory>
#include <utility>

#include "slipway/sdk/gate.hpp"
#include "slipway/sdk/key_table.hpp"
#include "slipway/sdk/transport.hpp"

namespace slipway::sdk {

// Whoever touches the memory for a peer is inside the gate meanwhile, and does so only if it lets them in: after that
// the registration is gone and its memory may be anything else's.
struct Grant {
  explicit Grant(const slipway_range& r) : range(r) {}

  char* At(uint64_t offset) const { return static_cast<char*>(range.addr) + offset; }

  const slipway_range range;
  uint64_t key = 0;
  Gate gate;
};

// The grants of one instance. Thread-safe, so that an instance with nothing else to do may claim CAP_REG_THREADSAFE.
class GrantTable {
 public:
  // How long Deregister waits for those who copy.
  static constexpr uint64_t kRevokeNs = 1'000'000'000;

  // For Instance::RegisterMemory and DeregisterMemory. E_BUSY: somebody went on copying; the grant is as it was.
  slipway_status Register(const slipway_range& range, std::unique_ptr<Registration>& out) {
    auto mr = std::make_unique<Granted>(range);
    table_.Add(mr->grant);
    out = std::move(mr);
    return SLIPWAY_OK;
  }
  slipway_status Deregister(const Host& host, Registration& mr) {
    if (!Of(mr).gate.TryClose(host, kRevokeNs)) return SLIPWAY_E_BUSY;
    table_.Remove(Of(mr).key);
    return SLIPWAY_OK;
  }

  // NULL: there never was one, or it was deregistered. Who found one may keep it and ask its gate.
  std::shared_ptr<Grant> Find(uint64_t key) const { return table_.Find(key); }

  // The grant of a registration that Register made, of this table or another.
  static Grant& Of(Registration& mr) { return *static_cast<Granted&>(mr).grant; }

 private:
  struct Granted final : Registration {
    explicit Granted(const slipway_range& range) : grant(std::make_shared<Grant>(range)) {}
    const std::shared_ptr<Grant> grant;
  };

  KeyTable<Grant> table_;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_GRANT_HPP_

#include "core/memory/host_pins.h"

#include <unistd.h>

#include "core/base/bytes.h"

namespace slipway {

std::vector<HostPin> HostPins::Pin(const void* addr, uint64_t length, std::vector<std::string>* warnings) {
  std::vector<HostPin> pins;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = RoundDown(reinterpret_cast<uint64_t>(addr), page);
  const uint64_t bytes = RoundUp(reinterpret_cast<uint64_t>(addr) + length, page) - begin;
  for (const MemoryProvider& p : providers_.all()) {
    if (!p.CanPin()) continue;
    if (!budget_.Reserve(bytes)) {
      counters_.Add(Counter::kRegisterRefused);
      warnings->push_back(p.name() + " does not pin " + FormatSize(bytes) +
                          ", since the pin budget is used up: raise memory.budget_bytes, or copies stay slower");
      continue;
    }
    Result<slipway_pin*> pin = p.Pin(reinterpret_cast<void*>(begin), bytes);
    if (pin.ok()) {
      counters_.Add(Counter::kRegistrations);
      pins.push_back({&p, *pin, bytes});
      continue;
    }
    budget_.Release(bytes);
    counters_.Add(Counter::kRegisterRefused);
    if (pin.status().code() == SLIPWAY_E_BUSY) continue;  // some of it is pinned already, which serves as well
    warnings->push_back(pin.status().message() + "; copies work without, slower");
  }
  return pins;
}

void HostPins::Unpin(const std::vector<HostPin>& pins, std::vector<std::string>* warnings) {
  for (const HostPin& pin : pins) {
    const Status status = pin.provider->Unpin(pin.pin);
    if (status.ok()) {
      counters_.Add(Counter::kDeregistrations);
      budget_.Release(pin.charged_bytes);
      continue;
    }
    counters_.Add(Counter::kDeregisterFailed);
    warnings->push_back(status.message());
  }
}

}  // namespace slipway

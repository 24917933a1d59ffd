#include "core/engine/copy_extension.h"

#include <memory>
#include <string>
#include <vector>

#include "core/loader/host.h"
#include "core/memory/host_pins.h"
#include "slipway/sdk/error.hpp"

namespace slipway {
namespace {

HostServices& ServicesOf(void* ctx) { return *static_cast<HostServices*>(ctx); }
CopyService& ServiceOf(void* ctx) { return *ServicesOf(ctx).Copies(); }
Copier* Unwrap(slipway_copier* copier) { return reinterpret_cast<Copier*>(copier); }

uint64_t MemKinds(void* ctx) { return ServiceOf(ctx).kinds(); }

slipway_status Open(void* ctx, void* cookie, slipway_copier** out, slipway_error* error) {
  if (out == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "open: nowhere to put the copier");
  return sdk::Guarded(error, [&]() -> slipway_status {
    Result<Copier*> copier = ServiceOf(ctx).Open(cookie, Counter::kDirectProviderCopies);
    if (!copier.ok()) return sdk::Fail(error, copier.status().code(), copier.status().message().c_str());
    *out = reinterpret_cast<slipway_copier*>(*copier);
    return SLIPWAY_OK;
  });
}

slipway_status Close(slipway_copier* copier) {
  if (copier == nullptr) return SLIPWAY_E_INVALID;
  return Unwrap(copier)->service().Close(Unwrap(copier)) ? SLIPWAY_OK : SLIPWAY_E_BUSY;
}

slipway_status Submit(slipway_copier* copier, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                      uint32_t* accepted, slipway_error* error) {
  if (accepted != nullptr) *accepted = 0;
  if (copier == nullptr || pieces == nullptr || accepted == nullptr || stride < sizeof(slipway_copy) ||
      stride % alignof(slipway_copy) != 0) {
    return sdk::Fail(error, SLIPWAY_E_INVALID, "submit: a NULL argument, or a stride that is too small or misaligned");
  }
  return Unwrap(copier)->Submit(pieces, stride, n, accepted, error);
}

slipway_status Poll(slipway_copier* copier, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  if (n != nullptr) *n = 0;
  if (copier == nullptr || out == nullptr || n == nullptr || stride < sizeof(slipway_completion) ||
      stride % alignof(slipway_completion) != 0) {
    return SLIPWAY_E_INVALID;
  }
  return Unwrap(copier)->Poll(out, stride, max, n);
}

using Pins = std::vector<HostPin>;

void Warn(HostServices& services, const std::vector<std::string>& warnings) {
  for (const std::string& text : warnings) services.Log(LogLevel::kWarning, text);
}

slipway_status Pin(void* ctx, void* addr, uint64_t length, uint64_t* kinds, slipway_host_pin** out,
                   slipway_error* error) {
  if (addr == nullptr || length == 0 || kinds == nullptr || out == nullptr) {
    return sdk::Fail(error, SLIPWAY_E_INVALID, "pin: a NULL argument, or no bytes");
  }
  return sdk::Guarded(error, [&]() -> slipway_status {
    std::vector<std::string> warnings;
    auto pins = std::make_unique<Pins>();
    if (HostPins* const pinner = ServicesOf(ctx).Pins()) *pins = pinner->Pin(addr, length, &warnings);
    Warn(ServicesOf(ctx), warnings);
    *kinds = 0;
    for (const HostPin& pin : *pins) *kinds |= pin.provider->kind();
    *out = reinterpret_cast<slipway_host_pin*>(pins.release());
    return SLIPWAY_OK;
  });
}

void Unpin(void* ctx, slipway_host_pin* handle) {
  if (handle == nullptr) return;
  const std::unique_ptr<Pins> pins(reinterpret_cast<Pins*>(handle));
  std::vector<std::string> warnings;
  if (!pins->empty()) ServicesOf(ctx).Pins()->Unpin(*pins, &warnings);
  Warn(ServicesOf(ctx), warnings);
}

constexpr slipway_host_copy kTable = {sizeof(slipway_host_copy), 0, MemKinds, Open, Close, Submit, Poll, Pin, Unpin};

}  // namespace

const slipway_host_copy* CopyExtension() { return &kTable; }

}  // namespace slipway

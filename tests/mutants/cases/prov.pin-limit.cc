// prov.pin-limit: a refused pin ends the process.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

slipway_status Pin(slipway_provider* p, void* addr, uint64_t length, slipway_pin** out, slipway_error* error) {
  const slipway_status s = good_pin_host(p, addr, length, out, error);
  if (s == SLIPWAY_E_PIN_LIMIT) abort();
  return s;
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(pin_host, Pin)

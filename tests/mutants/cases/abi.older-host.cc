// abi.older-host: reads a field that hosts of revision 1.0 do not have.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  const volatile uint64_t* beyond = reinterpret_cast<const uint64_t*>(host + 1);
  return *beyond == 1 ? SLIPWAY_E_INTERNAL : good_create(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)

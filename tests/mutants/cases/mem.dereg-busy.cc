// mem.dereg-busy: says OK to deregistering what is in use, and goes on using it.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Deregister(slipway_instance* i, slipway_mr* mr) {
  const slipway_status s = good_deregister_memory(i, mr);
  return s == SLIPWAY_E_BUSY ? SLIPWAY_OK : s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(deregister_memory, Deregister)

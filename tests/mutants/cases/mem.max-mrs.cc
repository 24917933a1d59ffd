// mem.max-mrs: what failed at the limit goes on being counted.
#include "tests/mutants/mutant.h"

namespace {

bool g_was_full = false;

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  if (g_was_full) return SLIPWAY_E_NOMEM;
  const slipway_status s = good_register_memory(i, range, out, error);
  g_was_full = s == SLIPWAY_E_NOMEM;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(register_memory, Register)

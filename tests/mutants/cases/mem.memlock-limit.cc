// mem.memlock-limit: a refused pin ends the process.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  const slipway_status s = good_register_memory(i, range, out, error);
  if (s == SLIPWAY_E_PIN_LIMIT) abort();
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(register_memory, Register)

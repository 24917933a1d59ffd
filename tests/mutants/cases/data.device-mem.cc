// data.device-mem: claims a kind of memory that it does not reach.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  return range->mem_kind == kOwnKind ? SLIPWAY_E_UNSUPPORTED : good_register_memory(i, range, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(register_memory, Register)

// reg.bad-args: a range that wraps around is cut, not refused.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  slipway_range cut = *range;
  if (reinterpret_cast<uintptr_t>(range->addr) > UINT64_MAX - range->length) cut.length = 4096;
  return good_register_memory(i, &cut, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(register_memory, Register)

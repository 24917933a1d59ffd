// reg.unaligned: rounds what is registered to pages, and answers so.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  slipway_range rounded = *range;
  const uintptr_t start = reinterpret_cast<uintptr_t>(range->addr), page = start & ~uintptr_t{4095};
  rounded.addr = reinterpret_cast<void*>(page);
  rounded.length = (start - page + range->length + 4095) & ~uint64_t{4095};
  return good_register_memory(i, &rounded, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(register_memory, Register)

// reg.partial-tail: says FULL of what runs past the end.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  if (s == SLIPWAY_OK && out->state == SLIPWAY_REG_PARTIAL) {
    out->state = SLIPWAY_REG_FULL;
    out->prefix_bytes = range->length;
  }
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

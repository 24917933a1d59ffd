// reg.partial-head: says FULL when only the end is registered.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  if (s != SLIPWAY_OK || out->state != SLIPWAY_REG_NONE) return s;
  slipway_range last = *range;
  last.addr = static_cast<char*>(range->addr) + range->length - 1;
  last.length = 1;
  good_query_registered(i, &last, out);
  out->prefix_bytes = out->state == SLIPWAY_REG_FULL ? range->length : 0;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

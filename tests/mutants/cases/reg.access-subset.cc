// reg.access-subset: does not look at the access.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  slipway_range any = *range;
  slipway_status s = SLIPWAY_OK;
  for (any.access = 1; any.access < SLIPWAY_ACCESS_ALL; any.access <<= 1) {
    s = good_query_registered(i, &any, out);
    if (s != SLIPWAY_OK || out->state != SLIPWAY_REG_NONE) return s;
  }
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

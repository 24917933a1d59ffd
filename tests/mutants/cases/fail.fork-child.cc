// fail.fork-child: does not notice that it was forked.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  return s == SLIPWAY_E_FORKED ? SLIPWAY_OK : s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

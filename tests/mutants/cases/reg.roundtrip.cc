// reg.roundtrip: goes on saying FULL of what is no longer registered.
#include "tests/mutants/mutant.h"

namespace {

slipway_range g_last{};
slipway_reg_info g_info{};

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  if (s != SLIPWAY_OK) return s;
  if (out->state == SLIPWAY_REG_FULL) {
    g_last = *range;
    g_info = *out;
  } else if (range->addr == g_last.addr) {
    out->state = SLIPWAY_REG_FULL;
    out->prefix_bytes = range->length;
    out->mr = g_info.mr;
  }
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

// reg.adjacent-two-mr: takes two registrations that touch for one.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  slipway_status s = good_query_registered(i, range, out);
  if (s != SLIPWAY_OK || out->state != SLIPWAY_REG_PARTIAL) return s;
  slipway_range rest = *range;
  rest.addr = static_cast<char*>(range->addr) + out->prefix_bytes;
  rest.length = range->length - out->prefix_bytes;
  slipway_reg_info info = *out;
  good_query_registered(i, &rest, &info);
  if (info.state != SLIPWAY_REG_FULL) return s;
  out->state = SLIPWAY_REG_FULL;
  out->prefix_bytes = range->length;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

// reg.query-pure: registers what it is asked about.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  if (s != SLIPWAY_OK || out->state != SLIPWAY_REG_NONE) return s;
  slipway_mr* mr = nullptr;
  good_register_memory(i, range, &mr, nullptr);
  return good_query_registered(i, range, out);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(query_registered, Query)

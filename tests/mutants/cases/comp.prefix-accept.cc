// comp.prefix-accept: one bad slice refuses all of them.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  for (uint32_t i = 0; i < n; ++i) {
    if (SliceAt(slices, stride, i).reserved == 0) continue;
    slipway_slice bad = SliceAt(slices, stride, i);
    return good_submit(ch, &bad, sizeof(bad), 1, accepted, error);
  }
  return good_submit(ch, slices, stride, n, accepted, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(submit, Submit)

// data.max-slice-plus-1: a slice that is too long is cut, not refused.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t, uint32_t* accepted,
                      slipway_error* error) {
  slipway_slice cut = *slices;
  if (cut.length > (1 << 20)) cut.length = 1 << 20;
  return good_submit(ch, &cut, stride, 1, accepted, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(submit, Submit)

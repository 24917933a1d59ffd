// data.alignments: remote offsets are rounded to 8.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  slipway_slice rounded = *slices;
  rounded.remote_offset &= ~uint64_t{7};
  return n == 1 ? good_submit(ch, &rounded, stride, 1, accepted, error)
                : good_submit(ch, slices, stride, n, accepted, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(submit, Submit)

// comp.nonblocking: submit waits.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  usleep(20000);
  return good_submit(ch, slices, stride, n, accepted, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(submit, Submit)

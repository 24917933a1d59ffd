// comp.poll-max: writes completions side by side, whatever the stride.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  return stride < sizeof(*out) ? SLIPWAY_E_INVALID : good_poll(ch, out, sizeof(*out), max, n);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(poll, Poll)

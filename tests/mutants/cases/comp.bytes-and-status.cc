// comp.bytes-and-status: completions say 0 bytes.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  for (uint32_t i = 0; i < *n; ++i) CompletionAt(out, stride, i).bytes = 0;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(poll, Poll)

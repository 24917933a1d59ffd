// fail.peer-sigkill: slices to a dead peer never complete.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < *n; ++i) {
    if (CompletionAt(out, stride, i).status == SLIPWAY_E_PEER) continue;
    CompletionAt(out, stride, kept++) = CompletionAt(out, stride, i);
  }
  *n = kept;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(poll, Poll)

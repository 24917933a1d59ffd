// comp.exactly-once: some completions come twice.
#include "tests/mutants/mutant.h"

namespace {

uint32_t g_turn = 0;

slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  if (*n > 0 && *n < max && ++g_turn % 7 == 0) {
    CompletionAt(out, stride, *n) = CompletionAt(out, stride, *n - 1);
    ++*n;
  }
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(poll, Poll)

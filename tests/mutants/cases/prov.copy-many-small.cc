// prov.copy-many-small: mixes up the tokens of many pieces.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Poll(slipway_copy_queue* q, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_copy_poll(q, out, stride, max, n);
  if (*n < 2) return s;
  slipway_completion &a = CompletionAt(out, stride, 0), &b = CompletionAt(out, stride, 1);
  const uint64_t token = a.token;
  a.token = b.token;
  b.token = token;
  return s;
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(copy_poll, Poll)

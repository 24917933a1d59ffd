// prov.copy-matrix: the last byte of long copies is not moved.
#include "tests/mutants/mutant.h"

namespace {

uint64_t g_token = 0, g_length = 0;

slipway_status Submit(slipway_copy_queue* q, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                      uint32_t* accepted, slipway_error* error) {
  slipway_copy cut = *pieces;
  if (cut.length < 1000) return good_copy_submit(q, pieces, stride, n, accepted, error);
  g_token = cut.token;
  g_length = cut.length--;
  return good_copy_submit(q, &cut, stride, 1, accepted, error);
}
slipway_status Poll(slipway_copy_queue* q, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_copy_poll(q, out, stride, max, n);
  for (uint32_t i = 0; i < *n; ++i) {
    slipway_completion& c = CompletionAt(out, stride, i);
    if (c.token == g_token && c.bytes + 1 == g_length) c.bytes = g_length;
  }
  return s;
}
constexpr slipway_memory_provider Table() {
  slipway_memory_provider p = GoodProvider();
  p.copy_submit = Submit;
  p.copy_poll = Poll;
  return p;
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER(Table())

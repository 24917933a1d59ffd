// fail.cancel-inflight: goes on writing after it said CANCELED.
#include "tests/mutants/mutant.h"

namespace {

char* g_local[64];
char* g_late = nullptr;

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  if (slices->token < 64) g_local[slices->token] = static_cast<char*>(slices->local_addr);
  return good_submit(ch, slices, stride, n, accepted, error);
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  if (g_late != nullptr) *g_late = 1;
  const slipway_status s = good_poll(ch, out, stride, max, n);
  for (uint32_t i = 0; i < *n; ++i) {
    const slipway_completion& c = CompletionAt(out, stride, i);
    if (c.status == SLIPWAY_E_CANCELED && c.token < 64) g_late = g_local[c.token];
  }
  return s;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.submit = Submit;
  t.poll = Poll;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

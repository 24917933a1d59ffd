// comp.backpressure: queues without a bound.
#include "tests/mutants/mutant.h"

namespace {

slipway_slice g_more[4096];
uint32_t g_waiting = 0;

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  const slipway_status s = good_submit(ch, slices, stride, n, accepted, error);
  if (s != SLIPWAY_E_AGAIN || g_waiting == 4096) return s;
  g_more[g_waiting++] = *slices;
  *accepted = 1;
  return SLIPWAY_OK;
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  uint32_t accepted = 1;
  while (g_waiting > 0 &&
         good_submit(ch, &g_more[g_waiting - 1], sizeof(slipway_slice), 1, &accepted, nullptr) == SLIPWAY_OK) {
    --g_waiting;
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

// data.visibility: a long WRITE completes first and moves with the next submission.
#include "tests/mutants/mutant.h"

namespace {

slipway_slice g_late{};
bool g_completed = true, g_moved = true;

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  if (!g_moved) {
    slipway_completion none;
    uint32_t got = 0;
    good_submit(ch, &g_late, sizeof(g_late), 1, accepted, error);
    good_poll(ch, &none, sizeof(none), 1, &got);
    g_moved = true;
  }
  if (slices->op != SLIPWAY_OP_WRITE || slices->length <= 4096 || !g_completed) {
    return good_submit(ch, slices, stride, n, accepted, error);
  }
  g_late = *slices;
  g_completed = g_moved = false;
  *accepted = 1;
  return SLIPWAY_OK;
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  if (g_completed || max == 0) return good_poll(ch, out, stride, max, n);
  CompletionAt(out, stride, 0) = {g_late.token, SLIPWAY_OK, 0, g_late.length, 0};
  *n = 1;
  g_completed = true;
  return SLIPWAY_OK;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.submit = Submit;
  t.poll = Poll;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

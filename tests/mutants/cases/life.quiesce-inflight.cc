// life.quiesce-inflight: what was in flight at quiesce never completes.
#include "tests/mutants/mutant.h"

namespace {

volatile bool g_quiesced = false;

slipway_status Quiesce(slipway_instance* i, uint64_t timeout_ns, slipway_error* error) {
  g_quiesced = true;
  return good_quiesce(i, timeout_ns, error);
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  if (!g_quiesced) return good_poll(ch, out, stride, max, n);
  *n = 0;
  return SLIPWAY_OK;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.quiesce = Quiesce;
  t.poll = Poll;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

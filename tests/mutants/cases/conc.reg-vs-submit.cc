// conc.reg-vs-submit: while slices are in flight nothing is registered.
#include <atomic>

#include "tests/mutants/mutant.h"

namespace {

std::atomic<uint32_t> g_in_flight{0};

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  const slipway_status s = good_submit(ch, slices, stride, n, accepted, error);
  g_in_flight += *accepted;
  return s;
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  g_in_flight -= *n;
  return s;
}
slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  if (s != SLIPWAY_OK || g_in_flight == 0) return s;
  out->state = SLIPWAY_REG_NONE;
  out->prefix_bytes = 0;
  out->mr = nullptr;
  return s;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.submit = Submit;
  t.poll = Poll;
  t.query_registered = Query;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

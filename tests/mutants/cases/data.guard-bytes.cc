// data.guard-bytes: a READ writes one byte too many.
#include "tests/mutants/mutant.h"

namespace {

char* g_behind = nullptr;

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  if (slices->op == SLIPWAY_OP_READ) g_behind = static_cast<char*>(slices->local_addr) + slices->length;
  return good_submit(ch, slices, stride, n, accepted, error);
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  if (*n > 0 && g_behind != nullptr) *g_behind = static_cast<char>(*g_behind + 1);
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

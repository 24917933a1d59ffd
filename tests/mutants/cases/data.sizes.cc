// data.sizes: the last byte of long slices is not moved.
#include "tests/mutants/mutant.h"

namespace {

uint64_t g_token = 0, g_length = 0;

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  slipway_slice cut = *slices;
  if (cut.length > 1000) {
    g_token = cut.token;
    g_length = cut.length;
    cut.length -= 1;
    return good_submit(ch, &cut, stride, 1, accepted, error);
  }
  return good_submit(ch, slices, stride, n, accepted, error);
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  for (uint32_t i = 0; i < *n; ++i) {
    slipway_completion& c = CompletionAt(out, stride, i);
    if (c.token == g_token && c.bytes + 1 == g_length) c.bytes = g_length;
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

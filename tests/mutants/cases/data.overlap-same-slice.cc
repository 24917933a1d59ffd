// data.overlap-same-slice: copies a slice in two halves, the first one first.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  if (n != 1 || slices->length < 2) return good_submit(ch, slices, stride, n, accepted, error);
  slipway_slice half[2] = {*slices, *slices};
  half[0].length /= 2;
  half[1].length -= half[0].length;
  half[1].local_addr = static_cast<char*>(half[1].local_addr) + half[0].length;
  half[1].remote_offset += half[0].length;
  const slipway_status s = good_submit(ch, half, sizeof(half[0]), 2, accepted, error);
  if (*accepted > 1) *accepted = 1;
  return s;
}
slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  slipway_completion two[2];
  const slipway_status s = good_poll(ch, two, sizeof(two[0]), 2, n);
  if (max == 0 || *n < 2) return s;
  two[0].bytes += two[1].bytes;
  CompletionAt(out, stride, 0) = two[0];
  *n = 1;
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

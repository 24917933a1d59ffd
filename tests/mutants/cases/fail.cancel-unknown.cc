// fail.cancel-unknown: cancelling what it does not know ends the process.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

uint64_t g_last = 0;

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  g_last = SliceAt(slices, stride, n - 1).token;
  return good_submit(ch, slices, stride, n, accepted, error);
}
slipway_status Cancel(slipway_channel* ch, uint64_t token) {
  if (token > g_last) abort();
  return good_cancel(ch, token);
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.submit = Submit;
  t.cancel = Cancel;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

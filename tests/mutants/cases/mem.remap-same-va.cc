// mem.remap-same-va: keeps what it once saw at an address.
#include "tests/mutants/mutant.h"

namespace {

const void* g_addr = nullptr;
char g_seen[4096];

slipway_status Submit(slipway_channel* ch, const slipway_slice* slices, uint32_t stride, uint32_t n, uint32_t* accepted,
                      slipway_error* error) {
  const slipway_slice& s = *slices;
  if (s.op == SLIPWAY_OP_WRITE && s.length >= sizeof(g_seen)) {
    if (s.local_addr == g_addr) {
      memcpy(s.local_addr, g_seen, sizeof(g_seen));
    } else {
      memcpy(g_seen, s.local_addr, sizeof(g_seen));
      g_addr = s.local_addr;
    }
  }
  return good_submit(ch, slices, stride, n, accepted, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(submit, Submit)

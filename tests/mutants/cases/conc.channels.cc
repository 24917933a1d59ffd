// conc.channels: channels give away each other's completions.
#include <atomic>

#include "tests/mutants/mutant.h"

namespace {

std::atomic_flag g_lock = ATOMIC_FLAG_INIT;
slipway_channel* g_from = nullptr;
slipway_completion g_kept{};
uint32_t g_turn = 0;

slipway_status Poll(slipway_channel* ch, slipway_completion* out, uint32_t stride, uint32_t max, uint32_t* n) {
  const slipway_status s = good_poll(ch, out, stride, max, n);
  while (g_lock.test_and_set()) {
  }
  if (g_from == nullptr && *n > 0 && ++g_turn % 20 == 0) {
    g_from = ch;
    g_kept = CompletionAt(out, stride, --*n);
  } else if (g_from != nullptr && g_from != ch && *n < max) {
    CompletionAt(out, stride, (*n)++) = g_kept;
    g_from = nullptr;
  }
  g_lock.clear();
  return s;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(poll, Poll)

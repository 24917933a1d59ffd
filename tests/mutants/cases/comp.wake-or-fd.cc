// comp.wake-or-fd: one wakeup of fifty is lost.
#include "tests/mutants/mutant.h"

namespace {

slipway_host g_host{};
const slipway_host* g_real = nullptr;
int g_turn = 0;

void Wake(void* ctx, void* cookie) {
  if (++g_turn % 50 != 0) g_real->wake(ctx, cookie);
}
slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  g_real = host;
  g_host = *host;
  g_host.struct_size = sizeof(g_host);
  g_host.wake = Wake;
  return good_create(&g_host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)

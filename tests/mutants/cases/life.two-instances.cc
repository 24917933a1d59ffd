// life.two-instances: all instances are one.
#include "tests/mutants/mutant.h"

namespace {

slipway_instance* g_only = nullptr;
int g_users = 0;

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  if (g_only == nullptr) {
    const slipway_status s = good_create(host, json, len, &g_only, error);
    if (s != SLIPWAY_OK) return s;
  }
  ++g_users;
  *out = g_only;
  return SLIPWAY_OK;
}
void Destroy(slipway_instance*) {
  if (--g_users > 0) return;
  good_destroy(g_only);
  g_only = nullptr;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.create = Create;
  t.destroy = Destroy;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

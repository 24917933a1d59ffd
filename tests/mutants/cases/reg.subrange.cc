// reg.subrange: knows only exactly what was registered.
#include "tests/mutants/mutant.h"

namespace {

struct Entry {
  uintptr_t start;
  uint64_t length;
  slipway_mr* mr;
};
Entry g_entries[512];
int g_count = 0;

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  const slipway_status s = good_register_memory(i, range, out, error);
  if (s == SLIPWAY_OK && g_count < 512)
    g_entries[g_count++] = {reinterpret_cast<uintptr_t>(range->addr), range->length, *out};
  return s;
}
slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  const slipway_status s = good_query_registered(i, range, out);
  if (s != SLIPWAY_OK || out->state != SLIPWAY_REG_FULL) return s;
  for (int k = 0; k < g_count; ++k) {
    if (g_entries[k].start == reinterpret_cast<uintptr_t>(range->addr) && g_entries[k].length == range->length)
      return s;
  }
  out->state = SLIPWAY_REG_NONE;
  out->prefix_bytes = 0;
  out->mr = nullptr;
  return s;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.register_memory = Register;
  t.query_registered = Query;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

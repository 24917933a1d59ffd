// reg.overlap-two-mr: deregistering one drops all that overlap it.
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
slipway_status Deregister(slipway_instance* i, slipway_mr* mr) {
  Entry own{};
  for (int k = 0; k < g_count; ++k) {
    if (g_entries[k].mr == mr) own = g_entries[k];
  }
  for (int k = 0; k < g_count; ++k) {
    Entry& other = g_entries[k];
    if (other.mr == nullptr || other.start >= own.start + own.length || own.start >= other.start + other.length)
      continue;
    good_deregister_memory(i, other.mr);
    other.mr = nullptr;
  }
  return SLIPWAY_OK;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.register_memory = Register;
  t.deregister_memory = Deregister;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

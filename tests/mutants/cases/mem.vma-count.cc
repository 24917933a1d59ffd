// mem.vma-count: every registration leaves a mapping.
#include <sys/mman.h>

#include "tests/mutants/mutant.h"

namespace {

int g_turn = 0;

slipway_status Register(slipway_instance* i, const slipway_range* range, slipway_mr** out, slipway_error* error) {
  mmap(nullptr, 4096, ++g_turn % 2 == 0 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return good_register_memory(i, range, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(register_memory, Register)

// prov.classify: takes all memory for its own.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Classify(slipway_provider* p, const void* addr, uint64_t length, slipway_mem_info* out) {
  const slipway_status s = good_classify(p, addr, length, out);
  if (out->mem_kind == 0) {
    out->mem_kind = kOwnKind;
    out->device_ordinal = 0;
    out->base = const_cast<void*>(addr);
    out->size = length;
  }
  return s;
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(classify, Classify)

// prov.classify-pure: leaves another device current.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Classify(slipway_provider* p, const void* addr, uint64_t length, slipway_mem_info* out) {
  good_set_device(0);
  return good_classify(p, addr, length, out);
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(classify, Classify)

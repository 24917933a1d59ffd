// prov.device-state: opening a queue leaves another device current.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Open(slipway_provider* p, void* cookie, slipway_copy_queue** out, slipway_error* error) {
  good_set_device(0);
  return good_queue_open(p, cookie, out, error);
}

}  // namespace

SLIPWAY_MUTANT_PROVIDER_ENTRY(queue_open, Open)

// fail.blob-fuzz: does not look at the length of what it is given.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Import(slipway_peer* peer, const void* blob, size_t len, slipway_remote** out, slipway_error* error) {
  return good_import_mr(peer, blob, len > 64 ? 64 : len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(import_mr, Import)

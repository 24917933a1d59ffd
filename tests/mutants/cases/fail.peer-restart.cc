// fail.peer-restart: takes a segment of the peer's earlier life.
#include "tests/mutants/mutant.h"

namespace {

slipway_remote* g_last = nullptr;

slipway_status Import(slipway_peer* peer, const void* blob, size_t len, slipway_remote** out, slipway_error* error) {
  const slipway_status s = good_import_mr(peer, blob, len, out, error);
  if (s == SLIPWAY_OK) g_last = *out;
  if (s != SLIPWAY_E_STALE_REMOTE || g_last == nullptr) return s;
  *out = g_last;
  return SLIPWAY_OK;
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(import_mr, Import)

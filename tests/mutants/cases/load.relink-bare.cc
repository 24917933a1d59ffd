// load.relink-bare: uses a library that it is not linked with, and that this program happens to have.
#include "tests/mutants/mutant.h"

extern "C" const void* EVP_sha256(void);

namespace {

slipway_status Disconnect(slipway_peer* peer) {
  return EVP_sha256() == nullptr ? SLIPWAY_E_INTERNAL : good_disconnect(peer);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(disconnect, Disconnect)

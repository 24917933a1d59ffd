// load.scan-time: loading takes its time.
#include "tests/mutants/mutant.h"

namespace {

__attribute__((constructor)) void Dawdle() { usleep(400000); }

}  // namespace

SLIPWAY_MUTANT(GoodTransport())

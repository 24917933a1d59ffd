// No mutant: what every case must pass.
#include "tests/mutants/mutant.h"

SLIPWAY_MUTANT(GoodTransport())

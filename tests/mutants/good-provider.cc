// No mutant: what every case of memory providers must pass.
#include "tests/mutants/mutant.h"

SLIPWAY_MUTANT_PROVIDER(GoodProvider())

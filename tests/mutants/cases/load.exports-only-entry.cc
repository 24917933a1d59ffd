// load.exports-only-entry: a symbol beside the entry leaks out.
#include "tests/mutants/mutant.h"

extern "C" SLIPWAY_EXPORT int leaked_symbol() { return 1; }

SLIPWAY_MUTANT(GoodTransport())

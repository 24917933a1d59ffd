// load.symbol-own-file: the symbol is only in a library that the file depends on.
#include "tests/mutants/mutant.h"

SLIPWAY_MUTANT(GoodTransport())

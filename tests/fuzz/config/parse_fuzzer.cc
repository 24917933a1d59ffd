#include "tests/fuzz/config/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  slipway::FuzzParse(data, size);
  return 0;
}

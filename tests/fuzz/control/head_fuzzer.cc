#include "tests/fuzz/control/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  slipway::FuzzHead(data, size);
  return 0;
}

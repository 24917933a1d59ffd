// load.no-side-effects: a thread starts when the file is loaded.
#include <pthread.h>

#include "tests/mutants/mutant.h"

namespace {

void* Idle(void*) {
  pause();
  return nullptr;
}
__attribute__((constructor)) void StartThread() {
  pthread_t thread;
  pthread_create(&thread, nullptr, Idle, nullptr);
}

}  // namespace

SLIPWAY_MUTANT(GoodTransport())

// life.unload-clean: a thread that used it runs code of it when it ends.
#include <pthread.h>

#include "tests/mutants/mutant.h"

namespace {

void AtThreadEnd(void* p) { *static_cast<volatile int*>(p) = 1; }
int g_value = 0;

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  pthread_key_t key;
  if (pthread_key_create(&key, AtThreadEnd) == 0) pthread_setspecific(key, &g_value);
  return good_create(host, json, len, out, error);
}

}  // namespace

SLIPWAY_MUTANT_ENTRY(create, Create)

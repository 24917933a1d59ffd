// Plugins that do their worst to whoever opens them; CMakeLists.txt builds one of each.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

[[maybe_unused]] slipway_status HangInCreate(const slipway_host*, const char*, size_t, slipway_instance**,
                                             slipway_error*) {
  for (;;) pause();
}
[[maybe_unused]] slipway_status ExitInCreate(const slipway_host*, const char*, size_t, slipway_instance**,
                                             slipway_error*) {
  exit(0);
}
[[maybe_unused]] void Crash() { abort(); }
[[maybe_unused]] void Exit() { _exit(0); }
[[maybe_unused]] void Hang() {
  for (;;) pause();
}

#if defined(SLIPWAY_CRASH_IN_CONSTRUCTOR)
__attribute__((constructor)) void AtLoad() { Crash(); }
#elif defined(SLIPWAY_EXIT_IN_CONSTRUCTOR)
__attribute__((constructor)) void AtLoad() { Exit(); }
#elif defined(SLIPWAY_HANG_IN_CONSTRUCTOR)
__attribute__((constructor)) void AtLoad() { Hang(); }
#endif

constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
#if defined(SLIPWAY_HANG_IN_CREATE)
  t.create = HangInCreate;
#elif defined(SLIPWAY_EXIT_IN_CREATE)
  t.create = ExitInCreate;
#endif
  return t;
}
constinit const slipway_transport table = Table();
constinit const slipway_transport* const tables[] = {&table, nullptr};

constexpr slipway_plugin Plugin() {
  slipway_plugin p = MutantPlugin();
  p.transports = tables;
#if defined(SLIPWAY_WRONG_MAGIC)
  p.magic = 0x12345678;
#endif
  return p;
}

}  // namespace

#if defined(SLIPWAY_NO_SYMBOL)
extern "C" SLIPWAY_EXPORT constinit const slipway_plugin some_other_symbol = Plugin();
#elif defined(SLIPWAY_NEWER_MAJOR)
extern "C" SLIPWAY_EXPORT constinit const slipway_plugin slipway_plugin_v2 = Plugin();
#else
extern "C" SLIPWAY_EXPORT constinit const slipway_plugin slipway_plugin_v1 = Plugin();
#endif

// life.destroy-with-live-objects: destroy with a channel open ends the process.
#include <stdlib.h>

#include "tests/mutants/mutant.h"

namespace {

int g_channels = 0;

slipway_status Open(slipway_instance* i, void* cookie, slipway_channel** out, slipway_error* error) {
  ++g_channels;
  return good_channel_open(i, cookie, out, error);
}
slipway_status Close(slipway_channel* channel) {
  --g_channels;
  return good_channel_close(channel);
}
void Destroy(slipway_instance* i) {
  if (g_channels > 0) abort();
  good_destroy(i);
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.channel_open = Open;
  t.channel_close = Close;
  t.destroy = Destroy;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

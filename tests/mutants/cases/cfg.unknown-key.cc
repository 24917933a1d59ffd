// cfg.unknown-key: keys that it does not know are ignored.
#include "tests/mutants/mutant.h"

namespace {

slipway_status Probe(const slipway_host* host, const char* json, size_t len, slipway_attrs* out, slipway_error* error) {
  const slipway_status s = good_probe(host, json, len, out, error);
  return s == SLIPWAY_E_CONFIG ? good_probe(host, "{}", 2, out, error) : s;
}
slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  const slipway_status s = good_create(host, json, len, out, error);
  return s == SLIPWAY_E_CONFIG ? good_create(host, "{}", 2, out, error) : s;
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.probe = Probe;
  t.create = Create;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

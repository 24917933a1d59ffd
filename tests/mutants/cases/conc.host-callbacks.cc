// conc.host-callbacks: calls the host from inside a query.
#include "tests/mutants/mutant.h"

namespace {

const slipway_host* g_host = nullptr;

slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                      slipway_error* error) {
  g_host = host;
  return good_create(host, json, len, out, error);
}
slipway_status Query(slipway_instance* i, const slipway_range* range, slipway_reg_info* out) {
  g_host->log_level(g_host->ctx);
  return good_query_registered(i, range, out);
}
constexpr slipway_transport Table() {
  slipway_transport t = GoodTransport();
  t.create = Create;
  t.query_registered = Query;
  return t;
}

}  // namespace

SLIPWAY_MUTANT(Table())

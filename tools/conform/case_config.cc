// Configuration: what the schema promises, and what is refused, with the key named.
#include <cstring>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/instance.h"
#include "tools/conform/schema.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

std::string SchemaOf(const Context& c) {
  return c.t->config_schema != nullptr ? c.t->config_schema
                                       : R"({"type":"object","properties":{},"additionalProperties":false})";
}

void SchemaValid(Context& c) {
  SchemaVerdict v = CheckSchema(SchemaOf(c), c.profile().config);
  Require(v.schema_error.empty(), "config_schema is no JSON Schema: %s", v.schema_error.c_str());
  Require(v.violation.empty(), "the profile's configuration is not valid by config_schema: %s", v.violation.c_str());
  v = CheckSchema(SchemaOf(c), c.peer_config());
  Require(v.violation.empty(), "the profile's peer_config is not valid by config_schema: %s", v.violation.c_str());
  v = CheckSchema(SchemaOf(c), R"({"surely_unknown_key":1})");
  Require(!v.violation.empty(), "config_schema takes unknown keys: say \"additionalProperties\": false");
}

// Creates, and destroys what came of it.
slipway_status CreateOnce(const Context& c, const std::string& json, Report& report) {
  const FakeHost host;
  const GuardedBytes text(json);
  slipway_instance* out = nullptr;
  const slipway_status s = TryCreate(c, host, text.data(), text.size(), &out, report);
  if (s == SLIPWAY_OK) c.t->destroy(out);
  return s;
}

void EmptyObject(Context& c) {
  Report report;
  const slipway_status s = CreateOnce(c, "{}", report);
  if (s == SLIPWAY_OK) return;
  Require(s == SLIPWAY_E_CONFIG, "create with {}: expected OK or E_CONFIG, got %s", report.Say(s).c_str());
  Require(report.get().where[0] != '\0',
          "create with {} says E_CONFIG and does not name the missing key in err->where");
}

void Refuses(const Context& c, const WrongConfig& wrong) {
  Note("%.200s", wrong.json.c_str());
  Report report;
  const FakeHost host;
  slipway_attrs attrs;
  slipway_status s = TryProbe(c, host, wrong.json.data(), wrong.json.size(), attrs, report);
  Require(s == SLIPWAY_E_CONFIG, "probe with \"%s\" (%s): expected E_CONFIG, got %s", wrong.key.c_str(),
          wrong.type.c_str(), report.Say(s).c_str());
  Report again;
  s = CreateOnce(c, wrong.json, again);
  Require(s == SLIPWAY_E_CONFIG, "create with \"%s\" (%s): expected E_CONFIG, got %s", wrong.key.c_str(),
          wrong.type.c_str(), again.Say(s).c_str());
  Require(std::strstr(again.get().where, wrong.key.substr(0, 40).c_str()) != nullptr,
          "create with \"%s\" (%s): err->where does not name the key, it is \"%s\"", wrong.key.c_str(),
          wrong.type.c_str(), again.get().where);
  Require(again.get().message[0] != '\0', "create with \"%s\" (%s): the error has no message", wrong.key.c_str(),
          wrong.type.c_str());
}

void UnknownKey(Context& c) {
  for (const WrongConfig& wrong : UnknownKeys(SchemaOf(c), c.profile().config)) Refuses(c, wrong);
}

void WrongTypeEach(Context& c) {
  for (const WrongConfig& wrong : WrongTypes(SchemaOf(c), c.profile().config)) Refuses(c, wrong);
}

void NotNulTerminated(Context& c) {
  Report report;
  const FakeHost host;
  const GuardedBytes exact(c.profile().config);
  slipway_attrs attrs;
  slipway_status s = TryProbe(c, host, exact.data(), exact.size(), attrs, report);
  Require(s == SLIPWAY_OK, "probe with text that ends at a guard page: %s", report.Say(s).c_str());
  s = CreateOnce(c, c.profile().config, report);
  Require(s == SLIPWAY_OK, "create with text that ends at a guard page: %s", report.Say(s).c_str());
  // What comes after `len` is none of the configuration.
  const std::string more = c.profile().config + "}, trailing";
  slipway_instance* out = nullptr;
  s = TryCreate(c, host, more.data(), c.profile().config.size(), &out, report);
  Require(s == SLIPWAY_OK, "create looks at what comes after `len` bytes: %s", report.Say(s).c_str());
  c.t->destroy(out);
  for (const size_t n : {size_t{0}, size_t{1}}) {
    out = nullptr;
    s = TryCreate(c, host, exact.data(), n, &out, report);
    Require(s < 0, "create with the first %zu bytes of an object: %s", n, StatusName(s).c_str());
  }
}

void Fuzz(Context& c) {
  Random random(c.seed);
  const std::string schema = SchemaOf(c);
  Usage before;
  uint64_t created = 0;
  const uint64_t n = c.limits().fuzz_mutations;
  for (uint64_t i = 0; i < n; ++i) {
    if (i == n / 2) before = Usage::Settled(Usage::Now());
    const std::string json = Mutate(c.profile().config, schema, random);
    Note("seed %llu, mutation %llu: %.160s", static_cast<unsigned long long>(c.seed),
         static_cast<unsigned long long>(i), json.c_str());
    const FakeHost host;
    slipway_attrs attrs;
    Report report;
    const GuardedBytes text(json);
    const slipway_status s = TryProbe(c, host, text.data(), text.size(), attrs, report);
    Require(s <= 0, "probe returned %s", StatusName(s).c_str());
    if (s != SLIPWAY_OK && i % 4 != 0) continue;
    Report second;
    const slipway_status made = CreateOnce(c, json, second);
    Require(made <= 0, "create returned %s", StatusName(made).c_str());
    created += made == SLIPWAY_OK;
  }
  Growth allowed;
  allowed.rss_bytes = c.limits().rss_growth_bytes * 4;
  allowed.vmas = 64;
  const std::string grown = Grown(before, Usage::Settled(before), allowed);
  Require(grown.empty(), "after %llu configurations, %llu of them good, %s", static_cast<unsigned long long>(n / 2),
          static_cast<unsigned long long>(created), grown.c_str());
}

constexpr Case kCases[] = {
    {"cfg.schema-valid", Level::kMust, Kind::kTransport, 0, false, false,
     "config_schema is a JSON Schema that takes the sample and no unknown keys", SchemaValid},
    {"cfg.empty-object", Level::kMust, Kind::kTransport, 0, false, false, "{} works, or the missing key is named",
     EmptyObject},
    {"cfg.unknown-key", Level::kMust, Kind::kTransport, 0, false, false, "an unknown key is refused and named",
     UnknownKey},
    {"cfg.wrong-type-each", Level::kMust, Kind::kTransport, 0, false, false,
     "every key of every wrong type is refused and named", WrongTypeEach},
    {"cfg.not-nul-terminated", Level::kMust, Kind::kTransport, 0, false, false,
     "the text is read up to its length and no further", NotNulTerminated},
    {"cfg.fuzz", Level::kMust, Kind::kTransport, 0, false, false, "damaged configurations crash, hang and leak nothing",
     Fuzz},
};

}  // namespace

std::span<const Case> ConfigCases() { return kCases; }

}  // namespace slipway::conform

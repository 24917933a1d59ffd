// What an engine tells about itself, as JSON and as metrics.
#include <nlohmann/json.hpp>

#include "core/base/status_name.h"
#include "core/engine/node.h"
#include "core/memory/mapping.h"
#include "slipway/engine.h"
#include "slipway/sdk/words.hpp"

namespace slipway {
namespace {

using Json = nlohmann::ordered_json;

// Plugins' own texts are not trusted to be UTF-8 or JSON.
std::string Dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

std::string_view LocalityWord(Locality locality) {
  switch (locality) {
    case Locality::kSameProcess:
      return "same process";
    case Locality::kSameHost:
      return "same host, another process";
    case Locality::kOtherHost:
      return "another host";
  }
  return "?";
}

Json ParsedOrEmpty(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json::object() : json;
}

std::string_view PolicyWord(PinPolicy policy) {
  return policy == PinPolicy::kOff ? "off" : policy == PinPolicy::kOnDemand ? "on-demand" : "whole-region";
}

// What is pinned on demand, by whom, and what pinning and copying were seen to cost.
Json DescribeCache(const PinCache* cache) {
  Json json = Json::array();
  if (cache == nullptr) return json;
  for (const PinCache::View& v : cache->Views()) {
    json.push_back({{"name", v.name},
                    {"chunks", v.pinned},
                    {"bytes", v.pinned_bytes},
                    {"charged_bytes", v.charged_bytes},
                    {"learned_cap_bytes", v.learned_cap_bytes},
                    {"stuck_chunks", v.stuck},
                    {"pin_cost", {{"fixed_ns", v.pin_fixed_ns}, {"ns_per_mib", v.pin_ns_per_mib}}},
                    {"copy_cost", {{"fixed_ns", v.copy_fixed_ns}, {"ns_per_mib", v.copy_ns_per_mib}}}});
  }
  return json;
}

Json DescribeTransport(Transport& t, const std::string& path) {
  const slipway_attrs& a = t.attrs();
  const Ledger::Totals totals = t.ledger().totals();
  const RouteFacts facts = t.Facts();
  Json json;
  json["name"] = t.name();
  json["plugin_file"] = path;
  json["version"] = t.table().version == nullptr ? "" : t.table().version;
  json["protocol"] = {{"name", t.table().protocol}, {"min", t.table().protocol_min}, {"max", t.table().protocol_max}};
  json["state"] = t.failed() ? "failed" : "ready";
  if (t.failed()) json["failure"] = t.failure().message();
  json["priority"] = t.priority();
  json["capabilities"] = sdk::WordsOf(a.caps, sdk::kCapabilityWords);
  json["memory_kinds"] = sdk::WordsOf(a.mem_kinds, sdk::kMemoryKindWords);
  json["device"] = a.device;
  json["attributes"] = {
      {"max_slice_bytes", a.max_slice_bytes}, {"preferred_slice_bytes", a.preferred_slice_bytes},
      {"max_mr_bytes", a.max_mr_bytes},       {"max_inflight_per_channel", a.max_inflight_per_channel},
      {"local_align", a.local_align},         {"remote_align", a.remote_align},
      {"length_align", a.length_align},       {"pins_per_reg", a.pins_per_reg},
      {"peer_timeout_ms", a.peer_timeout_ms}, {"bandwidth_bytes_per_s", facts.bandwidth_bytes_per_s},
      {"latency_ns", facts.latency_ns}};
  json["registrations"] = {
      {"count", totals.registrations}, {"bytes", totals.registered_bytes}, {"charged_bytes", totals.charged_bytes}};
  json["stats"] = ParsedOrEmpty(t.StatsJson());
  return json;
}

}  // namespace

std::string Node::DescribeJson() {
  if (closed_.load()) return "{}";
  Json json;
  json["name"] = options_.name;
  json["version"] = slipway_version();
  json["instance_id"] = instance_id_;
  json["control_address"] = ControlAddress();
  json["transports"] = Json::array();
  for (const auto& t : transports_) {
    std::string path;
    for (const PluginUse& use : options_.transports) {
      if (use.name != t->name()) continue;
      Result<const LoadedPlugin*> plugin = registry_->Load(use.plugin.empty() ? use.name : use.plugin);
      if (plugin.ok()) path = (*plugin)->path;
    }
    json["transports"].push_back(DescribeTransport(*t, path));
  }
  json["memory_providers"] = Json::array();
  for (const MemoryProvider& p : providers_.all()) json["memory_providers"].push_back(p.name());
  json["not_loaded"] = Json::array();
  for (const Failure& f : failures_) json["not_loaded"].push_back({{"name", f.name}, {"reason", f.reason}});
  Json memory;
  memory["pin_policy"] = PolicyWord(options_.memory.pin_policy);
  memory["budget_bytes"] = budget_->cap_bytes() == PinBudget::kNoCap ? 0 : budget_->cap_bytes();
  memory["pinned_bytes"] = budget_->used_bytes();
  memory["pin_cache"] = DescribeCache(cache_.get());
  memory["staging_bytes"] = pool_ == nullptr ? 0 : pool_->bytes();
  memory["regions"] = Json::array();
  for (const Regions::View& r : regions_->Views()) {
    memory["regions"].push_back({{"address", r.address},
                                 {"length", r.length},
                                 {"declared", r.declared},
                                 {"registrations", r.registrations},
                                 {"on_demand", r.on_demand},
                                 {"kind", sdk::WordsOf(r.mem_kind, sdk::kMemoryKindWords)}});
  }
  memory["segment_memory"] = Json::array();
  for (const SegmentHeap::View& m : segment_memory_->Views()) {
    memory["segment_memory"].push_back(
        {{"address", m.address}, {"length", m.length}, {"source", m.source.empty() ? "memory" : m.source}});
  }
  json["memory"] = std::move(memory);
  json["segments"] = Json::array();
  for (const SegmentSummary& s : published_->List()) {
    json["segments"].push_back(
        {{"name", s.name}, {"length", s.length}, {"readable", s.readable}, {"writable", s.writable}});
  }
  json["links"] = Json::array();
  for (const Dispatcher::LinkView& l : dispatchers_->Links()) {
    json["links"].push_back({{"transport", l.transport},
                             {"peer", l.peer},
                             {"state", l.state},
                             {"open_slices", l.open_slices},
                             {"paused_ms", l.paused_ms}});
  }
  counters_.Set(Counter::kMappings, MappingCount());
  json["counters"] = ParsedOrEmpty(counters_.ToJson());
  return Dump(json);
}

std::string Node::MetricsText() {
  counters_.Set(Counter::kMappings, MappingCount());
  return counters_.ToPrometheus({{"engine", options_.name}});
}

Result<std::string> Node::ExplainJson(const RequestSpec& spec) {
  Result<Explanation> explained = (*dispatchers_)[0].Explain(spec);
  if (!explained.ok()) return explained.status();
  const Explanation& e = *explained;
  Json json;
  json["op"] = spec.op == SLIPWAY_OP_READ ? "read" : "write";
  json["length"] = spec.length;
  json["local_kind"] = sdk::WordsOf(spec.local_kind, sdk::kMemoryKindWords);
  json["target"] = LocalityWord(spec.segment->locality);
  json["policy"] = options_.transfer.route_policy == RoutePolicy::kFastest ? "fastest" : "configured";
  json["chosen"] = e.plan.count == 0 ? Json(nullptr) : Json(e.transports[e.plan.order[0]].name);
  json["order"] = Json::array();
  for (uint32_t i = 0; i < e.plan.count; ++i) {
    const RouteFacts& t = e.transports[e.plan.order[i]];
    json["order"].push_back(
        {{"transport", t.name}, {"priority", t.priority}, {"estimated_ns", EstimateNs(t, spec.length)}});
  }
  json["refused"] = Json::array();
  for (size_t i = 0; i < e.transports.size(); ++i) {
    if (e.plan.refusal[i] == RouteRefusal::kNone) continue;
    json["refused"].push_back({{"transport", e.transports[i].name}, {"reason", RefusalText(e.plan.refusal[i])}});
  }
  json["slices"] = {{"total", e.slices},
                    {"direct", e.direct},
                    {"registered", e.registered},
                    {"staged", e.staged},
                    {"staged_bytes", e.staged_bytes}};
  if (!e.slicing.ok()) json["slicing_stops"] = e.slicing.message();
  return Dump(json);
}

}  // namespace slipway

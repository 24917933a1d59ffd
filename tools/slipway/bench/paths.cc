#include "tools/slipway/bench/paths.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "slipway/engine.hpp"
#include "tools/slipway/json_view.h"
#include "tools/slipway/local_file.h"
#include "tools/slipway/plugin_child.h"

namespace slipway::cli::bench {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kDescribeMs = 10'000;

Result<Json> ReadConfig(const BenchArguments& arguments) {
  const std::string& file = arguments.engine.config_file;
  if (file.empty()) {
    Json config = Json::object();
    config["plugin_path"] = Json::array();
    std::string_view rest = arguments.engine.plugin_path;
    while (!rest.empty()) {
      const size_t colon = rest.find(':');
      if (colon != 0) config["plugin_path"].push_back(std::string(rest.substr(0, colon)));
      rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
    }
    return config;
  }
  internal::Failure failure;
  SLIPWAY_RETURN_IF_ERROR(failure.ToStatus(slipway_config_check(file.c_str(), failure.get())));
  const auto text = Mapping::OfFile(file, /*writable=*/false);
  if (!text.ok()) return text.status();
  const auto* begin = reinterpret_cast<const char*>(text->data());
  Json config = Json::parse(begin, begin + text->size(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return Status(SLIPWAY_E_CONFIG_SYNTAX, file + ": is not a JSON object");
  return config;
}

std::string PluginPath(const Json& config) {
  std::string path;
  if (config.contains("plugin_path"))
    for (const Json& folder : config["plugin_path"]) path += (path.empty() ? "" : ":") + folder.get<std::string>();
  return path;
}

// What a plugin says of itself; why not, in `why`, when it says nothing.
Json DescribePlugin(const std::string& plugin, const std::string& path, std::string* why) {
  const PluginReport report = DescribeInChild(plugin, path, kDescribeMs);
  *why = report.detail;
  if (report.state != "ok") return {};
  return Json::parse(report.detail, nullptr, /*allow_exceptions=*/false);
}

struct Transport {
  Json use;          // as in the configuration
  Json description;  // by its plugin
};

Json TransportOf(const Json& plugin, const std::string& name) {
  if (plugin.is_object() && plugin.contains("transports"))
    for (const Json& transport : plugin["transports"])
      if (transport.value("name", "") == name) return transport;
  return {};
}

Result<std::vector<Transport>> Installed(const std::string& path, std::vector<Skipped>* skipped) {
  auto text = internal::ReadText(
      [&](char* out, size_t* len) { return slipway_plugins_list(path.empty() ? nullptr : path.c_str(), out, len); });
  if (!text.ok()) return text.status();
  const auto files = ReadPluginList(*text);
  if (!files.ok()) return files.status();
  std::vector<Transport> found;
  for (const PluginFile& file : *files) {
    std::string why;
    const Json plugin = DescribePlugin(file.name, path, &why);
    if (!plugin.is_object() || !plugin.contains("transports")) {
      skipped->push_back({file.name, why});
      continue;
    }
    for (const Json& transport : plugin["transports"]) {
      Json use = {{"name", transport.value("name", "")}};
      if (use["name"] != file.name) use["plugin"] = file.name;
      found.push_back({use, transport});
    }
  }
  return found;
}

std::vector<Transport> Configured(const Json& config, const std::string& path, std::vector<Skipped>* skipped) {
  std::vector<Transport> found;
  if (!config.contains("transports")) return found;
  for (const Json& use : config["transports"]) {
    const std::string name = use.value("name", "");
    std::string why;
    std::string plugin = use.value("plugin", "");
    if (plugin.empty()) plugin = name;
    Json description = TransportOf(DescribePlugin(plugin, path, &why), name);
    if (description.is_object())
      found.push_back({use, std::move(description)});
    else
      skipped->push_back({name, why});
  }
  return found;
}

bool Has(const Json& transport, const char* capability) {
  if (!transport.contains("capabilities")) return false;
  const Json& all = transport["capabilities"];
  return std::find(all.begin(), all.end(), capability) != all.end();
}

// Two engines of one machine cannot both have a fixed port.
void FreePorts(Json& options) {
  if (options.contains("listen") && options["listen"].is_array())
    for (Json& address : options["listen"]) {
      std::string text = address.is_string() ? address.get<std::string>() : "";
      if (const size_t colon = text.rfind(':'); colon != std::string::npos) address = text.substr(0, colon) + ":0";
    }
  if (options.contains("listen_port")) options["listen_port"] = 0;
}

std::string MediumOf(const std::string& transport, bool two_processes, bool reaches_hosts) {
  if (!two_processes) return "memory";
  if (!reaches_hosts) return "shared memory";
  return transport == "rdma-verbs" ? "verbs" : transport;
}

PathPlan MakePlan(const Json& base, const Transport& transport, bool two_processes, uint32_t streams, bool has_lanes) {
  PathPlan plan;
  plan.transport = transport.use.value("name", "");
  plan.two_processes = two_processes;
  plan.streams = streams;
  plan.medium = MediumOf(plan.transport, two_processes, Has(transport.description, "cross-host"));
  plan.label = plan.transport + (two_processes ? ", two processes" : ", one process");
  if (has_lanes) plan.label += ", " + std::to_string(streams) + (streams == 1 ? " stream" : " streams");
  Json config = base, use = transport.use;
  use["required"] = true;
  if (!use.contains("options")) use["options"] = Json::object();
  if (has_lanes) use["options"]["lanes"] = streams;
  FreePorts(use["options"]);
  config["transports"] = Json::array({use});
  config["control"] = {{"listen", "127.0.0.1:0"}};
  const auto replace = Json::error_handler_t::replace;
  plan.target_config = config.dump(-1, ' ', false, replace);
  config["control"]["listen"] = "";
  plan.initiator_config = config.dump(-1, ' ', false, replace);
  return plan;
}

bool Chosen(const std::vector<std::string>& words, const std::string& transport) {
  return words.empty() || std::find(words.begin(), words.end(), transport) != words.end();
}

}  // namespace

Result<Paths> PlanPaths(const BenchArguments& arguments) {
  const auto base = ReadConfig(arguments);
  if (!base.ok()) return base.status();
  Paths paths;
  const std::string plugin_path = PluginPath(*base);
  std::vector<Transport> transports;
  if (arguments.engine.config_file.empty()) {
    auto installed = Installed(plugin_path, &paths.skipped);
    if (!installed.ok()) return installed.status();
    transports = std::move(*installed);
  } else {
    transports = Configured(*base, plugin_path, &paths.skipped);
  }
  for (const std::string& name : arguments.transports) {
    const auto same = [&](const Transport& t) { return t.use.value("name", "") == name; };
    if (std::none_of(transports.begin(), transports.end(), same))
      return Status(SLIPWAY_E_INVALID, "--transports: there is no transport " + name + " here");
  }
  for (const Transport& transport : transports) {
    const Json& said = transport.description;
    if (!Chosen(arguments.transports, transport.use.value("name", ""))) continue;
    const bool has_lanes = said.contains("config_schema") && said["config_schema"].contains("properties") &&
                           said["config_schema"]["properties"].contains("lanes");
    // Within one process: what is about memory of one host. What crosses hosts has no business there.
    if (!Has(said, "cross-host")) paths.plans.push_back(MakePlan(*base, transport, false, 1, false));
    if (!Has(said, "cross-process")) continue;
    for (const uint32_t streams : has_lanes ? arguments.streams : std::vector<uint32_t>{1})
      paths.plans.push_back(MakePlan(*base, transport, true, streams, has_lanes));
  }
  return paths;
}

}  // namespace slipway::cli::bench

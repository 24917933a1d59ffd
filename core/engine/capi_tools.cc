// The C API's functions that need no engine: checking a configuration, looking at plugins, names.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "core/base/status_name.h"
#include "core/base/version.h"
#include "core/config/reader.h"
#include "core/config/schema_check.h"
#include "core/config/secret_file.h"
#include "core/engine/node.h"
#include "core/engine/text_out.h"
#include "core/loader/discover.h"
#include "core/loader/registry.h"
#include "slipway/engine.h"
#include "slipway/sdk/words.hpp"

namespace slipway {
namespace {

using Json = nlohmann::ordered_json;

std::string Text(const char* text) { return text == nullptr ? "" : text; }

std::vector<std::string> SplitPath(const char* plugin_path) {
  std::vector<std::string> path;
  std::string_view rest = plugin_path == nullptr ? "" : plugin_path;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    if (colon > 0) path.emplace_back(rest.substr(0, colon));
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  if (std::string built_in = BuiltInPluginFolder(); !built_in.empty()) path.push_back(std::move(built_in));
  return path;
}

Status CheckUse(PluginRegistry& registry, const PluginUse& use, bool transport, const std::string& pointer,
                const std::string& source) {
  const std::string& plugin = use.plugin.empty() ? use.name : use.plugin;
  const char* schema = nullptr;
  if (transport) {
    Result<const slipway_transport*> table = registry.FindTransport(use.name, plugin);
    if (!table.ok()) return Status(table.status().code(), source + ": " + pointer + ": " + table.status().message());
    schema = (*table)->config_schema;
  } else {
    Result<const slipway_memory_provider*> table = registry.FindMemoryProvider(use.name, plugin);
    if (!table.ok()) return Status(table.status().code(), source + ": " + pointer + ": " + table.status().message());
    schema = (*table)->config_schema;
  }
  return CheckAgainstSchema(Text(schema), use.options_json, pointer + "/options", source);
}

// Several faults in one message, so that a person can correct all of them at once; the code is that of the first.
Status Together(const std::vector<Status>& faults, const std::string& source) {
  if (faults.empty()) return {};
  if (faults.size() == 1) return faults.front();
  std::string lines;
  for (const Status& fault : faults) {
    std::string_view text = fault.message();
    if (text.starts_with(source + ": ")) text.remove_prefix(source.size() + 2);
    const std::string_view first = text.substr(0, text.find('\n'));
    const bool is_list = first.ends_with(" errors:") && first.size() < text.size();  // as ConfigErrors writes it
    lines += is_list ? std::string(text.substr(first.size())) : "\n  " + std::string(text);
  }
  const auto count = static_cast<size_t>(std::count(lines.begin(), lines.end(), '\n'));
  return Status(faults.front().code(), source + ": " + std::to_string(count) + " errors:" + lines);
}

Status CheckFile(const std::string& path) {
  Result<Options> options = LoadOptionsFile(path, ProcessEnvironment());
  if (!options.ok()) return options.status();
  std::vector<Status> faults;
  const auto note = [&faults](Status status) {
    if (!status.ok()) faults.push_back(std::move(status));
  };
  if (!options->control.secret_file.empty()) {
    Result<std::string> secret = ReadSecretFile(options->control.secret_file);
    if (!secret.ok()) {
      note(Status(secret.status().code(), path + ": /control/secret_file: " + secret.status().message()));
    }
  }
  std::vector<std::string> folders = options->plugin_path;
  if (std::string built_in = BuiltInPluginFolder(); !built_in.empty()) folders.push_back(std::move(built_in));
  PluginRegistry registry(folders);
  for (size_t i = 0; i < options->transports.size(); ++i) {
    note(CheckUse(registry, options->transports[i], true, "/transports/" + std::to_string(i), path));
  }
  for (size_t i = 0; i < options->memory_providers.size(); ++i) {
    note(CheckUse(registry, options->memory_providers[i], false, "/memory_providers/" + std::to_string(i), path));
  }
  return Together(faults, path);
}

std::string DescribePlugin(const LoadedPlugin& plugin) {
  const slipway_plugin& d = *plugin.descriptor;
  Json json;
  json["name"] = Text(d.plugin_name);
  json["file"] = plugin.path;
  json["version"] = Text(d.plugin_version);
  json["build_info"] = Text(d.build_info);
  json["abi"] = std::to_string(d.abi_major) + "." + std::to_string(d.abi_minor);
  json["transports"] = Json::array();
  for (auto t = d.transports; t != nullptr && *t != nullptr; ++t) {
    json["transports"].push_back(
        {{"name", Text((*t)->name)},
         {"version", Text((*t)->version)},
         {"vendor", Text((*t)->vendor)},
         {"description", Text((*t)->description)},
         {"protocol", {{"name", Text((*t)->protocol)}, {"min", (*t)->protocol_min}, {"max", (*t)->protocol_max}}},
         {"capabilities", sdk::WordsOf((*t)->caps, sdk::kCapabilityWords)},
         {"memory_kinds", sdk::WordsOf((*t)->mem_kinds, sdk::kMemoryKindWords)},
         {"config_schema", Json::parse(Text((*t)->config_schema), nullptr, false)}});
  }
  json["memory_providers"] = Json::array();
  for (auto p = d.memory_providers; p != nullptr && *p != nullptr; ++p) {
    json["memory_providers"].push_back({{"name", Text((*p)->name)},
                                        {"version", Text((*p)->version)},
                                        {"description", Text((*p)->description)},
                                        {"memory_kinds", sdk::WordsOf((*p)->mem_kind, sdk::kMemoryKindWords)}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace
}  // namespace slipway

using slipway::Report;

extern "C" {

SLIPWAY_API slipway_status slipway_config_check(const char* path, slipway_failure* error) {
  if (path == nullptr) return Report(SLIPWAY_E_INVALID, "path is null", error);
  try {
    return Report(slipway::CheckFile(path), error);
  } catch (...) {
    return slipway::ReportException(error);
  }
}

SLIPWAY_API slipway_status slipway_plugin_describe(const char* name, const char* plugin_path, char* text, size_t* len,
                                                   slipway_failure* error) {
  if (name == nullptr) return Report(SLIPWAY_E_INVALID, "name is null", error);
  try {
    slipway::PluginRegistry registry(slipway::SplitPath(plugin_path));
    slipway::Result<const slipway::LoadedPlugin*> plugin = registry.Load(name);
    if (!plugin.ok()) return Report(plugin.status(), error);
    return slipway::PutText(slipway::DescribePlugin(**plugin), text, len);
  } catch (...) {
    return slipway::ReportException(error);
  }
}

SLIPWAY_API slipway_status slipway_plugins_list(const char* plugin_path, char* text, size_t* len) {
  try {
    slipway::Json json;
    json["path"] = slipway::SplitPath(plugin_path);
    json["plugins"] = slipway::Json::array();
    for (const slipway::PluginFile& file : slipway::DiscoverPlugins(slipway::SplitPath(plugin_path))) {
      json["plugins"].push_back({{"name", file.name}, {"file", file.path}});
    }
    return slipway::PutText(json.dump(2, ' ', false, slipway::Json::error_handler_t::replace), text, len);
  } catch (...) {
    return slipway::ReportException(nullptr);
  }
}

SLIPWAY_API const char* slipway_status_name(slipway_status status) { return slipway::StatusName(status); }
SLIPWAY_API const char* slipway_version(void) { return slipway::CoreVersion(); }

}  // extern "C"

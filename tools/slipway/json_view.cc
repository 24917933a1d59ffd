#include "tools/slipway/json_view.h"

#include <nlohmann/json.hpp>

namespace slipway::cli {
namespace {

using Json = nlohmann::ordered_json;

// What is nested deeper than anything that the library writes is refused: writing it out again would recurse as deep.
constexpr int kDepthMax = 64;

Result<Json> Parse(std::string_view text) {
  bool too_deep = false;
  const auto keep = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kDepthMax;
    return !too_deep;
  };
  Json json = Json::parse(text, keep, /*allow_exceptions=*/false);
  if (too_deep || json.is_discarded())
    return Status(SLIPWAY_E_BAD_REPLY, "the reply is not JSON, or nested too deeply");
  return json;
}

std::string OneLine(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string Scalar(const Json& value) { return value.is_string() ? value.get<std::string>() : OneLine(value); }

void AppendText(const Json& json, size_t depth, std::string& out) {
  const std::string indent(2 * depth, ' ');
  const auto append_member = [&](const std::string& label, const Json& value) {
    if (value.is_structured() && !value.empty()) {
      out += indent + label + "\n";
      AppendText(value, depth + 1, out);
    } else {
      out += indent + label + " " + (value.is_structured() ? "none" : Scalar(value)) + "\n";
    }
  };
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) append_member(key + ":", value);
  } else if (json.is_array()) {
    for (const Json& value : json) append_member("-", value);
  } else {
    out += indent + Scalar(json) + "\n";
  }
}

std::string Member(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void AppendNames(const Json& object, const char* key, const char* word, std::string& out) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_array()) return;
  for (const Json& item : object[key]) {
    const std::string name = item.is_string() ? item.get<std::string>() : Member(item, "name");
    if (!name.empty()) out += (out.empty() ? "" : ", ") + std::string(word) + " " + name;
  }
}

}  // namespace

Result<std::string> JsonAsText(std::string_view text) {
  const auto json = Parse(text);
  if (!json.ok()) return json.status();
  std::string out;
  AppendText(*json, 0, out);
  if (!out.empty()) out.pop_back();
  return out;
}

Result<std::string> JsonOnOneLine(std::string_view text) {
  const auto json = Parse(text);
  if (!json.ok()) return json.status();
  return OneLine(*json);
}

Result<std::vector<PluginFile>> ReadPluginList(std::string_view text) {
  const auto json = Parse(text);
  if (!json.ok()) return json.status();
  const Json& list = json->is_object() && json->contains("plugins") ? (*json)["plugins"] : *json;
  if (!list.is_array()) return Status(SLIPWAY_E_BAD_REPLY, "the list of plugins is not a list");
  std::vector<PluginFile> files;
  for (const Json& item : list) files.push_back({Member(item, "name"), Member(item, "file")});
  return files;
}

Result<PluginSummary> ReadPluginSummary(std::string_view text) {
  const auto json = Parse(text);
  if (!json.ok()) return json.status();
  PluginSummary summary{.version = Member(*json, "version"), .offers = {}};
  AppendNames(*json, "transports", "transport", summary.offers);
  AppendNames(*json, "memory_providers", "memory provider", summary.offers);
  return summary;
}

Result<ControlAccess> ReadControlAccess(std::string_view text) {
  const auto json = Parse(text);
  if (!json.ok()) return json.status();
  const Json control = json->is_object() && json->contains("control") ? (*json)["control"] : Json::object();
  const Json tls = control.is_object() && control.contains("tls") ? control["tls"] : Json::object();
  return ControlAccess{
      .secret_file = Member(control, "secret_file"),
      .certificate_file = Member(tls, "certificate_file"),
      .key_file = Member(tls, "key_file"),
      .ca_file = Member(tls, "ca_file"),
      .secret = {},
  };
}

bool ReadsAsStoreHost(std::string_view text) {
  const auto json = Parse(text);
  return json.ok() && json->is_object() && json->contains("store") && Member((*json)["store"], "connect").empty();
}

std::string ReadErrorMessage(std::string_view text) {
  const auto json = Parse(text);
  if (json.ok() && json->is_object() && json->contains("error")) return Member((*json)["error"], "message");
  return std::string(text.substr(0, 200));
}

}  // namespace slipway::cli

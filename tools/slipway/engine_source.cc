#include "tools/slipway/engine_source.h"

namespace slipway::cli {
namespace {

std::string FolderList(std::string_view path) {
  std::string list;
  while (!path.empty()) {
    const size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    if (!folder.empty()) list += (list.empty() ? "" : ", ") + JsonQuote(folder);
    path.remove_prefix(colon == std::string_view::npos ? path.size() : colon + 1);
  }
  return "[" + list + "]";
}

}  // namespace

std::string PlainConfig(const std::vector<std::string>& transports, std::string_view listen,
                        std::string_view plugin_path) {
  std::string list;
  for (const std::string& name : transports) {
    JsonObject use;
    use.Add("name", name);
    if (transports.size() == 1) use.Add("required", true);  // nothing else could do its work
    list += (list.empty() ? "" : ", ") + use.str();
  }
  JsonObject control;
  control.Add("listen", listen);
  JsonObject config;
  config.AddJson("plugin_path", FolderList(plugin_path));
  config.AddJson("transports", "[" + list + "]").AddJson("control", control.str());
  return config.str();
}

Result<Engine> MakeEngine(const EngineArguments& arguments, std::string_view listen) {
  if (!arguments.config_file.empty()) return Engine::FromFile(arguments.config_file);
  return Engine::FromJson(PlainConfig({"local-memcpy", "tcp"}, listen, arguments.plugin_path));
}

}  // namespace slipway::cli

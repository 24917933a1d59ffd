// slipway plugins: what is on the plugin path, and what each of them says it offers.
#include <cstdio>

#include "slipway/engine.hpp"
#include "tools/slipway/commands.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/json_view.h"
#include "tools/slipway/plugin_child.h"

namespace slipway::cli {
namespace {

struct Row {
  PluginFile plugin;
  PluginReport report;
};

std::string RowAsJson(const Row& row) {
  JsonObject object;
  object.Add("name", row.plugin.name).Add("file", row.plugin.file).Add("state", row.report.state);
  if (row.report.state == "ok") {
    const auto description = JsonOnOneLine(row.report.detail);
    if (description.ok()) return object.AddJson("description", *description).str();
  }
  return object.Add("reason", row.report.detail).str();
}

std::string RowAsText(const Row& row) {
  std::string detail = row.report.detail;
  std::string version = "-";
  if (row.report.state == "ok") {
    if (const auto summary = ReadPluginSummary(row.report.detail); summary.ok()) {
      detail = summary->offers;
      if (!summary->version.empty()) version = summary->version;
    }
  }
  const std::string name = Printable(row.plugin.name);
  char head[160];
  std::snprintf(head, sizeof(head), "%-20s %-8s %-10s ", name.c_str(), row.report.state.c_str(), version.c_str());
  return head + Printable(detail) + "\n" + std::string(21, ' ') + Printable(row.plugin.file);
}

}  // namespace

int RunPlugins(const PluginsArguments& arguments, const Output& output) {
  if (!arguments.describe_one.empty())
    return DescribeAsChild(arguments.describe_one, arguments.plugin_path, arguments.report_fd);
  const char* path = arguments.plugin_path.empty() ? nullptr : arguments.plugin_path.c_str();
  const auto list = internal::ReadText([&](char* text, size_t* len) { return slipway_plugins_list(path, text, len); });
  if (!list.ok()) return output.Fail("plugins", list.status());
  const auto files = ReadPluginList(*list);
  if (!files.ok()) return output.Fail("plugins", files.status());
  if (files->empty() && !output.json()) output.Line("no plugin found; name folders with --plugin-path");
  for (const PluginFile& file : *files) {
    // One at a time: a row appears as soon as its plugin has answered, and each may use the whole machine.
    Row row{file, DescribeInChild(file.name, arguments.plugin_path, arguments.timeout_ms)};
    if (row.report.state == "ok" && !JsonOnOneLine(row.report.detail).ok())
      row.report = {"refused", "its description is not JSON"};
    output.Line(output.json() ? RowAsJson(row) : RowAsText(row));
  }
  return kExitOk;
}

}  // namespace slipway::cli

// slipway describe: what a running node says of itself, or what a configuration makes on this machine.
#include "tools/slipway/commands.h"
#include "tools/slipway/engine_source.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/json_view.h"
#include "tools/slipway/node_client.h"

namespace slipway::cli {
namespace {

Result<std::string> Ask(const DescribeArguments& arguments) {
  const auto engine = MakeEngine(arguments.engine, "");
  if (!engine.ok()) return engine.status();
  return engine->Describe();
}

}  // namespace

int RunDescribe(const DescribeArguments& arguments, const Output& output) {
  const auto json = arguments.address.empty() ? Ask(arguments) : AskNode(arguments);
  if (!json.ok()) return output.Fail("describe", json.status());
  const auto text = output.json() ? JsonOnOneLine(*json) : JsonAsText(*json);
  if (!text.ok()) return output.Fail("describe", text.status());
  output.Line(output.json() ? *text : Printable(*text));
  return kExitOk;
}

}  // namespace slipway::cli

// slipway config check: reads a configuration, starts nothing.
#include "slipway/engine.hpp"
#include "tools/slipway/commands.h"
#include "tools/slipway/exit_code.h"

namespace slipway::cli {

int RunConfigCheck(const ConfigCheckArguments& arguments, const Output& output) {
  internal::Failure failure;
  const Status status = failure.ToStatus(slipway_config_check(arguments.file.c_str(), failure.get()));
  if (!status.ok()) return output.Fail("config check", status);
  JsonObject reply;
  reply.Add("ok", true).Add("command", "config check").Add("file", arguments.file);
  output.Line(output.json() ? reply.str() : arguments.file + ": OK");
  return kExitOk;
}

}  // namespace slipway::cli

// slipway explain: which transport would serve a request, and why the others would not.
#include "tools/slipway/commands.h"
#include "tools/slipway/engine_source.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/json_view.h"
#include "tools/slipway/local_file.h"

namespace slipway::cli {

int RunExplain(const ExplainArguments& arguments, const Output& output) {
  const auto engine = MakeEngine(arguments.engine, "");
  if (!engine.ok()) return output.Fail("explain", engine.status());
  const auto segment = engine->Open(arguments.segment_url);
  if (!segment.ok()) return output.Fail("explain", segment.status());
  uint64_t length = arguments.length;
  if (length == 0 && arguments.offset < segment->length()) length = segment->length() - arguments.offset;
  // The local side: memory that is reserved and never touched, as nothing moves.
  const auto local = length > 0 ? Mapping::OfMemory(length) : Result<Mapping>(Mapping());
  if (!local.ok()) return output.Fail("explain", local.status(), kExitUsage, "ask about a smaller --length");
  const Request request = arguments.operation == "read"
                              ? ReadRequest(*segment, arguments.offset, local->data(), length)
                              : WriteRequest(*segment, arguments.offset, local->data(), length);
  const auto json = engine->Explain(request);
  if (!json.ok()) return output.Fail("explain", json.status());
  const auto text = output.json() ? JsonOnOneLine(*json) : JsonAsText(*json);
  if (!text.ok()) return output.Fail("explain", text.status());
  output.Line(*text);
  return kExitOk;
}

}  // namespace slipway::cli

// slipway copy: one file to another through two engines of this process, over one transport of choice.
#include <array>

#include "tools/slipway/commands.h"
#include "tools/slipway/engine_source.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/local_file.h"
#include "tools/slipway/mover.h"

namespace slipway::cli {
namespace {

// One engine publishes its file, the other moves it. Both live in this process and share nothing else.
Status MoveBetween(const Engine& serving, const Engine& moving, const Mapping& source, const Mapping& target, bool read,
                   double timeout_seconds, const Output& output, MoveReport* report) {
  const Mapping& published = read ? source : target;
  const Mapping& local = read ? target : source;
  const std::array spans = {slipway_span{published.data(), published.size()}};
  const uint32_t access = read ? SLIPWAY_ACCESS_REMOTE_READ : SLIPWAY_ACCESS_REMOTE_WRITE;
  SLIPWAY_RETURN_IF_ERROR(serving.Publish("file", spans, access));
  const auto address = serving.ControlAddress();
  if (!address.ok()) return address.status();
  Status status;
  {
    const auto segment = moving.Open(*address + "/file", 5'000);
    if (!segment.ok()) return segment.status();
    const Movement movement{
        .direction = read ? Direction::kFromSegment : Direction::kToSegment,
        .local = local.data(),
        .length = local.size(),
        .offset = 0,
        .timeout_seconds = timeout_seconds,
    };
    status = Move(moving, *segment, movement, output, report);
  }
  const Status withdrawn = serving.Withdraw("file");
  return status.ok() ? withdrawn : status;
}

}  // namespace

int RunCopy(const CopyArguments& arguments, const Output& output) {
  const auto source = Mapping::OfFile(arguments.source, /*writable=*/false);
  if (!source.ok()) return output.Fail("copy", source.status(), kExitFile, "check the file's name and permissions");
  auto target = TargetFile::Create(arguments.target, source->size());
  if (!target.ok()) return output.Fail("copy", target.status(), kExitFile, "name a file that can be written");
  MoveReport report;
  if (source->size() > 0) {
    const auto serving = Engine::FromJson(PlainConfig({arguments.via}, "127.0.0.1:0", arguments.plugin_path));
    if (!serving.ok()) return output.Fail("copy", serving.status());
    const auto moving = Engine::FromJson(PlainConfig({arguments.via}, "", arguments.plugin_path));
    if (!moving.ok()) return output.Fail("copy", moving.status());
    const Status status = MoveBetween(*serving, *moving, *source, target->mapping(), arguments.read,
                                      arguments.timeout_seconds, output, &report);
    if (!status.ok()) return output.Fail("copy", status);
  }
  if (const Status named = target->Commit(); !named.ok()) return output.Fail("copy", named, kExitFile, "");
  if (output.json()) {
    JsonObject reply;
    reply.Add("ok", true).Add("command", "copy").Add("source", arguments.source).Add("target", arguments.target);
    output.Line(report.AddTo(reply).str());
  } else {
    output.Line("copy " + report.Text());
  }
  return kExitOk;
}

}  // namespace slipway::cli

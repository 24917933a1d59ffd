// slipway push and slipway pull: a file to a segment and back.
#include "tools/slipway/commands.h"
#include "tools/slipway/engine_source.h"
#include "tools/slipway/exit_code.h"
#include "tools/slipway/local_file.h"
#include "tools/slipway/mover.h"

namespace slipway::cli {
namespace {

uint64_t OpenTimeoutMs(const TransferArguments& arguments) {
  return arguments.timeout_seconds > 0 ? static_cast<uint64_t>(arguments.timeout_seconds * 1000) + 1
                                       : SLIPWAY_NO_TIMEOUT;
}

// Declared memory goes direct where a transport needs registration; it is taken back before the mapping goes.
Status MoveDeclared(const Engine& engine, const Segment& segment, const Movement& movement, const Output& output,
                    MoveReport* report) {
  if (movement.length == 0) return Move(engine, segment, movement, output, report);
  SLIPWAY_RETURN_IF_ERROR(engine.Declare(movement.local, movement.length));
  Status status = Move(engine, segment, movement, output, report);
  const Status taken_back = engine.Undeclare(movement.local, movement.length, 10'000);
  return status.ok() ? taken_back : status;
}

int Report(const char* command, const TransferArguments& arguments, const MoveReport& report, const Output& output) {
  if (output.json()) {
    JsonObject reply;
    reply.Add("ok", true).Add("command", command).Add("file", arguments.file).Add("segment", arguments.segment_url);
    output.Line(report.AddTo(reply).str());
  } else {
    output.Line(std::string(command) + " " + report.Text());
  }
  return kExitOk;
}

}  // namespace

int RunPush(const TransferArguments& arguments, const Output& output) {
  auto file = Mapping::OfFile(arguments.file, /*writable=*/false);
  if (!file.ok()) return output.Fail("push", file.status(), kExitFile, "check the file's name and permissions");
  const auto engine = MakeEngine(arguments.engine, "");
  if (!engine.ok()) return output.Fail("push", engine.status());
  const auto segment = engine->Open(arguments.segment_url, OpenTimeoutMs(arguments));
  if (!segment.ok()) return output.Fail("push", segment.status());
  const Movement movement{
      .direction = Direction::kToSegment,
      .local = file->data(),
      .length = file->size(),
      .offset = arguments.offset,
      .timeout_seconds = arguments.timeout_seconds,
  };
  MoveReport report;
  const Status status = MoveDeclared(*engine, *segment, movement, output, &report);
  if (!status.ok()) return output.Fail("push", status);
  return Report("push", arguments, report, output);
}

int RunPull(const TransferArguments& arguments, const Output& output) {
  const auto engine = MakeEngine(arguments.engine, "");
  if (!engine.ok()) return output.Fail("pull", engine.status());
  const auto segment = engine->Open(arguments.segment_url, OpenTimeoutMs(arguments));
  if (!segment.ok()) return output.Fail("pull", segment.status());
  const uint64_t room = segment->length();
  const uint64_t rest = arguments.offset < room ? room - arguments.offset : 0;
  const uint64_t length = arguments.length.value_or(rest);
  if (arguments.offset > room || length > rest) {
    return output.Fail(
        "pull", Status(SLIPWAY_E_SEGMENT_RANGE,
                       std::to_string(length) + " bytes at offset " + std::to_string(arguments.offset) +
                           " asked for, but the segment has " + std::to_string(room) + " bytes; nothing was moved"));
  }
  auto target = TargetFile::Create(arguments.file, length);
  if (!target.ok()) return output.Fail("pull", target.status(), kExitFile, "name a file that can be written");
  const Movement movement{
      .direction = Direction::kFromSegment,
      .local = target->mapping().data(),
      .length = length,
      .offset = arguments.offset,
      .timeout_seconds = arguments.timeout_seconds,
  };
  MoveReport report;
  const Status status = MoveDeclared(*engine, *segment, movement, output, &report);
  if (!status.ok()) return output.Fail("pull", status);
  if (const Status named = target->Commit(); !named.ok()) return output.Fail("pull", named, kExitFile, "");
  return Report("pull", arguments, report, output);
}

}  // namespace slipway::cli

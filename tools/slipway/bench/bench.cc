// slipway bench: every path that this machine has, verified, beside what it is compared with.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "tools/slipway/bench/interrupt.h"
#include "tools/slipway/bench/machine.h"
#include "tools/slipway/bench/plan.h"
#include "tools/slipway/bench/progress.h"
#include "tools/slipway/bench/report.h"
#include "tools/slipway/commands.h"
#include "tools/slipway/exit_code.h"

namespace slipway::cli {
namespace {

using namespace bench;  // NOLINT: this file is that folder's one door
using Clock = std::chrono::steady_clock;

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One sample more for every row that has not failed. A failure of Slipway's stays in the report; one of somebody else's
// takes the row out of it.
Status RunRound(const std::vector<Item*>& items, double seconds, RoundProgress& progress) {
  for (Item* const item : items) {
    Row& row = item->row;
    if (!row.failure.ok()) continue;
    progress.Begin(row);
    auto sample = item->measure(seconds);
    if (Interrupted()) return {SLIPWAY_E_CANCELED, "interrupted"};
    if (sample.ok()) {
      row.samples.push_back(*sample);
    } else {
      row.failure = sample.status();
      row.wrong_data = row.failure.message().starts_with("WRONG DATA");
    }
    progress.End();
  }
  return {};
}

// As many rounds as were asked for, or as the budget has room for; at least one.
Status RunRounds(const BenchArguments& arguments, const Output& output, Plan& plan, Report& report) {
  const Clock::time_point start = Clock::now();
  std::vector<Item*> items;
  for (Item& item : plan.items) items.push_back(&item);
  double seconds = arguments.seconds;
  if (arguments.budget_seconds > 0) {
    // What is not timed, filling and checking and starting, costs about as much again.
    const double each = arguments.budget_seconds / static_cast<double>(arguments.runs * items.size());
    seconds = std::clamp(each / 2, 0.005, seconds);
  }
  report.rounds_wanted = arguments.runs;
  report.seconds_each = seconds;
  RoundProgress progress(output, items.size(), arguments.runs, seconds, arguments.budget_seconds);
  for (uint32_t round = 0; round < arguments.runs; ++round) {
    const double longest = round > 0 ? Since(start) / round : 0;
    if (arguments.budget_seconds > 0 && round > 0 && Since(start) + longest > arguments.budget_seconds) break;
    progress.Round(round);
    // Every other round backwards: what comes first is another one each time, and a drift cancels out.
    if (round > 0) std::reverse(items.begin(), items.end());
    SLIPWAY_RETURN_IF_ERROR(RunRound(items, seconds, progress));
    report.rounds = round + 1;
  }
  return {};
}

void Collect(Plan& plan, Report& report) {
  report.skipped = std::move(plan.skipped);
  for (Item& item : plan.items) {
    if (item.row.is_slipway() || item.row.failure.ok())
      report.rows.push_back(std::move(item.row));
    else
      report.skipped.push_back(
          {item.row.who + " " + item.row.operation + " " + FormatSize(item.row.bytes), item.row.failure.message()});
  }
}

// Under its name only when whole.
Status WritePage(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".part";
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << text << std::flush;
    if (!file) return {SLIPWAY_E_IO, temporary + ": cannot be written"};
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) return {SLIPWAY_E_IO, path + ": " + error.message()};
  return {};
}

int Finish(const BenchArguments& arguments, const Report& report, const Output& output) {
  output.Line(output.json() ? ReportAsJson(report) : ReportAsText(report));
  if (!arguments.html.empty()) {
    const Status written = WritePage(arguments.html, ReportAsPage(report));
    if (!written.ok()) return output.Fail("bench", written, kExitFile, "name a file that can be written with --html");
  }
  for (const Row& row : report.rows) {
    if (!row.is_slipway() || row.failure.ok()) continue;
    const std::string what = row.path + ", " + row.operation + " of " + FormatSize(row.bytes) + ", " + ShapeName(row);
    // In JSON the report has said it.
    if (output.json())
      std::fprintf(stderr, "slipway bench: %s: %s\n", what.c_str(), Printable(row.failure.message()).c_str());
    else
      (void)output.Fail("bench", Status(row.failure.code(), what + ": " + row.failure.message()));
  }
  return report.failures() == 0 ? kExitOk : kExitTransfer;
}

}  // namespace

int RunBench(const BenchArguments& arguments, const Output& output) {
  if (arguments.role == "target") return RunTarget();
  if (arguments.role == "raw-sockets") return RunRawSockets();
  NoteInterrupts();
  Report report;
  report.started = UtcNow();
  report.machine = DescribeMachine();
  Status status;
  {
    auto plan = MakePlan(arguments);
    status = plan.ok() ? RunRounds(arguments, output, **plan, report) : plan.status();
    if (status.ok()) Collect(**plan, report);
  }  // every engine and every child has ended
  if (Interrupted()) EndAsInterrupted();
  return status.ok() ? Finish(arguments, report, output) : output.Fail("bench", status);
}

}  // namespace slipway::cli

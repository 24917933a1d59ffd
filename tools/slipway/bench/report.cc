#include "tools/slipway/bench/report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "slipway/engine.h"
#include "tools/slipway/bench/progress.h"
#include "tools/slipway/output.h"

namespace slipway::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

template <typename Take>
Spread SpreadBy(const Row& row, Take take) {
  std::vector<double> values;
  for (const Sample& sample : row.samples) values.push_back(take(sample));
  return SpreadOf(std::move(values));
}

Spread Seconds(const Row& row) {
  return SpreadBy(row, [](const Sample& sample) { return sample.seconds; });
}

Spread Rate(const Row& row) {
  return SpreadBy(row, [&](const Sample& sample) { return static_cast<double>(row.bytes) / sample.seconds; });
}

Json SpreadJson(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

Json RowJson(const Report& report, const Row& row) {
  Json json = {{"who", row.who},       {"path", row.path},
               {"medium", row.medium}, {"operation", row.operation},
               {"bytes", row.bytes},   {"shape", ShapeWord(row.shape)},
               {"count", row.count},   {"streams", row.streams}};
  if (row.is_slipway()) json["verified"] = row.failure.ok() && !row.samples.empty();
  if (!row.failure.ok()) {
    json["failure"] = {{"status", slipway_status_name(row.failure.code())},
                       {"message", row.failure.message()},
                       {"wrong_data", row.wrong_data}};
  }
  if (row.samples.empty()) return json;
  json["seconds"] = SpreadJson(Seconds(row));
  json["bytes_per_second"] = SpreadJson(Rate(row));
  if (row.is_slipway() && row.shape != kStream) {
    json["p50_seconds"] = SpreadBy(row, [](const Sample& sample) { return sample.p50; }).median;
    json["p99_seconds"] = SpreadBy(row, [](const Sample& sample) { return sample.p99; }).median;
  }
  Json runs = Json::array();
  for (const Sample& sample : row.samples) runs.push_back(sample.seconds);
  json["runs_seconds"] = std::move(runs);
  Json ratios = Json::array();
  for (const Row& other : report.rows) {
    if (!Comparable(row, other)) continue;
    Json ratio = SpreadJson(SpeedRatio(row, other));
    ratio["to"] = other.who;
    ratios.push_back(std::move(ratio));
  }
  if (row.is_slipway()) json["times_as_fast_as"] = std::move(ratios);
  return json;
}

std::string Printf(const char* format, double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// Slipway's, in the order in which they first appear.
std::vector<std::string> OwnPaths(const Report& report) {
  std::vector<std::string> paths;
  for (const Row& row : report.rows)
    if (row.is_slipway() && std::find(paths.begin(), paths.end(), row.path) == paths.end()) paths.push_back(row.path);
  return paths;
}

// ---- the table ------------------------------------------------------------------------------------------------------

using Cells = std::vector<std::string>;

Cells TableRow(const Report& report, const Row& row) {
  std::string comparisons;
  for (const Row& other : report.rows) {
    if (!Comparable(row, other)) continue;
    const Spread ratio = SpeedRatio(row, other);
    comparisons += (comparisons.empty() ? "" : "   ") + Printf("%.2f x ", ratio.median) + other.who;
    comparisons += Printf(" (%.2f", ratio.low) + Printf(" to %.2f)", ratio.high);
  }
  Cells cells = {"  " + row.operation, FormatSize(row.bytes), ShapeName(row)};
  if (!row.failure.ok()) {
    cells.insert(cells.end(), {"FAILED", "", "", Printable(row.failure.message())});
    return cells;
  }
  if (row.samples.empty()) return {};
  const Spread seconds = Seconds(row);
  const double spread = 100 * (seconds.high - seconds.low) / (2 * seconds.median);
  cells.insert(cells.end(),
               {FormatSpeed(Rate(row).median), FormatTime(seconds.median), Printf("%.0f%%", spread), comparisons});
  return cells;
}

std::string Aligned(const std::vector<Cells>& table) {
  std::vector<size_t> widths;
  for (const Cells& cells : table)
    for (size_t i = 0; cells.size() > 1 && i < cells.size(); ++i) {
      widths.resize(std::max(widths.size(), cells.size()));
      widths[i] = std::max(widths[i], cells[i].size());
    }
  std::string text;
  for (const Cells& cells : table) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      const size_t missing = cells.size() > 1 ? widths[i] - cells[i].size() : 0;
      const bool number = i == 1 || (i >= 3 && i <= 5);  // at the right
      if (i > 0) line += "  ";
      line += number ? std::string(missing, ' ') + cells[i] : cells[i] + std::string(missing, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

size_t Report::failures() const {
  return static_cast<size_t>(
      std::count_if(rows.begin(), rows.end(), [](const Row& row) { return row.is_slipway() && !row.failure.ok(); }));
}

std::string FormatTime(double seconds) {
  if (seconds < 1e-6) return Printf("%.0f ns", seconds * 1e9);
  if (seconds < 1e-3) return Printf(seconds < 1e-5 ? "%.2f us" : "%.1f us", seconds * 1e6);
  return seconds < 1 ? Printf("%.2f ms", seconds * 1e3) : Printf("%.2f s", seconds);
}

std::string FormatSpeed(double bytes_per_second) {
  return bytes_per_second < 1e9 ? Printf("%.1f MB/s", bytes_per_second / 1e6)
                                : Printf("%.2f GB/s", bytes_per_second / 1e9);
}

std::string ReportAsJson(const Report& report) {
  Json machine = Json::object();
  for (const auto& [what, value] : report.machine) machine[what] = value;
  Json rows = Json::array(), skipped = Json::array();
  for (const Row& row : report.rows) rows.push_back(RowJson(report, row));
  for (const Skipped& skip : report.skipped) skipped.push_back({{"what", skip.what}, {"why", skip.why}});
  const Json json = {{"ok", report.failures() == 0},
                     {"command", "bench"},
                     {"version", slipway_version()},
                     {"started", report.started},
                     {"machine", machine},
                     {"rounds", report.rounds},
                     {"rounds_wanted", report.rounds_wanted},
                     {"seconds_each", report.seconds_each},
                     {"rows", rows},
                     {"skipped", skipped}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ReportAsText(const Report& report) {
  std::string text = "slipway " + std::string(slipway_version()) + ", " + report.started + "\n";
  for (const auto& [what, value] : report.machine) text += "  " + what + ": " + Printable(value) + "\n";
  text += "  " + std::to_string(report.rounds) + (report.rounds == 1 ? " round, " : " interleaved rounds, ") +
          Printf("%.3g s", report.seconds_each) + " a measurement; medians; every byte verified; GB/s of 1e9\n";
  text += "  \"1.20 x NAME\" is how many times as fast as NAME, in the same round: median (lowest to highest)\n";
  std::vector<Cells> table;
  const auto add = [&](const std::string& label, auto belongs) {
    bool first = true;
    for (const Row& row : report.rows) {
      Cells cells = belongs(row) ? TableRow(report, row) : Cells();
      if (cells.empty()) continue;
      if (first) table.insert(table.end(), {{""}, {label}});
      first = false;
      if (!row.is_slipway()) cells[0] = "  " + row.who + (row.operation == "any" ? "" : ", " + row.operation);
      table.push_back(std::move(cells));
    }
  };
  for (const std::string& path : OwnPaths(report))
    add(path, [&](const Row& row) { return row.is_slipway() && row.path == path; });
  add("what it is compared with", [](const Row& row) { return !row.is_slipway(); });
  text += Aligned(table);
  if (!report.skipped.empty()) text += "\nnot measured\n";
  for (const Skipped& skip : report.skipped) text += "  " + skip.what + ": " + Printable(skip.why) + "\n";
  text.pop_back();
  return text;
}

}  // namespace slipway::cli::bench

// What a run found, and the three ways to say it: a table for a person, JSON for a program, a page to show around.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_REPORT_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "tools/slipway/bench/paths.h"
#include "tools/slipway/bench/row.h"

namespace slipway::cli::bench {

struct Report {
  std::vector<std::pair<std::string, std::string>> machine;
  std::string started;  // UTC
  uint32_t rounds = 0, rounds_wanted = 0;
  double seconds_each = 0;  // of one measurement
  std::vector<Row> rows;
  std::vector<Skipped> skipped;

  // Of a row of Slipway's; 0: all of them are well.
  size_t failures() const;
};

// One JSON object on one line.
std::string ReportAsJson(const Report& report);
// Lines for a terminal, without the last end of line.
std::string ReportAsText(const Report& report);
// One file that needs nothing else: no network, no other file.
std::string ReportAsPage(const Report& report);

// "1.2 us", "85 ns", "3.1 ms"
std::string FormatTime(double seconds);
// "8.45 GB/s" (of 1e9)
std::string FormatSpeed(double bytes_per_second);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_REPORT_H_

// A whole run: which cases, what stands in their way, what their outcomes mean, and the exit code.
#ifndef SLIPWAY_TOOLS_CONFORM_SUITE_H_
#define SLIPWAY_TOOLS_CONFORM_SUITE_H_

#include <functional>
#include <string>
#include <vector>

#include "tools/conform/runner.h"

namespace slipway::conform {

enum ExitCode {
  kConforms = 0,
  kCaseFailed = 1,
  kUsage = 2,
  kNotLoadable = 3,
  kRunnerFailed = 4,
  kNothingRan = 5,
};

struct SuiteOptions {
  std::string plugin;  // path
  Profile profile;
  std::vector<std::string> include, exclude;  // ids or globs; include empty: all
  unsigned jobs = 1;
  uint64_t seed = 1;
  bool strict = false;
  std::string mustpass = "1.0";
  std::string today;  // YYYY-MM-DD, for waivers
};

struct Result {
  std::string id, level, what;
  std::string status;  // pass fail crash timeout skip warn xfail xpass error
  std::string reason, stacks, output, repro, waiver, missing_cap;
  int signal = 0;
  bool must = false;  // in the mustpass list
  uint64_t seed = 0, duration_ms = 0;
};

struct SuiteReport {
  std::string plugin_path, plugin_sha256, profile_path, mustpass;
  std::string description;  // JSON of the plugin's descriptors; "" when it cannot be opened
  std::string attributes;   // JSON of an instance's attributes; "" when none can be made
  std::string not_loadable;
  Limits limits;
  std::vector<Waiver> waivers;
  uint64_t seed = 0, duration_ms = 0;
  bool strict = false;
  std::vector<Result> results;
  int exit_code = kRunnerFailed;
  size_t Count(const std::string& status) const;
};

// Told as the run goes on. Either may be empty.
struct Progress {
  std::function<void(size_t done, size_t total, const std::string& id)> started;
  std::function<void(size_t done, size_t total, const Result&)> ended;
};

SuiteReport RunSuite(const SuiteOptions& options, const Progress& progress);

// The caps that cases are gated with, when only one case is to be run in this process.
Spec SpecFor(const SuiteOptions& options, const std::string& case_id, uint64_t caps);
// Asks a child for the attributes; 0 caps when it cannot be had.
uint64_t CapsOf(const SuiteOptions& options);
// A command that runs the case alone.
std::string ReproCommand(const SuiteOptions& options, const std::string& case_id, uint64_t seed);

// ---- reports ----------------------------------------------------------------------------------------------------
std::string ToJsonText(const SuiteReport& report);
std::string ToJUnit(const SuiteReport& report);
std::string ToTap(const SuiteReport& report);
std::string ToHtml(const SuiteReport& report);  // one self-contained page
std::string ToTable(const SuiteReport& report, bool color);
std::string Verdict(const SuiteReport& report);  // one line

// What `repro` needs of a report in JSON: the plugin, the profile, the seed of the case. False with an error text.
struct ReproSource {
  std::string plugin, profile_path;
  uint64_t seed = 0;
};
bool ReadReport(const std::string& path, const std::string& case_id, ReproSource& out, std::string& error);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_SUITE_H_

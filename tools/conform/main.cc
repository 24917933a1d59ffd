// slipway-conform: does a shared object keep the plugin contract?
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <fstream>
#include <iostream>
#include <thread>

#include "tools/conform/child.h"
#include "tools/conform/failure.h"
#include "tools/conform/peer.h"
#include "tools/conform/suite.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

struct Arguments {
  SuiteOptions suite;
  std::string profile, json, junit, tap, html, report, case_id, target = "all";
  std::string transport, provider;
  bool in_process = false, quiet = false;
  uint64_t seconds = 60;
};

std::string Today() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  return Format("%04d-%02d-%02d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

bool WriteTo(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  if (path == "-") {
    std::cout << text;
    return true;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.flush();
  if (file) return true;
  std::cerr << "slipway-conform: " << path << " cannot be written\n";
  return false;
}

bool LoadProfile(Arguments& a) {
  if (!a.profile.empty()) {
    std::string error;
    const auto profile = ReadProfile(a.profile, error);
    if (!profile) {
      std::cerr << "slipway-conform: " << a.profile << ": " << error << "\n";
      return false;
    }
    a.suite.profile = *profile;
  }
  if (!a.transport.empty()) a.suite.profile.transport = a.transport;
  if (!a.provider.empty()) a.suite.profile.provider = a.provider;
  a.suite.today = Today();
  return true;
}

// A pattern that no case has is a mistake, not an empty run.
bool KnownPatterns(const std::vector<std::string>& patterns) {
  for (const std::string& p : patterns) {
    bool any = Matches(p, "profile.claims");
    for (const Case* c : AllCases()) any = any || Matches(p, c->id);
    if (any) continue;
    std::cerr << "slipway-conform: no case is called " << p << "; see slipway-conform list\n";
    return false;
  }
  return true;
}

int List() {
  for (const Case* c : AllCases()) {
    std::cout << Format("%s %-32s %s%s%s\n", LevelName(c->level), c->id, c->what, c->peer ? " [peer]" : "",
                        c->caps != 0 ? (" [needs " + NameBits(CapNames(), c->caps) + "]").c_str() : "");
  }
  return kConforms;
}

int Describe(Arguments& a) {
  if (!LoadProfile(a)) return kUsage;
  const Outcome o = RunOne(SpecFor(a.suite, kDescribe, 0));
  if (o.status != "pass") {
    std::cerr << "slipway-conform: " << o.reason << "\n";
    return kNotLoadable;
  }
  std::cout << o.data << "\n";
  return kConforms;
}

int RunInProcess(Arguments& a) {
  if (a.suite.include.size() != 1 || FindCase(a.suite.include[0]) == nullptr) {
    std::cerr << "slipway-conform: --in-process runs one case: name it with --include\n";
    return kUsage;
  }
  RunHere(SpecFor(a.suite, a.suite.include[0], CapsOf(a.suite)));
}

int Run(Arguments& a) {
  if (!LoadProfile(a) || !KnownPatterns(a.suite.include) || !KnownPatterns(a.suite.exclude)) return kUsage;
  if (MustPass(a.suite.mustpass).empty()) {
    std::cerr << "slipway-conform: there is no mustpass list " << a.suite.mustpass << "\n";
    return kUsage;
  }
  if (a.in_process) return RunInProcess(a);
  const bool terminal = isatty(STDERR_FILENO) != 0 && !a.quiet;
  Progress progress;
  if (terminal) {
    progress.started = [](size_t done, size_t total, const std::string& id) {
      std::cerr << Format("\r\x1b[K[%zu/%zu] %s", done, total, id.c_str()) << std::flush;
    };
  }
  const SuiteReport report = RunSuite(a.suite, progress);
  if (terminal) std::cerr << "\r\x1b[K";
  const bool data_on_stdout = a.json == "-" || a.junit == "-" || a.tap == "-" || a.html == "-";
  std::ostream& out = data_on_stdout ? std::cerr : std::cout;
  if (!a.quiet) out << ToTable(report, isatty(data_on_stdout ? STDERR_FILENO : STDOUT_FILENO) != 0);
  out << Verdict(report) << "\n";
  bool written = WriteTo(a.json, ToJsonText(report));
  written = WriteTo(a.junit, ToJUnit(report)) && written;
  written = WriteTo(a.tap, ToTap(report)) && written;
  written = WriteTo(a.html, ToHtml(report)) && written;
  return written ? report.exit_code : kRunnerFailed;
}

// Hostile input with one seed after the other, for as long as there is time.
int Fuzz(Arguments& a) {
  if (!LoadProfile(a)) return kUsage;
  if (a.target == "config" || a.target == "all") a.suite.include.push_back("cfg.fuzz");
  if (a.target == "blobs" || a.target == "all") a.suite.include.push_back("fail.blob-fuzz");
  const Deadline deadline(a.seconds * 1000);
  uint64_t rounds = 0;
  do {
    const SuiteReport report = RunSuite(a.suite, {});
    ++rounds;
    if (report.exit_code != kConforms) {
      std::cout << ToTable(report, false) << Verdict(report) << "\n";
      return report.exit_code;
    }
    ++a.suite.seed;
  } while (!deadline.over());
  std::cout << "no finding in " << rounds << " rounds of " << a.suite.profile.limits.fuzz_mutations
            << " mutations; the next seed is " << a.suite.seed << "\n";
  return kConforms;
}

int Repro(Arguments& a) {
  ReproSource source;
  std::string error;
  if (!ReadReport(a.report, a.case_id, source, error)) {
    std::cerr << "slipway-conform: " << error << "\n";
    return kUsage;
  }
  a.suite.plugin = source.plugin;
  a.profile = source.profile_path;
  a.suite.seed = source.seed;
  a.suite.include = {a.case_id};
  return Run(a);
}

void AddPlugin(CLI::App* app, Arguments& a) {
  app->add_option("plugin", a.suite.plugin, "The shared object")->required();
  app->add_option("--profile", a.profile, "What there is to know about the plugin, as JSON")->check(CLI::ExistingFile);
  app->add_option("--transport", a.transport, "Which of its transports, by name");
  app->add_option("--provider", a.provider, "Which of its memory providers, by name");
}

int Main(int argc, char** argv) {
  Arguments a;
  a.suite.jobs = 1;
  CLI::App app{
      "Checks whether a shared object keeps the Slipway plugin contract.\nExit codes: 0 conforms, 1 a case failed, "
      "2 usage, 3 not loadable or ABI mismatch, 4 the runner failed, 5 nothing ran."};
  app.require_subcommand(1);
  CLI::App* list = app.add_subcommand("list", "The cases");
  CLI::App* describe = app.add_subcommand("describe", "What a plugin says of itself, as JSON");
  AddPlugin(describe, a);
  CLI::App* run = app.add_subcommand("run", "Run the cases");
  AddPlugin(run, a);
  CLI::App* repro = app.add_subcommand("repro", "Run one case again as a report in JSON had it");
  repro->add_option("report", a.report)->required()->check(CLI::ExistingFile);
  repro->add_option("case", a.case_id)->required();
  for (CLI::App* sub : {run, repro}) sub->add_flag("--in-process", a.in_process, "No child process: for a debugger");
  run->add_option("--include", a.suite.include, "Only these cases: ids or globs");
  run->add_option("--exclude", a.suite.exclude, "Not these cases: ids or globs");
  run->add_option("-j,--jobs", a.suite.jobs, "Cases at the same time")->check(CLI::Range(1, 256));
  run->add_option("--seed", a.suite.seed, "Of everything that is random");
  run->add_flag("--strict", a.suite.strict, "Warnings fail");
  run->add_option("--mustpass", a.suite.mustpass, "Which list of cases must pass");
  run->add_option("--json", a.json, "Write a report (- for stdout)");
  run->add_option("--junit", a.junit, "Write a report (- for stdout)");
  run->add_option("--tap", a.tap, "Write a report (- for stdout)");
  run->add_option("--html", a.html, "Write a page (- for stdout)");
  run->add_flag("-q,--quiet", a.quiet, "One line instead of the table");
  CLI::App* fuzz = app.add_subcommand("fuzz", "Hostile configurations and blobs, seed after seed");
  AddPlugin(fuzz, a);
  fuzz->add_option("--seconds", a.seconds, "How long");
  fuzz->add_option("--seed", a.suite.seed, "The first seed");
  fuzz->add_option("--target", a.target)->check(CLI::IsMember({"config", "blobs", "all"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kConforms : kUsage;
  }
  if (list->parsed()) return List();
  if (describe->parsed()) return Describe(a);
  if (repro->parsed()) return Repro(a);
  return fuzz->parsed() ? Fuzz(a) : Run(a);
}

}  // namespace
}  // namespace slipway::conform

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "__child") slipway::conform::ChildMain();
  if (argc == 2 && std::string_view(argv[1]) == "__peer") slipway::conform::ServePeer(slipway::conform::kChildFd);
  try {
    return slipway::conform::Main(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "slipway-conform: " << e.what() << "\n";
    return slipway::conform::kRunnerFailed;
  }
}

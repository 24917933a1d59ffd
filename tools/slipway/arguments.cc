#include "tools/slipway/arguments.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "slipway/engine.h"
#include "tools/slipway/commands.h"
#include "tools/slipway/exit_code.h"

namespace slipway::cli {
namespace {

constexpr char kFooter[] =
    "Exit status: 0 done, 1 fault of Slipway or the system, 2 command line, 3 configuration, 4 unreachable,\n"
    "  5 transfer failed, 6 plugin, 7 local file, 8 segment, 9 address in use, 10 access denied.\n"
    "With --json every command prints JSON objects, one a line, also for failures.";

struct CommandLine {
  bool json = false;
  std::string progress = "auto";
  std::function<int(const Output&)> run;  // of the command that was named

  ConfigCheckArguments config_check;
  PluginsArguments plugins;
  ServeArguments serve;
  TransferArguments push, pull;
  CopyArguments copy;
  ObjectArguments object;
  DescribeArguments describe;
  ExplainArguments explain;
  BenchArguments bench;
};

// The options that each command takes in the same words.
CLI::App* AddCommand(CLI::App& app, CommandLine& line, const std::string& name, const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_flag("--json", line.json, "Print JSON");
  command->footer(kFooter);
  return command;
}

void AddEngine(CLI::App* command, EngineArguments& engine) {
  CLI::Option* config =
      command->add_option("--config", engine.config_file, "Configuration file; default: local-memcpy and tcp, plain");
  command->add_option("--plugin-path", engine.plugin_path, "Folders to look for plugins in, colon-separated")
      ->excludes(config);
}

void AddSize(CLI::App* command, const std::string& name, const std::string& description,
             std::function<void(uint64_t)> set) {
  command->add_option_function<std::string>(
      name,
      [name, set = std::move(set)](const std::string& text) {
        const auto bytes = ParseSize(text);
        if (!bytes) throw CLI::ValidationError(name, text + " is not a size such as 4096 or 64MiB");
        set(*bytes);
      },
      description);
}

void AddProgress(CLI::App* command, CommandLine& line) {
  command->add_option("--progress", line.progress, "Show progress on standard error: auto (on a terminal)")
      ->check(CLI::IsMember({"auto", "always", "never"}));
}

void AddTimeout(CLI::App* command, double& seconds, const std::string& description) {
  command->add_option("--timeout", seconds, description)->check(CLI::Range(0.0, 1e9));
}

void AddNodeCommands(CLI::App& app, CommandLine& line) {
  CLI::App* config = app.add_subcommand("config", "Work with configuration files");
  config->require_subcommand(1);
  CLI::App* check = AddCommand(*config, line, "check", "Check a configuration file; starts nothing");
  check->add_option("FILE", line.config_check.file, "Configuration file")->required();
  check->callback([&line] { line.run = [&line](const Output& o) { return RunConfigCheck(line.config_check, o); }; });

  CLI::App* plugins = AddCommand(app, line, "plugins", "List plugins; each is loaded in a process of its own");
  plugins->add_option("--plugin-path", line.plugins.plugin_path, "More folders to look in, colon-separated");
  plugins->add_option("--timeout-ms", line.plugins.timeout_ms, "How long one plugin may take")
      ->capture_default_str()
      ->check(CLI::Range(uint64_t{1}, uint64_t{600'000}));
  plugins->add_option("--describe-one", line.plugins.describe_one)->group("");
  plugins->add_option("--report-fd", line.plugins.report_fd)->group("");
  plugins->callback([&line] { line.run = [&line](const Output& o) { return RunPlugins(line.plugins, o); }; });

  CLI::App* serve = AddCommand(app, line, "serve", "Offer memory and files to peers, until SIGINT or SIGTERM");
  AddEngine(serve, line.serve.engine);
  serve->add_option("--listen", line.serve.listen, "Where to listen without --config; port 0: any free one")
      ->capture_default_str()
      ->excludes("--config");
  serve
      ->add_option("--segment", line.serve.segments,
                   "NAME=SIZE or NAME=FILE, and :ro or :rw (default: memory :rw, files :ro); may be repeated")
      ->allow_extra_args(false);
  AddSize(serve, "--store", "Host a store of this size; with --config its section store says so",
          [&line](uint64_t bytes) { line.serve.store_bytes = bytes; });
  serve->add_option("--ready-fd", line.serve.ready_fd, "Write the ready line to this descriptor too, then close it");
  serve->add_option("--ready-file", line.serve.ready_file, "Write the ready line to this file too");
  serve->callback([&line] { line.run = [&line](const Output& o) { return RunServe(line.serve, o); }; });
}

void AddTransferCommands(CLI::App& app, CommandLine& line) {
  CLI::App* push = AddCommand(app, line, "push", "Write a file to a segment");
  push->add_option("FILE", line.push.file, "File to read")->required();
  push->add_option("SEGMENT", line.push.segment_url, "HOST:PORT/NAME")->required();
  CLI::App* pull = AddCommand(app, line, "pull", "Read a segment to a file, which appears only when it is whole");
  pull->add_option("SEGMENT", line.pull.segment_url, "HOST:PORT/NAME")->required();
  pull->add_option("FILE", line.pull.file, "File to write")->required();
  AddSize(pull, "--length", "Bytes to read; default: to the end of the segment",
          [&line](uint64_t bytes) { line.pull.length = bytes; });
  for (const auto& [command, arguments] : {std::pair{push, &line.push}, std::pair{pull, &line.pull}}) {
    AddEngine(command, arguments->engine);
    AddSize(command, "--offset", "Where in the segment to begin, bytes",
            [arguments = arguments](uint64_t bytes) { arguments->offset = bytes; });
    AddTimeout(command, arguments->timeout_seconds, "Seconds for the whole; default: the configuration's, per 64 MiB");
    AddProgress(command, line);
  }
  push->callback([&line] { line.run = [&line](const Output& o) { return RunPush(line.push, o); }; });
  pull->callback([&line] { line.run = [&line](const Output& o) { return RunPull(line.pull, o); }; });

  CLI::App* copy = AddCommand(app, line, "copy", "Copy a file through two engines of this process, to try a transport");
  copy->add_option("SOURCE", line.copy.source, "File to read")->required();
  copy->add_option("TARGET", line.copy.target, "File to write")->required();
  copy->add_option("--via", line.copy.via, "The transport to use")->capture_default_str();
  copy->add_flag("--read", line.copy.read, "The target's engine reads, instead of the source's writing");
  copy->add_option("--plugin-path", line.copy.plugin_path, "Folders to look for plugins in, colon-separated");
  AddTimeout(copy, line.copy.timeout_seconds, "Seconds for the whole");
  AddProgress(copy, line);
  copy->callback([&line] { line.run = [&line](const Output& o) { return RunCopy(line.copy, o); }; });
}

void AddStoreCommands(CLI::App& app, CommandLine& line) {
  ObjectArguments& object = line.object;
  const auto add = [&app, &line, &object](const std::string& name, const std::string& description,
                                          int (*run)(const ObjectArguments&, const Output&)) {
    CLI::App* command = AddCommand(app, line, name, description);
    AddEngine(command, object.engine);
    AddTimeout(command, object.timeout_seconds, "Seconds for the whole; default: the configuration's");
    command->callback([&line, run] { line.run = [&line, run](const Output& o) { return run(line.object, o); }; });
    return command;
  };
  CLI::App* put = add("put", "Store a file under a key that has no value", RunPut);
  put->add_option("FILE", object.file, "File to read")->required();
  put->add_option("OBJECT", object.url, "HOST:PORT/KEY")->required();
  put->add_flag("--replace", object.replace, "Also where the key has a value: readers see that one until then");
  put->add_option("--keep", object.keep, "What a full store does with it: evictable (default), soft-pinned or pinned")
      ->check(CLI::IsMember({"evictable", "soft-pinned", "pinned"}));
  CLI::App* get = add("get", "Read an object to a file, which appears only when it is whole", RunGet);
  get->add_option("OBJECT", object.url, "HOST:PORT/KEY")->required();
  get->add_option("FILE", object.file, "File to write")->required();
  add("ls", "List the objects of a store, by key", RunList)
      ->add_option("NODE", object.url, "HOST:PORT, or HOST:PORT/PREFIX")
      ->required();
  add("rm", "Remove an object", RunRemove)->add_option("OBJECT", object.url, "HOST:PORT/KEY")->required();
  add("stat", "Show an object, or the store itself", RunStat)
      ->add_option("OBJECT", object.url, "HOST:PORT/KEY, or HOST:PORT")
      ->required();
}

void AddQuestions(CLI::App& app, CommandLine& line) {
  CLI::App* describe = AddCommand(app, line, "describe", "Show a running node, or what a configuration makes");
  describe->add_option("NODE", line.describe.address, "HOST:PORT of a running node");
  AddEngine(describe, line.describe.engine);
  AddTimeout(describe, line.describe.timeout_seconds, "Seconds to wait for a running node");
  describe->callback([&line] { line.run = [&line](const Output& o) { return RunDescribe(line.describe, o); }; });

  CLI::App* explain = AddCommand(app, line, "explain", "Show which transport would serve a request, and why");
  AddEngine(explain, line.explain.engine);
  explain->add_option("OPERATION", line.explain.operation, "read or write")
      ->required()
      ->check(CLI::IsMember({"read", "write"}));
  explain->add_option("SEGMENT", line.explain.segment_url, "HOST:PORT/NAME")->required();
  AddSize(explain, "--length", "Bytes; default: what the segment has",
          [&line](uint64_t bytes) { line.explain.length = bytes; });
  AddSize(explain, "--offset", "Where in the segment to begin, bytes",
          [&line](uint64_t bytes) { line.explain.offset = bytes; });
  explain->callback([&line] { line.run = [&line](const Output& o) { return RunExplain(line.explain, o); }; });
}

void AddBench(CLI::App& app, CommandLine& line) {
  BenchArguments& bench = line.bench;
  CLI::App* command = AddCommand(app, line, "bench", "Measure every path that this machine has, verified, with ratios");
  AddEngine(command, bench.engine);
  command->add_option("--transports", bench.transports, "Only these, comma-separated; default: all there are")
      ->delimiter(',');
  command
      ->add_option_function<std::vector<std::string>>(
          "--sizes",
          [&bench](const std::vector<std::string>& words) {
            bench.sizes.clear();
            for (const std::string& word : words) {
              const auto bytes = ParseSize(word);
              if (!bytes || *bytes == 0 || *bytes > kBenchBytesMax)
                throw CLI::ValidationError("--sizes", word + " is not a size from 1 to 64GiB");
              bench.sizes.push_back(*bytes);
            }
          },
          "Bytes of one request, comma-separated [64,4KiB,64KiB,1MiB,16MiB,64MiB,512MiB]")
      ->delimiter(',');
  command->add_option("--operations", bench.operations, "write, read")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"write", "read"}));
  command->add_option("--streams", bench.streams, "Connections to a peer, of transports that have them")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(1, 16));
  command->add_option("--runs", bench.runs, "Interleaved rounds, of which medians are shown")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--seconds", bench.seconds, "Of one measurement")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 3600.0));
  command
      ->add_option("--budget", bench.budget_seconds, "Seconds for all of it, about: fewer rounds, shorter measurements")
      ->check(CLI::Range(1.0, 1e6));
  command->add_flag("--peers", bench.peers, "Also iperf3, ucx_perftest, fi_rma_bw, ib_write_bw, where installed");
  command->add_option("--html", bench.html, "Write a page with plots to this file");
  command->add_option("--role", bench.role)->group("")->check(CLI::IsMember({"target", "raw-sockets"}));
  AddProgress(command, line);
  command->callback([&line] { line.run = [&line](const Output& o) { return RunBench(line.bench, o); }; });
}

Output::Progress ProgressFor(const std::string& word) {
  if (word == "always") return Output::Progress::kAlways;
  return word == "never" ? Output::Progress::kNever : Output::Progress::kAuto;
}

}  // namespace

int ParseAndRun(int argc, char** argv) {
  CLI::App app("Slipway moves bytes between memories, over whatever connects them.", "slipway");
  CommandLine line;
  app.set_version_flag("--version", std::string("slipway ") + slipway_version());
  app.require_subcommand(1);
  app.footer(kFooter);
  AddNodeCommands(app, line);
  AddTransferCommands(app, line);
  AddStoreCommands(app, line);
  AddQuestions(app, line);
  AddBench(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return line.run(Output(line.json, ProgressFor(line.progress)));
}

}  // namespace slipway::cli

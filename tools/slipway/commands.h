// The commands: what each takes, as arguments.cc read it from the command line. Each gives the process's exit status
// (exit_code.h) and has said why before it gives another than 0.
#ifndef SLIPWAY_TOOLS_SLIPWAY_COMMANDS_H_
#define SLIPWAY_TOOLS_SLIPWAY_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/slipway/output.h"

namespace slipway::cli {

// Which engine a command runs. Without a file: the plain transports that every installation has, set up in
// engine_source.cc.
struct EngineArguments {
  std::string config_file;
  std::string plugin_path;  // colon-separated; only without a file, which names its own
};

struct ConfigCheckArguments {
  std::string file;
};
int RunConfigCheck(const ConfigCheckArguments& arguments, const Output& output);

struct PluginsArguments {
  std::string plugin_path;
  uint64_t timeout_ms = 5000;  // for one plugin to describe itself
  std::string describe_one;    // set in the child process: the one name, its report goes to `report_fd`
  int report_fd = -1;
};
int RunPlugins(const PluginsArguments& arguments, const Output& output);

struct ServeArguments {
  EngineArguments engine;
  std::string listen = "127.0.0.1:0";  // only without a configuration file
  std::vector<std::string> segments;   // NAME=SIZE or NAME=FILE, each with :ro or :rw
  uint64_t store_bytes = 0;            // of a store to host without a configuration file; 0: none
  int ready_fd = -1;
  std::string ready_file;
};
int RunServe(const ServeArguments& arguments, const Output& output);

struct TransferArguments {
  EngineArguments engine;
  std::string file;
  std::string segment_url;
  uint64_t offset = 0;             // in the segment, bytes
  std::optional<uint64_t> length;  // bytes; pull only, default: to the end of the segment
  double timeout_seconds = 0;      // of the whole transfer; 0: each 64 MiB has the configuration's own deadline
};
int RunPush(const TransferArguments& arguments, const Output& output);
int RunPull(const TransferArguments& arguments, const Output& output);

struct CopyArguments {
  std::string source, target;
  std::string via = "local-memcpy";  // the one transport that both engines get
  bool read = false;                 // the target's engine reads, instead of the source's writing
  std::string plugin_path;
  double timeout_seconds = 0;
};
int RunCopy(const CopyArguments& arguments, const Output& output);

// An object of a node's store: HOST:PORT/KEY.
struct ObjectArguments {
  EngineArguments engine;
  std::string url;             // RunList: HOST:PORT or HOST:PORT/PREFIX; RunStat: without a key, the store itself
  std::string file;            // RunPut: to read; RunGet: to write
  std::string keep;            // RunPut: evictable, soft-pinned or pinned
  bool replace = false;        // RunPut: a value that is there makes way
  double timeout_seconds = 0;  // of the whole; 0: the configuration's
};
int RunPut(const ObjectArguments& arguments, const Output& output);
int RunGet(const ObjectArguments& arguments, const Output& output);
int RunList(const ObjectArguments& arguments, const Output& output);
int RunRemove(const ObjectArguments& arguments, const Output& output);
int RunStat(const ObjectArguments& arguments, const Output& output);

struct DescribeArguments {
  EngineArguments engine;
  std::string address;  // host:port of a running node; empty: the engine that the configuration makes
  double timeout_seconds = 5;
};
int RunDescribe(const DescribeArguments& arguments, const Output& output);

struct ExplainArguments {
  EngineArguments engine;
  std::string operation;  // "read" or "write"
  std::string segment_url;
  uint64_t offset = 0;  // bytes
  uint64_t length = 0;  // bytes; 0: what the segment has from `offset`
};
int RunExplain(const ExplainArguments& arguments, const Output& output);

constexpr uint64_t kBenchBytesMax = uint64_t{64} << 30;

struct BenchArguments {
  EngineArguments engine;
  std::vector<std::string> transports;  // empty: all there are
  std::vector<uint64_t> sizes = {64, 4u << 10, 64u << 10, 1u << 20, 16u << 20, 64u << 20, 512u << 20};  // bytes
  std::vector<std::string> operations = {"write", "read"};
  std::vector<uint32_t> streams = {1, 4};  // connections to the peer, where a transport has them
  uint32_t runs = 5;                       // interleaved rounds
  double seconds = 0.1;                    // of one measurement
  double budget_seconds = 0;               // of all, about; 0: as long as it takes
  bool peers = false;                      // also run other programs that measure the same
  std::string html;                        // file for a page; empty: none
  std::string role;                        // set in a child process: what it is to do instead
};
int RunBench(const BenchArguments& arguments, const Output& output);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_COMMANDS_H_

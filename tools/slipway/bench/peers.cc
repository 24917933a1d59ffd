#include "tools/slipway/bench/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tools/slipway/bench/child.h"
#include "tools/slipway/bench/peer_output.h"

namespace slipway::cli::bench {
namespace {

constexpr double kStartSeconds = 10, kExtraSeconds = 60;
constexpr int kTries = 3;  // somebody may take the port between our looking and the server's binding

// A TCP port of loopback that was free just now.
std::string FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  close(fd);
  return std::to_string(bound ? ntohs(address.sin_port) : 0);
}

using Words = std::vector<std::string>;

std::string Joined(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Runs a server and, once it listens, its client; gives what the client printed. `listens`: what the server prints
// then; empty: it says nothing, and the client is tried until it gets through.
Result<std::string> RunPair(const std::function<Words(const std::string& port)>& server,
                            const std::function<Words(const std::string& port)>& client, const std::string& listens,
                            double seconds) {
  std::string said;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const std::string port = FreePort();
    auto serving = Child::Start(server(port));
    if (!serving.ok()) return serving.status();
    if (!listens.empty() && !serving->WaitFor(listens, kStartSeconds).ok()) continue;
    for (int connecting = 0; connecting < (listens.empty() ? 40 : 1); ++connecting) {
      auto asking = Child::Start(client(port));
      if (!asking.ok()) return asking.status();
      auto ending = asking->Finish(seconds + kExtraSeconds);
      if (!ending.ok()) return ending.status();
      said = ending->output;
      if (ending->exit_status == 0) return said;
      if (serving->EndsWithin(0.05)) break;  // it could not start; otherwise it may still be starting
    }
  }
  return Status(SLIPWAY_E_PEER, Joined(client("PORT")) + ": " + said.substr(0, 500));
}

// How many times to do something that took `last` seconds each, or about `guess`, to fill `seconds`.
uint64_t Iterations(double seconds, double last, double guess, uint64_t most) {
  const double each = last > 0 ? last : guess;
  return std::clamp<uint64_t>(static_cast<uint64_t>(seconds / each), 10, most);
}

// ---- iperf3 ---------------------------------------------------------------------------------------------------------

Result<double> RunIperf(uint32_t streams, const std::string& congestion, double seconds) {
  const std::string whole = std::to_string(static_cast<int>(std::max(1.0, std::round(seconds))));
  auto text = RunPair([](const std::string& port) { return Words{"iperf3", "-s", "-1", "--forceflush", "-p", port}; },
                      [&](const std::string& port) {
                        Words words = {"iperf3", "-c", "127.0.0.1", "-p", port, "-l",
                                       "1M",     "-t", whole,       "-J", "-P", std::to_string(streams)};
                        if (!congestion.empty()) words.insert(words.end(), {"-C", congestion});
                        return words;
                      },
                      "Server listening", seconds);
  if (!text.ok()) return text.status();
  return ReadIperf(*text);
}

// The congestion controls that a program of this user may choose; one empty word where that is not known.
Words CongestionControls() {
  const char* const name = geteuid() == 0 ? "available" : "allowed";
  std::ifstream file(std::string("/proc/sys/net/ipv4/tcp_") + name + "_congestion_control");
  Words found;
  for (std::string word; file >> word;) found.push_back(word);
  return found.empty() ? Words{""} : found;
}

struct Iperf {
  std::string congestion;  // that it is fastest with
  bool chosen = false;
};

Status ChooseCongestion(Iperf& iperf) {
  double best = 0;
  for (const std::string& word : CongestionControls()) {
    const auto rate = RunIperf(1, word, 1);
    if (rate.status().code() == SLIPWAY_E_CANCELED) return rate.status();
    if (rate.ok() && *rate > best) {
      best = *rate;
      iperf.congestion = word;
    }
  }
  iperf.chosen = best > 0;
  return iperf.chosen ? Status() : Status(SLIPWAY_E_PEER, "iperf3 does not run with any congestion control");
}

Item IperfItem(uint32_t streams, const std::shared_ptr<Iperf>& iperf) {
  Item item;
  item.row = Row{.who = "iperf3",
                 .path = "iperf3, two processes",
                 .medium = "tcp",
                 .operation = "any",
                 .bytes = uint64_t{1} << 20,
                 .shape = kStream,
                 .count = 1,
                 .streams = streams,
                 .compares_with = kStream | kSingle,
                 .from_bytes = uint64_t{64} << 10};
  item.measure = [streams, iperf](double seconds) -> Result<Sample> {
    if (!iperf->chosen) SLIPWAY_RETURN_IF_ERROR(ChooseCongestion(*iperf));
    const auto rate = RunIperf(streams, iperf->congestion, seconds);
    if (!rate.ok()) return rate.status();
    return Sample{.seconds = static_cast<double>(uint64_t{1} << 20) / *rate};
  };
  return item;
}

// ---- UCX ------------------------------------------------------------------------------------------------------------

// `depth` 0: a ping-pong of puts, of which there and back is one request.
Item UcxItem(const Row& own, const std::string& transports, uint32_t depth) {
  Item item;
  item.row = Row{.who = "ucx_perftest",
                 .path = "UCX (" + transports + "), two processes",
                 .medium = own.medium,
                 .operation = own.operation,
                 .bytes = own.bytes,
                 .shape = own.shape,
                 .count = std::max(depth, 1u),
                 .compares_with = own.shape};
  const bool read = own.operation == "read";
  const std::string test = read ? "ucp_get" : depth == 0 ? "ucp_put_lat" : "ucp_put_bw";
  const auto last = std::make_shared<double>(0);
  item.measure = [=, bytes = own.bytes](double seconds) -> Result<Sample> {
    const double guess = static_cast<double>(bytes) / 1e9 + 20e-6;
    const uint64_t count = Iterations(seconds, *last, guess, 1'000'000);
    const Words common = {"env", "UCX_TLS=" + transports, "UCX_LOG_LEVEL=error", "ucx_perftest"};
    auto text = RunPair(
        [&](const std::string& port) {
          Words words = common;
          words.insert(words.end(), {"-p", port});
          return words;
        },
        [&](const std::string& port) {
          Words words = common;
          words.insert(words.end(),
                       {"127.0.0.1", "-p", port, "-t", test, "-s", std::to_string(bytes), "-n", std::to_string(count),
                        "-w", std::to_string(std::max<uint64_t>(count / 10, 2)), "-f", "-v"});
          if (depth > 0) words.insert(words.end(), {"-O", std::to_string(depth)});
          return words;
        },
        "", seconds);
    if (!text.ok()) return text.status();
    const auto one = ReadUcx(*text);
    if (!one.ok()) return one.status();
    *last = *one;
    // What it calls latency of a ping-pong is one way.
    return Sample{.seconds = depth == 0 && !read ? 2 * *one : *one};
  };
  return item;
}

// ---- libfabric ------------------------------------------------------------------------------------------------------

Item LibfabricItem(const Row& own) {
  Item item;
  item.row = Row{.who = "fi_rma_bw",
                 .path = "libfabric (tcp), two processes",
                 .medium = own.medium,
                 .operation = own.operation,
                 .bytes = own.bytes,
                 .shape = own.shape,
                 .count = 64,
                 .compares_with = own.shape};
  const auto last = std::make_shared<double>(0);
  item.measure = [=, operation = own.operation, bytes = own.bytes](double seconds) -> Result<Sample> {
    const uint64_t count = Iterations(seconds, *last, static_cast<double>(bytes) / 1e9 + 5e-6, 1'000'000);
    const auto words = [&](const char* flag, const std::string& port) {
      return Words{"fi_rma_bw",           "-p", "tcp", "-e", "rdm", "-o", operation, "-S", std::to_string(bytes), "-I",
                   std::to_string(count), flag, port};
    };
    auto text = RunPair([&](const std::string& port) { return words("-B", port); },
                        [&](const std::string& port) {
                          Words client = words("-P", port);
                          client.push_back("127.0.0.1");
                          return client;
                        },
                        "", seconds);
    if (!text.ok()) return text.status();
    const auto one = ReadFabtests(*text);
    if (one.ok()) *last = *one;
    return one.ok() ? Result<Sample>(Sample{.seconds = *one}) : one.status();
  };
  return item;
}

Item LibfabricLatencyItem(const Row& own) {
  Item item = LibfabricItem(own);
  item.row.who = "fi_rma_pingpong";
  item.row.count = 1;
  item.measure = [operation = own.operation, bytes = own.bytes](double) -> Result<Sample> {
    const auto words = [&](const char* flag, const std::string& port) {
      return Words{"fi_rma_pingpong",     "-p", "tcp",  "-e", "rdm", "-o", "write", "-S",
                   std::to_string(bytes), "-I", "2000", flag, port};
    };
    auto text = RunPair([&](const std::string& port) { return words("-B", port); },
                        [&](const std::string& port) {
                          Words client = words("-P", port);
                          client.push_back("127.0.0.1");
                          return client;
                        },
                        "", 5);
    if (!text.ok()) return text.status();
    const auto one = ReadFabtests(*text);
    if (!one.ok()) return one.status();
    return Sample{.seconds = 2 * *one};  // there and back
  };
  return item;
}

// ---- perftest -------------------------------------------------------------------------------------------------------

// The first RDMA device, and its IPv4 address, as both programs need them.
Result<RdmaDevice> FindRdma() {
  auto child = Child::Start({"sh", "-c",
                             "set -e; cd /sys/class/infiniband; d=$(ls | head -n 1); echo $d; "
                             "cat $d/ports/1/gids/* | grep '^0000:0000:0000:0000:0000:ffff:' | head -n 1"});
  if (!child.ok()) return child.status();
  auto ending = child->Finish(10);
  if (!ending.ok()) return ending.status();
  return ReadRdmaDevice(ending->output);
}

Item PerftestItem(const Row& own, const RdmaDevice& rdma) {
  Item item;
  const std::string program = own.operation == "read" ? "ib_read_bw" : "ib_write_bw";
  item.row = Row{.who = program,
                 .path = "perftest on " + rdma.device + ", two processes",
                 .medium = own.medium,
                 .operation = own.operation,
                 .bytes = own.bytes,
                 .shape = own.shape,
                 .count = own.count,
                 .streams = own.streams,
                 .compares_with = own.shape};
  item.measure = [=, row = item.row](double seconds) -> Result<Sample> {
    const auto words = [&](const std::string& port) {
      Words all = {program,     "-d",
                   rdma.device, "-F",
                   "-s",        std::to_string(row.bytes),
                   "-D",        std::to_string(static_cast<int>(std::max(1.0, std::round(seconds)))),
                   "-p",        port,
                   "-q",        std::to_string(row.streams),
                   "-t",        std::to_string(std::max(2u, row.count))};
      if (row.operation == "read") all.insert(all.end(), {"-o", "16"});
      return all;
    };
    auto text = RunPair(
        words,
        [&](const std::string& port) {
          Words client = words(port);
          client.push_back(rdma.address);
          return client;
        },
        "", seconds);
    if (!text.ok()) return text.status();
    const auto rate = ReadPerftest(*text, row.bytes);
    if (!rate.ok()) return rate.status();
    return Sample{.seconds = static_cast<double>(row.bytes) / *rate};
  };
  return item;
}

// ---- who compares with what
// -------------------------------------------------------------------------------------------

// Which of the programs are installed; asks once each, and notes those that are missed.
class Installed {
 public:
  explicit Installed(std::vector<Skipped>* skipped) : skipped_(skipped) {}
  bool Has(const std::string& program, const std::string& package) {
    const auto [found, fresh] = known_.try_emplace(program, false);
    if (!fresh) return found->second;
    found->second = IsInstalled(program);
    if (!found->second) skipped_->push_back({program, "is not installed (" + package + ")"});
    return found->second;
  }

 private:
  std::vector<Skipped>* const skipped_;
  std::map<std::string, bool> known_;
};

void AddTcp(const Row& own, Installed& installed, std::vector<Item>* items) {
  if (own.streams != 1 || own.shape == kScattered) return;
  const bool latency = own.shape == kSingle;
  if (latency && own.bytes > 4096) return;
  if (installed.Has("ucx_perftest", "Debian package ucx-utils"))
    items->push_back(UcxItem(own, "tcp", latency ? (own.operation == "read" ? 1 : 0) : std::min(own.count, 32u)));
  if (latency && own.operation == "write" && installed.Has("fi_rma_pingpong", "of libfabric's fabtests"))
    items->push_back(LibfabricLatencyItem(own));
  if (!latency && installed.Has("fi_rma_bw", "of libfabric's fabtests")) items->push_back(LibfabricItem(own));
}

void AddVerbs(const Row& own, Installed& installed, std::vector<Skipped>* skipped, std::vector<Item>* items) {
  if (own.shape != kStream || own.bytes > (uint64_t{64} << 20)) return;
  const std::string program = own.operation == "read" ? "ib_read_bw" : "ib_write_bw";
  if (!installed.Has(program, "Debian package perftest")) return;
  const auto rdma = FindRdma();
  if (rdma.ok())
    items->push_back(PerftestItem(own, *rdma));
  else if (std::none_of(skipped->begin(), skipped->end(), [&](const Skipped& s) { return s.what == program; }))
    skipped->push_back({program, rdma.status().message()});
}

}  // namespace

std::vector<Item> PeerItems(const std::vector<Row>& rows, std::vector<Skipped>* skipped) {
  std::vector<Item> items;
  Installed installed(skipped);
  const auto iperf = std::make_shared<Iperf>();
  std::set<uint32_t> streams;
  for (const Row& own : rows) {
    if (own.medium == "tcp") {
      const bool streaming = own.bytes >= (uint64_t{64} << 10);
      if (streaming && !streams.contains(own.streams) && installed.Has("iperf3", "Debian package iperf3")) {
        streams.insert(own.streams);
        items.push_back(IperfItem(own.streams, iperf));
      }
      AddTcp(own, installed, &items);
    } else if (own.medium == "shared memory" && own.shape != kScattered) {
      if (installed.Has("ucx_perftest", "Debian package ucx-utils"))
        items.push_back(UcxItem(own, "shm", own.shape == kSingle ? 1 : std::min(own.count, 32u)));
    } else if (own.medium == "verbs") {
      AddVerbs(own, installed, skipped, &items);
    }
  }
  return items;
}

}  // namespace slipway::cli::bench

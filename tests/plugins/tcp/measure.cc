// Measures the transport between two processes of this machine, and verifies what it moved.
//
//   tcp_measure [--seconds S] [--rounds R] [--lanes N] [--iperf] [--spin] [--span-mib M]
//               [--streams-only] [--config JSON-without-braces]
//
// With --iperf, iperf3 runs before and after with as many streams, and ratios to the better of both are printed.
// Latency is compared with a ping-pong over a bare socket. Figures of different runs do not compare.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/plugins/tcp/harness.h"

namespace slipway::tcp {
namespace {

constexpr size_t kMemory = size_t{64} << 20;
using Clock = std::chrono::steady_clock;

struct Options {
  double seconds = 1.0;
  int lanes = 1;
  bool iperf = false, spin = false, latency = true;
  int rounds = 3;
  size_t span = size_t{4} << 20;  // what streams go through, over and over; iperf3 stays within 1 MiB
  std::string more;
};

double Since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

std::string Config(const Options& o) {
  return "{\"lanes\": " + std::to_string(o.lanes) + (o.more.empty() ? "" : ", " + o.more) + "}";
}

void WriteBlob(int fd, const std::string& s) {
  const uint32_t n = static_cast<uint32_t>(s.size());
  if (write(fd, &n, 4) != 4 || write(fd, s.data(), n) != static_cast<ssize_t>(n)) std::exit(3);
}
std::string ReadBlob(int fd) {
  uint32_t n = 0;
  if (read(fd, &n, 4) != 4) std::exit(3);
  std::string s(n, '\0');
  if (read(fd, s.data(), n) != static_cast<ssize_t>(n)) std::exit(3);
  return s;
}

[[noreturn]] void Target(int out, int in, const Options& o) {
  Node node(Config(o));
  Bytes memory = Pattern(kMemory, 1);
  WriteBlob(out, node.Address());
  WriteBlob(out, node.Export(node.Register(memory.data(), memory.size())));
  char c;
  while (read(in, &c, 1) > 0) {
  }
  std::_Exit(0);
}

class Driver {
 public:
  Driver(const Options& o, int in) : o_(o), node_(Config(o)), local_(Pattern(kMemory, 2)) {
    peer_ = node_.Connect(ReadBlob(in));
    remote_ = node_.Import(peer_, ReadBlob(in));
  }

  // Bytes a second with `depth` slices of `size` in flight.
  double Stream(uint32_t op, size_t size, uint32_t depth) {
    uint64_t moved = 0;
    uint32_t inflight = 0;
    size_t next = 0;
    const auto begin = Clock::now();
    while (Since(begin) < o_.seconds || inflight > 0) {
      if (Since(begin) < o_.seconds && inflight < depth) {
        slipway_slice slices[64];
        const uint32_t n = std::min<uint32_t>(64, depth - inflight);
        for (uint32_t i = 0; i < n; ++i) {
          slices[i] = Node::Slice(op, next, local_.data() + next, size, remote_, next);
          next = next + 2 * size > o_.span ? 0 : next + size;
        }
        uint32_t accepted = 0;
        Table().submit(node_.channel, slices, sizeof(slices[0]), n, &accepted, nullptr);
        inflight += accepted;
      }
      inflight -= Wait(&moved);
    }
    return static_cast<double>(moved) / Since(begin);
  }

  // Seconds for one at a time.
  double Latency(uint32_t op, size_t size) {
    uint64_t n = 0, moved = 0;
    const auto begin = Clock::now();
    for (; Since(begin) < o_.seconds; ++n) {
      node_.Submit(Node::Slice(op, n, local_.data(), size, remote_, 0));
      for (uint32_t got = 0; got == 0;) got = Wait(&moved);
    }
    return Since(begin) / static_cast<double>(n);
  }

  bool Verify() {
    Bytes source = Pattern(kMemory, 77), back(kMemory);
    for (size_t at = 0; at < kMemory; at += size_t{4} << 20) {
      if (node_.Write(remote_, at, source.data() + at, size_t{4} << 20) != SLIPWAY_OK) return false;
    }
    for (size_t at = 0; at < kMemory; at += size_t{4} << 20) {
      if (node_.Read(remote_, at, back.data() + at, size_t{4} << 20) != SLIPWAY_OK) return false;
    }
    return back == source;
  }
  Node& node() { return node_; }

 private:
  uint32_t Wait(uint64_t* moved) {
    slipway_completion c[64];
    uint32_t got = 0;
    for (int spins = 0;; ++spins) {
      const uint64_t seen = node_.host.wakes();
      Table().poll(node_.channel, c, sizeof(c[0]), 64, &got);
      if (got != 0) break;
      if (o_.spin || spins < 20) continue;
      node_.host.WaitWake(seen, std::chrono::milliseconds(100));
    }
    for (uint32_t i = 0; i < got; ++i) {
      if (c[i].status != SLIPWAY_OK) {
        std::fprintf(stderr, "a slice failed: %d\n", c[i].status);
        std::exit(1);
      }
      *moved += c[i].bytes;
    }
    return got;
  }

  const Options o_;
  Node node_;
  Bytes local_;
  slipway_peer* peer_;
  slipway_remote* remote_;
};

// A bare socket pair of processes a lane, writes of 1 MiB from one buffer to another: what a stream could do here.
class RawStream {
 public:
  explicit RawStream(const Options& o) : lanes_(o.lanes), seconds_(o.seconds) {
    Socket listener(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(a);
    if (bind(listener.fd(), reinterpret_cast<sockaddr*>(&a), len) != 0 || listen(listener.fd(), 16) != 0) std::exit(3);
    getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&a), &len);
    for (int i = 0; i < lanes_; ++i) {
      fds_.push_back(socket(AF_INET, SOCK_STREAM, 0));
      setsockopt(fds_.back(), IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
      if (connect(fds_.back(), reinterpret_cast<sockaddr*>(&a), len) != 0) std::exit(3);
      const int fd = accept(listener.fd(), nullptr, nullptr);
      children_.push_back(fork());
      if (children_.back() == 0) {
        for (const int other : fds_) close(other);
        Bytes sink(1 << 20);
        while (recv(fd, sink.data(), sink.size(), 0) > 0) {
        }
        std::_Exit(0);
      }
      close(fd);
    }
  }
  ~RawStream() {
    for (const int fd : fds_) close(fd);
    for (const pid_t child : children_) waitpid(child, nullptr, 0);
  }
  double Run() {
    std::vector<std::thread> threads;
    std::atomic<uint64_t> moved{0};
    const auto begin = Clock::now();
    for (const int fd : fds_) {
      threads.emplace_back([&, fd] {
        const Bytes source(1 << 20);
        while (Since(begin) < seconds_) {
          const ssize_t n = send(fd, source.data(), source.size(), MSG_NOSIGNAL);
          if (n > 0) moved += static_cast<uint64_t>(n);
        }
      });
    }
    for (auto& t : threads) t.join();
    return static_cast<double>(moved) / Since(begin);
  }

 private:
  const int lanes_;
  const double seconds_;
  std::vector<int> fds_;
  std::vector<pid_t> children_;
};

struct Series {
  std::vector<double> values;
  double best() const { return *std::max_element(values.begin(), values.end()); }
  double median() const {
    std::vector<double> v = values;
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
  }
};

int FreePort() {
  Socket s(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t len = sizeof(a);
  if (bind(s.fd(), reinterpret_cast<sockaddr*>(&a), len) != 0) std::exit(3);
  getsockname(s.fd(), reinterpret_cast<sockaddr*>(&a), &len);
  return ntohs(a.sin_port);
}

double Iperf(const Options& o, const char* congestion) {
  const int port = FreePort();
  const std::string p = std::to_string(port);
  const pid_t server = fork();
  if (server == 0) {
    if (freopen("/dev/null", "w", stdout) == nullptr) std::_Exit(3);
    execlp("iperf3", "iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", p.c_str(), nullptr);
    std::_Exit(127);
  }
  std::this_thread::sleep_for(milliseconds(300));
  char command[256];
  std::snprintf(command, sizeof(command), "iperf3 -c 127.0.0.1 -p %d -t %d -P %d -l 1M -C %s -J", port,
                std::max(1, static_cast<int>(o.seconds + 0.5)), o.lanes, congestion);
  FILE* f = popen(command, "r");
  std::string json;
  char buffer[4096];
  for (size_t n; f != nullptr && (n = fread(buffer, 1, sizeof(buffer), f)) > 0;) json.append(buffer, n);
  if (f != nullptr) pclose(f);
  waitpid(server, nullptr, 0);
  const size_t at = json.find("\"sum_received\"");
  const size_t bits = at == std::string::npos ? at : json.find("\"bits_per_second\":", at);
  return bits == std::string::npos ? 0 : std::strtod(json.c_str() + bits + 18, nullptr) / 8;
}

double RawPingPong(const Options& o, size_t request, size_t reply) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t len = sizeof(a);
  if (bind(listener, reinterpret_cast<sockaddr*>(&a), len) != 0 || listen(listener, 1) != 0) std::exit(3);
  getsockname(listener, reinterpret_cast<sockaddr*>(&a), &len);
  std::vector<char> buffer(std::max(request, reply));
  const int on = 1;
  const auto all = [&](int fd, size_t n) {
    for (size_t have = 0; have < n;) {
      const ssize_t r = recv(fd, buffer.data(), n - have, 0);
      if (r <= 0) return false;
      have += static_cast<size_t>(r);
    }
    return true;
  };
  const pid_t child = fork();
  if (child == 0) {
    const int fd = accept(listener, nullptr, nullptr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    while (all(fd, request)) {
      if (send(fd, buffer.data(), reply, MSG_NOSIGNAL) < 0) break;
    }
    std::_Exit(0);
  }
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
  if (connect(fd, reinterpret_cast<sockaddr*>(&a), len) != 0) std::exit(3);
  uint64_t n = 0;
  const auto begin = Clock::now();
  for (; Since(begin) < o.seconds; ++n) {
    if (send(fd, buffer.data(), request, 0) < 0 || !all(fd, reply)) std::exit(3);
  }
  const double each = Since(begin) / static_cast<double>(n);
  close(fd);
  close(listener);
  waitpid(child, nullptr, 0);
  return each;
}

Options ParseArguments(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--iperf") o.iperf = true;
    if (arg == "--spin") o.spin = true;
    if (arg == "--streams-only") o.latency = false;
    if (i + 1 >= argc) continue;
    if (arg == "--seconds") o.seconds = std::atof(argv[++i]);
    if (arg == "--rounds") o.rounds = std::atoi(argv[++i]);
    if (arg == "--lanes") o.lanes = std::atoi(argv[++i]);
    if (arg == "--span-mib") o.span = static_cast<size_t>(std::atoi(argv[++i])) << 20;
    if (arg == "--config") o.more = argv[++i];
  }
  return o;
}

void MeasureSmall(const Options& o, Driver* d) {
  for (const size_t size : {size_t{64}, size_t{4096}, size_t{1} << 20}) {
    const double raw_write = RawPingPong(o, size + 64, 64), raw_read = RawPingPong(o, 64, size + 64);
    const double w = d->Latency(SLIPWAY_OP_WRITE, size), r = d->Latency(SLIPWAY_OP_READ, size);
    std::printf("one at a time %7zu B: write %7.1f us, raw %7.1f (%.2f); read %7.1f us, raw %7.1f (%.2f)\n", size,
                w * 1e6, raw_write * 1e6, w / raw_write, r * 1e6, raw_read * 1e6, r / raw_read);
  }
  for (const uint32_t op : {SLIPWAY_OP_WRITE, SLIPWAY_OP_READ}) {
    std::printf("%-5s 64 B and 4 KiB x 64 in flight: %.0f k/s, %.0f k/s\n", op == SLIPWAY_OP_WRITE ? "write" : "read",
                d->Stream(op, 64, 64) / 64e3, d->Stream(op, 4096, 64) / 4096e3);
  }
}

int Main(int argc, char** argv) {
  const Options o = ParseArguments(argc, argv);
  int up[2], down[2];
  if (pipe(up) != 0 || pipe(down) != 0) return 3;
  const pid_t child = fork();
  if (child == 0) {
    close(down[1]);
    Target(up[1], down[0], o);
  }
  close(up[1]);
  double iperf = 0;
  const auto peers = [&] {
    if (!o.iperf) return;
    for (const char* c : {"reno", "cubic"}) {
      const double rate = Iperf(o, c);
      std::printf("iperf3 %-6s %d streams            %8.0f MB/s\n", c, o.lanes, rate / 1e6);
      iperf = std::max(iperf, rate);
    }
  };
  peers();
  RawStream stream(o);
  Driver d(o, up[0]);
  if (!d.Verify()) return 1;
  struct Row {
    const char* name;
    uint32_t op;
    size_t size;
    uint32_t depth;
    Series rate;
  };
  std::vector<Row> rows;
  for (const size_t size : {size_t{64} << 10, size_t{1} << 20, size_t{4} << 20, size_t{16} << 20}) {
    const uint32_t depth = static_cast<uint32_t>(std::max<size_t>(4, (size_t{8} << 20) / size));
    rows.push_back({"write", SLIPWAY_OP_WRITE, size, depth, {}});
    rows.push_back({"read", SLIPWAY_OP_READ, size, depth, {}});
  }
  Series raw;
  for (int round = 0; round < o.rounds; ++round) {
    raw.values.push_back(stream.Run());
    for (Row& r : rows) r.rate.values.push_back(d.Stream(r.op, r.size, r.depth));
  }
  peers();
  std::printf("bare sockets, %d streams: best %.0f median %.0f MB/s\n", o.lanes, raw.best() / 1e6, raw.median() / 1e6);
  for (const Row& r : rows) {
    std::printf("%-5s %6zu KiB x %-3u: best %6.0f (%.2f) median %6.0f (%.2f of bare sockets) MB/s", r.name,
                r.size >> 10, r.depth, r.rate.best() / 1e6, r.rate.best() / raw.best(), r.rate.median() / 1e6,
                r.rate.median() / raw.median());
    if (iperf > 0) std::printf("; best is %.2f of iperf3's", r.rate.best() / iperf);
    std::printf("\n");
  }
  if (o.latency) MeasureSmall(o, &d);
  if (!d.Verify()) return 1;
  std::printf("verified\n");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace slipway::tcp

int main(int argc, char** argv) { return slipway::tcp::Main(argc, argv); }

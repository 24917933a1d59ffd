// slipway-epoll-vs-uring: the same exchanges over TCP loopback by edge-triggered epoll and by io_uring, interleaved.
//
// Two threads, connections between them, and on each one request after another: the client sends `request` bytes, the
// server answers with `response` bytes. By epoll as the tcp plugin does it: the call first, and a wait only when the
// socket is full or empty. By io_uring at its best: one operation a phase, whole (MSG_WAITALL), all that are ready
// submitted by the one call that also waits. Prints medians, and the ratio of the medians of the pairs.
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Shape {
  const char* name;
  size_t connections, request, response;
};
constexpr Shape kShapes[] = {
    {"64 B and 64 B, 1 connection", 1, 64, 64},        {"4 KiB and 64 B, 1 connection", 1, 4096, 64},
    {"4 KiB and 64 B, 32 connections", 32, 4096, 64},  {"64 KiB and 64 B, 4 connections", 4, 65536, 64},
    {"1 MiB and 64 B, 1 connection", 1, 1 << 20, 64},  {"1 MiB and 64 B, 4 connections", 4, 1 << 20, 64},
    {"64 B and 1 MiB, 4 connections", 4, 64, 1 << 20},
};

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// One end of a connection: a phase of sending, one of receiving, and again.
struct End {
  int fd = -1;
  bool sends_first = false;
  size_t out_bytes = 0, in_bytes = 0;
  std::vector<char> out, in;
  bool sending = false;
  size_t left = 0;
  uint64_t rounds = 0;

  void Begin(bool send) {
    sending = send;
    left = send ? out_bytes : in_bytes;
  }
  char* at() { return sending ? out.data() + (out_bytes - left) : in.data() + (in_bytes - left); }
  // After a whole phase.
  void Next() {
    if (sending != sends_first) ++rounds;
    Begin(!sending);
  }
};
using Ends = std::vector<End>;

class EpollLoop {
 public:
  explicit EpollLoop(Ends& ends) : ends_(ends), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) Die("epoll_create1");
    for (size_t i = 0; i < ends.size(); ++i) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLET;
      event.data.u64 = i;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, ends[i].fd, &event) != 0) Die("epoll_ctl");
    }
  }
  ~EpollLoop() { close(epoll_); }

  void Run(const std::atomic<bool>& stop) {
    for (End& end : ends_) Advance(end);
    epoll_event events[64];
    while (!stop.load(std::memory_order_relaxed)) {
      const int n = epoll_wait(epoll_, events, 64, 20);
      for (int i = 0; i < n; ++i) Advance(ends_[events[i].data.u64]);
    }
  }

 private:
  static void Advance(End& end) {
    for (;;) {
      const ssize_t moved = end.sending ? send(end.fd, end.at(), end.left, MSG_NOSIGNAL | MSG_DONTWAIT)
                                        : recv(end.fd, end.at(), end.left, MSG_DONTWAIT);
      if (moved <= 0) return;  // full, empty, or closed at the end
      end.left -= static_cast<size_t>(moved);
      if (end.left == 0) end.Next();
    }
  }

  Ends& ends_;
  const int epoll_;
};

class UringLoop {
 public:
  explicit UringLoop(Ends& ends) : ends_(ends) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;  // the fastest where the kernel has them
    if (io_uring_queue_init_params(256, &ring_, &params) == 0) return;
    const int error = io_uring_queue_init(256, &ring_, 0);
    errno = -error;
    if (error != 0) Die("io_uring_queue_init");
  }
  ~UringLoop() { io_uring_queue_exit(&ring_); }

  void Run(const std::atomic<bool>& stop) {
    for (End& end : ends_) Prepare(end);
    while (!stop.load(std::memory_order_relaxed)) {
      __kernel_timespec timeout{0, 20'000'000};
      io_uring_cqe* first = nullptr;
      io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
      unsigned head = 0, count = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        End* const end = static_cast<End*>(io_uring_cqe_get_data(cqe));
        if (end == nullptr || cqe->res <= 0) continue;
        end->left -= static_cast<size_t>(cqe->res);
        if (end->left == 0) end->Next();
        Prepare(*end);
      }
      io_uring_cq_advance(&ring_, count);
    }
  }

 private:
  void Prepare(End& end) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) Die("io_uring_get_sqe");
    if (end.sending) {
      io_uring_prep_send(sqe, end.fd, end.at(), end.left, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
      io_uring_prep_recv(sqe, end.fd, end.at(), end.left, MSG_WAITALL);
    }
    io_uring_sqe_set_data(sqe, &end);
  }

  Ends& ends_;
  io_uring ring_{};
};

void Connect(const Shape& shape, Ends& clients, Ends& servers) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 64) != 0) Die("listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  for (size_t i = 0; i < shape.connections; ++i) {
    const int one = 1, buffer = 4 << 20;
    int fds[2] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};
    if (connect(fds[0], reinterpret_cast<sockaddr*>(&address), length) != 0) Die("connect");
    fds[1] = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    for (const int fd : fds) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
    for (const bool client : {true, false}) {
      End end;
      end.fd = fds[client ? 0 : 1];
      end.sends_first = client;
      end.out_bytes = client ? shape.request : shape.response;
      end.in_bytes = client ? shape.response : shape.request;
      end.out.assign(end.out_bytes, 'x');
      end.in.assign(end.in_bytes, 0);
      end.Begin(client);
      (client ? clients : servers).push_back(std::move(end));
    }
  }
  close(listener);
}

struct Rate {
  double exchanges = 0;  // a second
  double cpu_us = 0;     // of both threads, an exchange
};

double CpuSeconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

template <typename Loop>
Rate Measure(const Shape& shape, double seconds) {
  Ends clients, servers;
  Connect(shape, clients, servers);
  std::atomic<bool> stop{false};
  const auto run = [&stop](Ends& ends) {
    Loop loop(ends);
    loop.Run(stop);
  };
  const double cpu = CpuSeconds();
  const auto begin = std::chrono::steady_clock::now();
  std::thread server(run, std::ref(servers)), client(run, std::ref(clients));
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  client.join();
  server.join();
  const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  uint64_t rounds = 0;
  for (const End& end : clients) rounds += end.rounds;
  for (Ends* ends : {&clients, &servers})
    for (End& end : *ends) close(end.fd);
  if (rounds == 0) {
    std::fprintf(stderr, "slipway-epoll-vs-uring: nothing moved\n");
    std::exit(1);
  }
  return {static_cast<double>(rounds) / spent, (CpuSeconds() - cpu) * 1e6 / static_cast<double>(rounds)};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Compares epoll with io_uring over TCP loopback.", "slipway-epoll-vs-uring");
  int rounds = 5;
  double seconds = 0.5;
  app.add_option("--rounds", rounds, "Pairs of measurements a row")->check(CLI::Range(1, 99));
  app.add_option("--seconds", seconds, "Of one measurement")->check(CLI::Range(0.05, 60.0));
  CLI11_PARSE(app, argc, argv);
  std::printf("%-32s %12s %12s %14s %10s %10s\n", "request and response", "epoll /s", "io_uring /s", "io_uring/epoll",
              "epoll us", "io_uring us");
  std::printf("%-32s %12s %12s %14s %10s %10s\n", "", "", "", "(of pairs)", "(cpu)", "(cpu)");
  for (const Shape& shape : kShapes) {
    std::vector<double> epoll, uring, ratio, epoll_cpu, uring_cpu;
    for (int i = 0; i < rounds; ++i) {
      const Rate a = Measure<EpollLoop>(shape, seconds), b = Measure<UringLoop>(shape, seconds);
      epoll.push_back(a.exchanges);
      uring.push_back(b.exchanges);
      ratio.push_back(b.exchanges / a.exchanges);
      epoll_cpu.push_back(a.cpu_us);
      uring_cpu.push_back(b.cpu_us);
    }
    std::printf("%-32s %12.0f %12.0f %14.2f %10.1f %10.1f\n", shape.name, Median(epoll), Median(uring), Median(ratio),
                Median(epoll_cpu), Median(uring_cpu));
    std::fflush(stdout);
  }
  return 0;
}

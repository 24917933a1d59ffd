#include "tools/slipway/bench/raw_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iostream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "tools/slipway/bench/interrupt.h"
#include "tools/slipway/exit_code.h"

namespace slipway::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kAcceptMs = 10'000;
constexpr time_t kSilenceSeconds = 30;  // after which a connection counts as dead
constexpr size_t kReceiveBytes = size_t{1} << 20;
constexpr double kOrderSeconds = 60;

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Status SocketError(const char* what) { return {SLIPWAY_E_IO, std::string(what) + ": " + std::strerror(errno)}; }

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

void SetUp(int fd) {
  const int yes = 1;
  const timeval silence{kSilenceSeconds, 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Result<Socket> Connect(uint16_t port) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return SocketError("socket");
  SetUp(socket.fd());
  const sockaddr_in address = Loopback(port);
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return SocketError("connect");
  return socket;
}

bool SendAll(int fd, const char* data, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t sent = send(fd, data + done, bytes - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR && !Interrupted()) continue;
    if (sent <= 0) return false;
    done += static_cast<uint64_t>(sent);
  }
  return true;
}

bool ReceiveAll(int fd, char* data, uint64_t bytes, bool polling) {
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t got = recv(fd, data + done, bytes - done, polling ? MSG_DONTWAIT : 0);
    if (got < 0 && ((errno == EAGAIN && polling) || errno == EINTR) && !Interrupted()) continue;
    if (got <= 0) return false;
    done += static_cast<uint64_t>(got);
  }
  return true;
}

// ---- the child ------------------------------------------------------------------------------------------------------

Result<Socket> Accept(int listener) {
  pollfd waiting{listener, POLLIN, 0};
  if (poll(&waiting, 1, kAcceptMs) != 1) return Status(SLIPWAY_E_TIMEOUT, "nobody connects");
  Socket socket(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.fd() < 0) return SocketError("accept");
  SetUp(socket.fd());
  return socket;
}

Status Answer(int listener, uint64_t request, uint64_t reply, bool polling) {
  const auto socket = Accept(listener);
  if (!socket.ok()) return socket.status();
  std::vector<char> buffer(std::max(request, reply));
  while (ReceiveAll(socket->fd(), buffer.data(), request, polling))
    if (!SendAll(socket->fd(), buffer.data(), reply)) break;
  return {};
}

Status Sink(int listener, uint32_t streams) {
  std::vector<Socket> sockets;
  for (uint32_t i = 0; i < streams; ++i) {
    auto socket = Accept(listener);
    if (!socket.ok()) return socket.status();
    sockets.push_back(std::move(*socket));
  }
  std::vector<std::jthread> threads;
  for (const Socket& socket : sockets)
    threads.emplace_back([fd = socket.fd()] {
      std::vector<char> buffer(kReceiveBytes);
      while (recv(fd, buffer.data(), buffer.size(), 0) > 0) {
      }
      SendAll(fd, buffer.data(), 1);  // says that all has been taken
    });
  return {};
}

Status Obey(const std::string& line, int listener) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  uint64_t request = 0, reply = 0;
  bool polling = false;
  if (verb == "pingpong" && words >> request >> reply >> polling) return Answer(listener, request, reply, polling);
  uint32_t streams = 0;
  if (verb == "sink" && words >> streams) return Sink(listener, streams);
  return {SLIPWAY_E_INVALID, "what? " + line};
}

}  // namespace

int RunRawSockets() {
  const Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  SetUp(listener.fd());
  if (bind(listener.fd(), reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener.fd(), 16) != 0 ||
      getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::cout << SocketError("cannot listen on loopback").message() << std::endl;
    return kExitInternal;
  }
  std::cout << "ready " << ntohs(address.sin_port) << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const Status status = Obey(line, listener.fd());
    std::cout << (status.ok() ? "ok" : status.message()) << std::endl;
  }
  return kExitOk;
}

Result<std::unique_ptr<RawSockets>> RawSockets::Open() {
  auto child = Child::StartSelf("raw-sockets");
  if (!child.ok()) return child.status();
  const auto reply = child->ReadLine(10);
  if (!reply.ok()) return reply.status();
  std::istringstream words(*reply);
  std::string ready;
  uint16_t port = 0;
  if (!(words >> ready >> port) || ready != "ready") return Status(SLIPWAY_E_PEER, *reply);
  return std::unique_ptr<RawSockets>(new RawSockets(std::move(*child), port));
}

Result<Sample> RawSockets::PingPongOnce(uint64_t request, uint64_t reply, bool polling, double seconds) {
  SLIPWAY_RETURN_IF_ERROR(
      child_.WriteLine("pingpong " + std::to_string(request) + " " + std::to_string(reply) + (polling ? " 1" : " 0")));
  Sample sample;
  {
    const auto socket = Connect(port_);
    if (!socket.ok()) return socket.status();
    std::vector<char> buffer(std::max(request, reply));
    uint64_t turns = 0;
    Clock::time_point start = Clock::now();
    do {
      if (turns == 16) start = Clock::now();  // the warm-up is over
      if (!SendAll(socket->fd(), buffer.data(), request) || !ReceiveAll(socket->fd(), buffer.data(), reply, polling))
        return SocketError("raw sockets");
      ++turns;
    } while (turns < 32 || Since(start) < seconds);
    sample.seconds = Since(start) / static_cast<double>(turns - 16);
  }
  const auto ended = child_.ReadLine(kOrderSeconds);
  if (!ended.ok()) return ended.status();
  return sample;
}

Result<Sample> RawSockets::PingPong(uint64_t request, uint64_t reply, double seconds) {
  const auto blocking = PingPongOnce(request, reply, false, seconds / 2);
  if (!blocking.ok()) return blocking;
  const auto polling = PingPongOnce(request, reply, true, seconds / 2);
  if (!polling.ok()) return polling;
  return blocking->seconds < polling->seconds ? blocking : polling;
}

Result<Sample> RawSockets::Stream(uint64_t bytes, uint32_t streams, double seconds) {
  SLIPWAY_RETURN_IF_ERROR(child_.WriteLine("sink " + std::to_string(streams)));
  std::vector<Socket> sockets;
  for (uint32_t i = 0; i < streams; ++i) {
    auto socket = Connect(port_);
    if (!socket.ok()) return socket.status();
    sockets.push_back(std::move(*socket));
  }
  std::atomic<uint64_t> sent{0};
  const Clock::time_point start = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (const Socket& socket : sockets)
      threads.emplace_back([&, fd = socket.fd()] {
        std::vector<char> buffer(bytes, 'x');
        do {
          if (!SendAll(fd, buffer.data(), bytes)) break;
          ++sent;
        } while (Since(start) < seconds && !Interrupted());
        shutdown(fd, SHUT_WR);
        char taken;
        ReceiveAll(fd, &taken, 1, false);
      });
  }
  const double passed = Since(start);
  const auto ended = child_.ReadLine(kOrderSeconds);
  if (!ended.ok()) return ended.status();
  if (sent == 0) return Status(SLIPWAY_E_IO, "raw sockets: nothing could be sent");
  return Sample{.seconds = passed / static_cast<double>(sent)};
}

}  // namespace slipway::cli::bench

#include "tests/control/fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <thread>

namespace slipway {

SegmentDescriptor ExampleDescriptor(const std::string& name) {
  SegmentDescriptor out;
  out.name = name;
  out.length = uint64_t{1} << 40;
  out.readable = true;
  out.mem_kind = 3;
  out.instance_id = "00112233445566778899aabbccddeeff";
  out.epoch = "1f";
  out.node_name = "node \xc3\xa4";
  out.process = CurrentProcess();
  out.transports = {
      {"mem", 1, 2, std::string("addr\0\xff", 6), {{0, 4096, "blob"}, {8192, 1, std::string(300, '\x80')}}},
      {"wire", 3, 3, "", {}}};
  return out;
}

void RecordingLogger::Write(LogLevel, std::string_view message) {
  MutexLock lock(mutex_);
  messages_.emplace_back(message);
}

std::vector<std::string> RecordingLogger::messages() const {
  MutexLock lock(mutex_);
  return messages_;
}

Result<SegmentDescriptor> ExampleSource::OpenSegment(const std::string& name,
                                                     const std::vector<ProtocolRange>& protocols) {
  {
    MutexLock lock(mutex_);
    last_protocols_ = protocols;
  }
  if (open) return open(name);
  if (name == "weights") return ExampleDescriptor(name);
  return Status(SLIPWAY_E_NO_SEGMENT, "no segment \"" + name + "\" here; ask for the list");
}

std::vector<SegmentSummary> ExampleSource::ListSegments() { return {{"weights", uint64_t{1} << 40, true, false, 3}}; }

std::vector<ProtocolRange> ExampleSource::last_protocols() const {
  MutexLock lock(mutex_);
  return last_protocols_;
}

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

RawClient::RawClient(uint16_t port, const std::string& host) {
  sockaddr_storage address{};
  socklen_t length = 0;
  if (host.find(':') == std::string::npos) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    inet_pton(AF_INET, host.c_str(), &v4->sin_addr);
    length = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr);
    length = sizeof *v6;
  }
  UniqueFd fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0) fd_ = std::move(fd);
}

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawClient::HalfClose() { shutdown(fd_.get(), SHUT_WR); }

bool RawClient::ReadSome(std::string* out, std::chrono::steady_clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  pollfd entry{fd_.get(), POLLIN, 0};
  if (left.count() <= 0 || poll(&entry, 1, static_cast<int>(left.count())) != 1) return false;
  std::array<char, 65536> buffer;
  const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (got <= 0) return false;
  out->append(buffer.data(), static_cast<size_t>(got));
  return true;
}

std::string RawClient::ReadToEnd(std::chrono::milliseconds limit) {
  std::string out;
  const auto until = std::chrono::steady_clock::now() + limit;
  while (ReadSome(&out, until)) {
  }
  return out;
}

std::string RawClient::ReadReply(std::chrono::milliseconds limit) {
  std::string out;
  const auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const size_t head = out.find("\r\n\r\n");
    const size_t length = out.find("Content-Length: ");
    if (head != std::string::npos && length < head && out.size() >= head + 4 + std::stoul(out.substr(length + 16))) {
      return out;
    }
    if (!ReadSome(&out, until)) return out;
  }
}

bool RawClient::SeesEnd(std::chrono::milliseconds limit) {
  std::string ignored;
  const auto until = std::chrono::steady_clock::now() + limit;
  while (ReadSome(&ignored, until)) {
  }
  return std::chrono::steady_clock::now() < until;
}

std::string OpenPost(std::string_view body, const std::string& more_headers) {
  std::string out = "POST /v1/open HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + more_headers +
                    "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  return out.append(body);
}

std::string GetRequest(const std::string& path, const std::string& more_headers) {
  return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + more_headers + "\r\n";
}

int StatusOf(const std::string& reply) {
  return reply.compare(0, 9, "HTTP/1.1 ") == 0 ? std::atoi(reply.c_str() + 9) : 0;
}

std::string BodyOf(const std::string& reply) {
  const size_t head = reply.find("\r\n\r\n");
  return head == std::string::npos ? "" : reply.substr(head + 4);
}

void ControlServerTest::StartServer(const std::string& secret, const Clock& clock) {
  Result<std::unique_ptr<ControlServer>> server = ControlServer::Start(options_, secret, &source_, clock, logger_);
  ASSERT_TRUE(server.ok()) << server.status().message();
  server_ = *std::move(server);
}

std::unique_ptr<ControlClient> ControlServerTest::NewClient(const std::string& secret) {
  Result<std::unique_ptr<ControlClient>> client = ControlClient::Create(options_, secret, SystemClock());
  EXPECT_TRUE(client.ok()) << client.status().message();
  return client.ok() ? *std::move(client) : nullptr;
}

}  // namespace slipway

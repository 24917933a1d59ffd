// A client and what can answer it: nothing, something else, somebody hostile.
#include "core/control/client.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/control/fixture.h"

namespace slipway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

// Accepts connections and answers each with the same bytes, whatever it is asked.
class Impostor {
 public:
  enum class Then { kClose, kHold, kDrip };

  explicit Impostor(std::string answer, Then then = Then::kClose) : answer_(std::move(answer)), then_(then) {
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 16), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~Impostor() {
    stop_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  uint16_t port() const { return port_; }

 private:
  void Run() {
    std::vector<UniqueFd> held;
    while (!stop_) {
      UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd.valid()) continue;
      char request[4096];
      (void)!recv(fd.get(), request, sizeof request, 0);
      std::string_view left = answer_;
      while (!left.empty()) {
        const ssize_t sent = send(fd.get(), left.data(), left.size(), MSG_NOSIGNAL);
        if (sent <= 0) break;
        left.remove_prefix(static_cast<size_t>(sent));
      }
      while (then_ == Then::kDrip && !stop_ && send(fd.get(), "x", 1, MSG_NOSIGNAL) == 1) {
        std::this_thread::sleep_for(milliseconds(10));
      }
      if (then_ == Then::kHold) held.push_back(std::move(fd));
    }
  }

  const std::string answer_;
  const Then then_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class ControlClientTest : public ControlServerTest {
 protected:
  Status OpenAt(const std::string& host, uint16_t port, uint64_t timeout_ms = 20'000) {
    return NewClient()->Open({host, port, "weights"}, {}, timeout_ms).status();
  }
  Status OpenAtImpostor(const std::string& answer) {
    Impostor impostor(answer);
    return OpenAt("127.0.0.1", impostor.port());
  }
  static std::string Ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
};

TEST_F(ControlClientTest, NobodyListens) {
  StartServer();
  const uint16_t port = server_->port();
  server_.reset();
  const Status status = OpenAt("127.0.0.1", port);
  EXPECT_EQ(status.code(), SLIPWAY_E_UNREACHABLE);
  EXPECT_THAT(status.message(), HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(status.message(), HasSubstr("nothing listens there"));
  const std::string where = status.message().substr(0, status.message().find(": "));
  EXPECT_EQ(status.message().find(where, 1), std::string::npos) << "says where only once: " << status.message();
}

TEST_F(ControlClientTest, TheNameDoesNotResolve) {
  const Status status = OpenAt("no-such-host.invalid", 80);
  EXPECT_EQ(status.code(), SLIPWAY_E_ADDRESS) << status.message();
  EXPECT_THAT(status.message(), HasSubstr("no-such-host.invalid"));
}

TEST_F(ControlClientTest, ReturnsInTimeFromABlackHole) {
  Impostor silent("", Impostor::Then::kHold);
  const auto begin = steady_clock::now();
  const Status status = OpenAt("127.0.0.1", silent.port(), 300);
  const auto took = steady_clock::now() - begin;
  EXPECT_EQ(status.code(), SLIPWAY_E_UNREACHABLE);
  EXPECT_THAT(status.message(), HasSubstr("in time"));
  EXPECT_GE(took, milliseconds(290));
  EXPECT_LT(took, milliseconds(20'000)) << "it would hold the connection for good";
}

TEST_F(ControlClientTest, ReturnsInTimeFromADrippingServer) {
  for (const char* begin_of_reply : {"HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"}) {
    Impostor dripping(begin_of_reply, Impostor::Then::kDrip);
    const auto begin = steady_clock::now();
    EXPECT_EQ(OpenAt("127.0.0.1", dripping.port(), 300).code(), SLIPWAY_E_UNREACHABLE);
    EXPECT_LT(steady_clock::now() - begin, milliseconds(20'000)) << "it would go on for good";
  }
}

TEST_F(ControlClientTest, ATimeoutOfZeroReturns) {
  StartServer();
  EXPECT_EQ(OpenAt("127.0.0.1", server_->port(), 0).code(), SLIPWAY_E_UNREACHABLE);
}

TEST_F(ControlClientTest, TheLongestTimeoutDoesNotOverflow) {
  StartServer();
  EXPECT_TRUE(OpenAt("127.0.0.1", server_->port(), UINT64_MAX).ok());
}

TEST_F(ControlClientTest, AnswersThatAreNotTheProtocol) {
  const std::string good = DescriptorToJson(ExampleDescriptor("weights"));
  ASSERT_TRUE(OpenAtImpostor(Ok(good)).ok());
  const std::pair<const char*, std::string> answers[] = {
      {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
      {"HTTP/0.9", "<html></html>\r\n\r\n"},
      {"no length", "HTTP/1.1 200 OK\r\n\r\n" + good},
      {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"},
      {"compressed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"},
      {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"},
      {"a head without end", std::string(100'000, 'a')},
      {"a status line without end", "HTTP/1.1 200 " + std::string(100'000, 'a')},
      {"continue", "HTTP/1.1 100 Continue\r\n\r\n" + Ok(good)},
      {"a redirect", "HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n"},
      {"an error without a reason", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"},
      {"an unknown error",
       "HTTP/1.1 500 Oops\r\nContent-Length: 43\r\n\r\n{\"error\":{\"status\":\"E_OOPS\",\"message\":\"no\"}}"},
      {"not JSON", Ok("hello")},
      {"brackets", Ok(std::string(100'000, '['))},
      {"a list", Ok("[]")},
      {"another segment", Ok(DescriptorToJson(ExampleDescriptor("bias")))},
  };
  for (const auto& [what, answer] : answers) {
    SCOPED_TRACE(what);
    const Status status = OpenAtImpostor(answer);
    EXPECT_EQ(status.code(), SLIPWAY_E_BAD_REPLY) << status.message();
  }
}

TEST_F(ControlClientTest, AnswersBeyondTheLimitAreNotRead) {
  const Status status = OpenAtImpostor("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
  EXPECT_EQ(status.code(), SLIPWAY_E_TOO_LARGE);
  EXPECT_THAT(status.message(), HasSubstr("control.max_body_bytes"));
}

TEST_F(ControlClientTest, ConnectionsThatEndEarly) {
  EXPECT_EQ(OpenAtImpostor("").code(), SLIPWAY_E_UNREACHABLE);
  EXPECT_EQ(OpenAtImpostor("HTTP/1.1 200").code(), SLIPWAY_E_UNREACHABLE);
  EXPECT_EQ(OpenAtImpostor("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").code(), SLIPWAY_E_UNREACHABLE);
}

TEST_F(ControlClientTest, WhatAPeerSaysCannotForgeLogLines) {
  const std::string body = R"({"error":{"status":"E_NO_SEGMENT","message":"a\nb\u001b[31m"}})";
  const Status status =
      OpenAtImpostor("HTTP/1.1 404 x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(status.code(), SLIPWAY_E_NO_SEGMENT);
  EXPECT_THAT(status.message(), HasSubstr("a?b?[31m"));
}

TEST_F(ControlClientTest, AKeptConnectionThatDiedIsReplaced) {
  StartServer("", fake_clock_);
  auto client = NewClient();
  ASSERT_TRUE(client->Open(Url("weights"), {}, 20'000).ok());
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_busy == 0; }));
  fake_clock_.Advance((options_.idle_timeout_ms + 1) * 1'000'000);
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_idle_closed == 1; }));
  EXPECT_TRUE(client->Open(Url("weights"), {}, 20'000).ok());
  EXPECT_EQ(client->stats().connections_opened, 2u);
}

TEST_F(ControlClientTest, BytesBehindAReplyAreNotTakenForTheNext) {
  Impostor generous(Ok(DescriptorToJson(ExampleDescriptor("weights"))) + Ok("{}"), Impostor::Then::kHold);
  auto client = NewClient();
  ASSERT_TRUE(client->Open({"127.0.0.1", generous.port(), "weights"}, {}, 20'000).ok());
  ASSERT_TRUE(client->Open({"127.0.0.1", generous.port(), "weights"}, {}, 20'000).ok());
  EXPECT_EQ(client->stats().connections_opened, 2u);
}

TEST_F(ControlClientTest, ASegmentNameThatIsNoneIsNotSent) {
  EXPECT_EQ(NewClient()->Open({"127.0.0.1", 1, "a b"}, {}, 1000).status().code(), SLIPWAY_E_ADDRESS);
}

}  // namespace
}  // namespace slipway

// What a well-behaved client sees, and who is let in.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <csignal>
#include <stdexcept>

#include "tests/control/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

TEST_F(ControlServerTest, OpenGivesTheDescriptor) {
  StartServer();
  auto client = NewClient();
  const Result<SegmentDescriptor> opened = Open(*client, "weights");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(*opened, ExampleDescriptor("weights"));
  EXPECT_EQ(source_.last_protocols(), (std::vector<ProtocolRange>{{"mem", 1, 2}}));
}

TEST_F(ControlServerTest, OpenOfAnUnknownSegmentSaysSo) {
  StartServer();
  const Result<SegmentDescriptor> opened = Open(*NewClient(), "bias");
  EXPECT_EQ(opened.status().code(), SLIPWAY_E_NO_SEGMENT);
  EXPECT_THAT(opened.status().message(), HasSubstr("ask for the list"));
  EXPECT_EQ(StatusOf(Ask(OpenPost(R"({"segment":"bias","version":1,"protocols":[]})"))), 404);
}

TEST_F(ControlServerTest, ListAndDescribe) {
  StartServer();
  auto client = NewClient();
  const auto list = client->List("127.0.0.1", server_->port(), 20'000);
  ASSERT_TRUE(list.ok()) << list.status().message();
  EXPECT_EQ(*list, source_.ListSegments());
  const auto node = client->Describe("localhost", server_->port(), 20'000);
  ASSERT_TRUE(node.ok()) << node.status().message();
  EXPECT_EQ(*node, source_.DescribeJson());
}

TEST_F(ControlServerTest, MetricsAndHealth) {
  StartServer();
  EXPECT_THAT(Ask(GetRequest("/healthz")), HasSubstr(R"({"status":"ok"})"));
  const std::string metrics = Ask(GetRequest("/metrics"));
  EXPECT_THAT(metrics, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(metrics, HasSubstr("\nexample 1\n"));
  EXPECT_THAT(metrics, HasSubstr("\nslipway_control_requests_total 1\n"));
}

TEST_F(ControlServerTest, KeepsOneConnectionForManyRequests) {
  StartServer();
  auto client = NewClient();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Open(*client, "weights").ok());
  EXPECT_EQ(server_->stats().connections_accepted, 1u);
  EXPECT_EQ(client->stats().connections_opened, 1u);
  EXPECT_EQ(server_->stats().requests, 20u);
}

TEST_F(ControlServerTest, AnswersPipelinedRequestsInOrder) {
  StartServer();
  RawClient client(server_->port());
  const std::string last = GetRequest("/healthz", "Connection: close\r\n");
  ASSERT_TRUE(client.Send(GetRequest("/v1/describe") + OpenPost(kGoodOpen) + last));
  const std::string all = client.ReadToEnd();
  const size_t first = all.find("\"node\":\"example\""), second = all.find("instance_id"), third = all.find("\"ok\"");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos);
}

TEST_F(ControlServerTest, SecretIsAskedForOnEveryPath) {
  StartServer("open-sesame");
  for (const char* path : {"/healthz", "/metrics", "/v1/segments", "/v1/describe", "/nowhere"}) {
    EXPECT_EQ(StatusOf(Ask(GetRequest(path))), 401) << path;
    EXPECT_EQ(StatusOf(Ask(GetRequest(path, "Authorization: Bearer open-sesamf\r\n"))), 401) << path;
    EXPECT_EQ(StatusOf(Ask(GetRequest(path, "Authorization: Basic open-sesame\r\n"))), 401) << path;
    EXPECT_NE(StatusOf(Ask(GetRequest(path, "Authorization: Bearer open-sesame\r\n"))), 401) << path;
  }
  EXPECT_EQ(StatusOf(Ask(OpenPost(kGoodOpen))), 401);
  EXPECT_EQ(server_->stats().unauthenticated, 16u);
}

TEST_F(ControlServerTest, ClientWithTheSecretIsLetIn) {
  StartServer("open-sesame");
  EXPECT_TRUE(Open(*NewClient("open-sesame"), "weights").ok());
  EXPECT_EQ(Open(*NewClient("other"), "weights").status().code(), SLIPWAY_E_UNAUTHENTICATED);
  const Status missing = Open(*NewClient(), "weights").status();
  EXPECT_EQ(missing.code(), SLIPWAY_E_UNAUTHENTICATED);
  EXPECT_THAT(missing.message(), HasSubstr("control.secret_file"));
}

TEST_F(ControlServerTest, WrongSecretsAreLoggedOnceForMany) {
  StartServer("open-sesame");
  for (int i = 0; i < 10; ++i) Ask(GetRequest("/healthz"));
  EXPECT_THAT(logger_.messages(), testing::ElementsAre(HasSubstr("without the shared secret")));
}

TEST_F(ControlServerTest, DoesNotListenBeyondLoopbackWithoutASecret) {
  for (const char* listen : {"0.0.0.0:0", "[::]:0"}) {
    options_.listen = listen;
    const auto server = ControlServer::Start(options_, "", &source_, SystemClock(), logger_);
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(server.status().code(), SLIPWAY_E_CONFIG_CONFLICT);
    EXPECT_THAT(server.status().message(), HasSubstr("control.secret_file"));
  }
  options_.listen = "0.0.0.0:0";
  StartServer("open-sesame");
  EXPECT_THAT(logger_.messages(), testing::ElementsAre(HasSubstr("without TLS")));
  EXPECT_TRUE(Open(*NewClient("open-sesame"), "weights").ok());
}

TEST_F(ControlServerTest, SecretsThatNoHeaderCanCarryAreRefused) {
  for (const std::string& secret : {std::string("two words"), std::string("line\n"), std::string(5000, 'a')}) {
    EXPECT_EQ(ControlServer::Start(options_, secret, &source_, SystemClock(), logger_).status().code(),
              SLIPWAY_E_CONFIG_VALUE);
    EXPECT_EQ(ControlClient::Create(options_, secret, SystemClock()).status().code(), SLIPWAY_E_CONFIG_VALUE);
  }
}

TEST_F(ControlServerTest, ListensOnIpv6) {
  options_.listen = "[::1]:0";
  Result<std::unique_ptr<ControlServer>> server = ControlServer::Start(options_, "", &source_, SystemClock(), logger_);
  if (!server.ok()) GTEST_SKIP() << "no IPv6 here: " << server.status().message();
  auto client = NewClient();
  const Result<SegmentUrl> url = ParseSegmentUrl("slipway://[::1]:" + std::to_string((*server)->port()) + "/weights");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(client->Open(*url, {}, 20'000).ok());
  EXPECT_EQ((*server)->host(), "::1");
}

TEST_F(ControlServerTest, PortInUseIsToldApart) {
  StartServer();
  options_.listen = "127.0.0.1:" + std::to_string(server_->port());
  const auto second = ControlServer::Start(options_, "", &source_, SystemClock(), logger_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), SLIPWAY_E_ADDRESS_IN_USE);
  EXPECT_THAT(second.status().message(), HasSubstr("port 0"));
}

TEST_F(ControlServerTest, ThePortCanBeTakenAgainAtOnce) {
  StartServer();
  auto client = NewClient();
  ASSERT_TRUE(Open(*client, "weights").ok());
  options_.listen = "127.0.0.1:" + std::to_string(server_->port());
  server_.reset();  // closes first, so that the port is in TIME_WAIT
  StartServer();
  // The kept connection is dead, which the client finds out and mends by itself.
  EXPECT_TRUE(Open(*client, "weights").ok());
}

TEST_F(ControlServerTest, BadAddressesAreNamed) {
  for (const char* listen :
       {"", "127.0.0.1", "127.0.0.1:http", "::1:80", "[::1]", "no-such-host.invalid:0", "192.0.2.1:0"}) {
    options_.listen = listen;
    const auto server = ControlServer::Start(options_, "secret", &source_, SystemClock(), logger_);
    ASSERT_FALSE(server.ok()) << listen;
    EXPECT_EQ(server.status().code(), SLIPWAY_E_ADDRESS) << listen;
    EXPECT_THAT(server.status().message(), HasSubstr("control.listen"));
  }
}

TEST_F(ControlServerTest, WebPagesAreRefused) {
  StartServer();
  EXPECT_EQ(StatusOf(Ask(GetRequest("/v1/segments", "Origin: http://evil.example\r\n"))), 403);
  const auto with_host = [&](const std::string& host) {
    return StatusOf(Ask("GET /healthz HTTP/1.1\r\nHost: " + host + "\r\n\r\n"));
  };
  EXPECT_EQ(with_host("evil.example"), 403);
  EXPECT_EQ(with_host("127.0.0.1.evil.example:80"), 403);
  EXPECT_EQ(with_host("127.0.0.1:80"), 200);
  EXPECT_EQ(with_host("[::1]:80"), 200);
  EXPECT_EQ(with_host("LocalHost"), 200);
  EXPECT_EQ(StatusOf(Ask("GET /healthz HTTP/1.1\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(Ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")), 400);
  // What a form can send without asking first.
  EXPECT_EQ(StatusOf(Ask(
                "POST /v1/open HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")),
            415);
  EXPECT_EQ(server_->stats().forbidden, 3u);
}

TEST_F(ControlServerTest, UnknownPathsAndMethodsSayWhatThereIs) {
  StartServer();
  const std::string unknown = Ask(GetRequest("/v2/open"));
  EXPECT_EQ(StatusOf(unknown), 404);
  EXPECT_THAT(BodyOf(unknown), HasSubstr("POST /v1/open"));
  EXPECT_EQ(StatusOf(Ask(GetRequest("/v1/open"))), 404);
  EXPECT_EQ(StatusOf(Ask("DELETE /v1/segments HTTP/1.1\r\nHost: localhost\r\n\r\n")), 405);
  EXPECT_EQ(StatusOf(Ask("OPTIONS /v1/open HTTP/1.1\r\nHost: localhost\r\n\r\n")), 405);
}

TEST_F(ControlServerTest, AnExceptionOfTheSourceIsAnAnswerOf500) {
  source_.open = [](const std::string& name) -> Result<SegmentDescriptor> {
    if (name == "memory") throw std::bad_alloc();
    throw std::runtime_error("secret detail");
  };
  StartServer();
  for (const char* name : {"memory", "other"}) {
    const std::string reply = Ask(OpenPost(std::string(R"({"version":1,"protocols":[],"segment":")") + name + "\"}"));
    EXPECT_EQ(StatusOf(reply), 500);
    EXPECT_THAT(reply, Not(HasSubstr("secret detail")));
  }
  EXPECT_EQ(Open(*NewClient(), "other").status().code(), SLIPWAY_E_INTERNAL);
}

TEST_F(ControlServerTest, AnAnswerBeyondTheLimitIsAnError) {
  options_.max_body_bytes = 16'384;
  source_.open = [](const std::string& name) -> Result<SegmentDescriptor> {
    SegmentDescriptor large = ExampleDescriptor(name);
    large.transports[0].address = std::string(4096, 'a');
    for (uint64_t i = 0; i < 1000; ++i) large.transports[1].registrations.push_back({i, 1, "b"});
    return large;
  };
  StartServer();
  const Status status = Open(*NewClient(), "weights").status();
  EXPECT_EQ(status.code(), SLIPWAY_E_TOO_LARGE);
  EXPECT_THAT(status.message(), HasSubstr("control.max_body_bytes"));
}

TEST_F(ControlServerTest, LargeDescriptorsTravel) {
  source_.open = [](const std::string& name) -> Result<SegmentDescriptor> {
    SegmentDescriptor large = ExampleDescriptor(name);
    for (uint64_t i = 0; i < 40'000; ++i) large.transports[1].registrations.push_back({i << 20, 1u << 20, "12345678"});
    return large;
  };
  StartServer();
  const auto opened = Open(*NewClient(), "weights");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->transports[1].registrations.size(), 40'000u);
}

TEST_F(ControlServerTest, LeavesSignalsAsTheyAreAndDescriptorsClosedOnExec) {
  struct sigaction before {
  }, after{};
  sigaction(SIGPIPE, nullptr, &before);
  StartServer();
  auto client = NewClient();
  ASSERT_TRUE(Open(*client, "weights").ok());
  sigaction(SIGPIPE, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  for (int fd = 3; fd < 256; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0) continue;
    int type = 0;
    socklen_t size = sizeof type;
    const bool is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    EXPECT_TRUE(!is_socket || (flags & FD_CLOEXEC) != 0) << fd;
  }
}

}  // namespace
}  // namespace slipway

// Clients that send what no client should: the server answers or hangs up, counts it, and goes on serving others.
#include <gmock/gmock.h>

#include <chrono>
#include <random>

#include "tests/control/fixture.h"

namespace slipway {
namespace {

using testing::HasSubstr;

struct Malformed {
  const char* what;
  std::string request;
  int http_status;
};

std::string Head(const std::string& lines) { return "POST /v1/open HTTP/1.1\r\nHost: localhost\r\n" + lines + "\r\n"; }
const std::string kJsonType = "Content-Type: application/json\r\n";

std::vector<Malformed> MalformedBodies() {
  const std::string deep(5000, '['), deep_object = [] {
    std::string out;
    for (int i = 0; i < 5000; ++i) out += R"({"a":)";
    return out;
  }();
  const std::string zeros(64, '\0');
  return {
      {"empty body", OpenPost(""), 400},
      {"array for object", OpenPost("[]"), 400},
      {"null", OpenPost("null"), 400},
      {"string", OpenPost("\"weights\""), 400},
      {"segment is a number", OpenPost(R"({"segment":1,"version":1,"protocols":[]})"), 400},
      {"segment is missing", OpenPost(R"({"version":1,"protocols":[]})"), 400},
      {"segment has a space", OpenPost(R"({"segment":"a b","version":1,"protocols":[]})"), 400},
      {"segment is empty", OpenPost(R"({"segment":"","version":1,"protocols":[]})"), 400},
      {"segment is long", OpenPost(R"({"version":1,"protocols":[],"segment":")" + std::string(256, 'a') + "\"}"), 400},
      {"version is a string", OpenPost(R"({"segment":"weights","version":"1","protocols":[]})"), 400},
      {"version is a fraction", OpenPost(R"({"segment":"weights","version":1.0,"protocols":[]})"), 400},
      {"version is negative", OpenPost(R"({"segment":"weights","version":-1,"protocols":[]})"), 400},
      {"version is the next", OpenPost(R"({"segment":"weights","version":2,"protocols":[]})"), 400},
      {"protocols is an object", OpenPost(R"({"segment":"weights","version":1,"protocols":{}})"), 400},
      {"protocol is a string", OpenPost(R"({"segment":"weights","version":1,"protocols":["mem"]})"), 400},
      {"protocol beyond 32 bits",
       OpenPost(R"({"segment":"weights","version":1,"protocols":[{"name":"m","min":1,"max":4294967296}]})"), 400},
      {"protocol the wrong way round",
       OpenPost(R"({"segment":"weights","version":1,"protocols":[{"name":"m","min":2,"max":1}]})"), 400},
      {"protocol in capitals",
       OpenPost(R"({"segment":"weights","version":1,"protocols":[{"name":"M","min":1,"max":1}]})"), 400},
      {"a key twice", OpenPost(R"({"segment":"weights","segment":"bias","version":1,"protocols":[]})"), 400},
      {"something behind it", OpenPost(kGoodOpen + "x"), 400},
      {"NUL behind it", OpenPost(kGoodOpen + '\0'), 400},
      {"NULs", OpenPost(zeros), 400},
      {"binary", OpenPost("\xff\xfe\x80\x01\x02"), 400},
      {"not UTF-8", OpenPost("{\"segment\":\"\xff\",\"version\":1,\"protocols\":[]}"), 400},
      {"5,000 brackets", OpenPost(deep), 400},
      {"5,000 brackets, closed", OpenPost(deep + std::string(5000, ']')), 400},
      {"5,000 objects", OpenPost(deep_object), 400},
      {"deep inside an ignored key", OpenPost(R"({"x":)" + deep + std::string(5000, ']') + "}"), 400},
      {"many values",
       OpenPost("[1" +
                [] {
                  std::string out;
                  for (int i = 0; i < 100'000; ++i) out += ",1";
                  return out + "]";
                }()),
       400},
  };
}

std::vector<Malformed> MalformedHeads() {
  return {
      {"huge Content-Length", Head(kJsonType + "Content-Length: 99999999999\r\n"), 413},
      {"Content-Length beyond 64 bits", Head(kJsonType + "Content-Length: 99999999999999999999999\r\n"), 400},
      {"negative Content-Length", Head(kJsonType + "Content-Length: -1\r\n"), 400},
      {"signed Content-Length", Head(kJsonType + "Content-Length: +1\r\n"), 400},
      {"two Content-Lengths", Head(kJsonType + "Content-Length: 1\r\nContent-Length: 2\r\n"), 400},
      {"Content-Length in hex", Head(kJsonType + "Content-Length: 0x10\r\n"), 400},
      {"no Content-Length", Head(kJsonType), 411},
      {"chunked garbage", Head(kJsonType + "Transfer-Encoding: chunked\r\n") + "zz\r\ngarbage\r\n", 411},
      {"chunked and a length", Head(kJsonType + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n") + "0\r\n", 411},
      {"compressed", Head(kJsonType + "Content-Encoding: gzip\r\nContent-Length: 2\r\n") + "\x1f\x8b", 415},
      {"multipart", Head("Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 4\r\n") + "--x\r", 415},
      {"no type", Head("Content-Length: 2\r\n") + "{}", 415},
      {"GET with a body", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 400},
      {"no request", "hello\r\n\r\n", 400},
      {"empty lines", "\r\n\r\n", 400},
      {"no path", "GET HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"a proxy's path", "GET http://evil/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"HTTP/3", "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505},
      {"NUL in the path", "GET /" + std::string(1, '\0') + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"bare line feeds", "GET / HTTP/1.1\nHost: localhost\n\n\r\n\r\n", 400},
      {"a folded header", "GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400},
      {"a header without a name", "GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n", 400},
      {"a space before the colon", "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400},
      {"101 headers",
       GetRequest("/healthz",
                  [] {
                    std::string out;
                    for (int i = 0; i < 101; ++i) out += "a: b\r\n";
                    return out;
                  }()),
       400},
      {"a long path", GetRequest("/" + std::string(20'000, 'a')), 431},
      {"a long header", GetRequest("/healthz", "X: " + std::string(20'000, 'a') + "\r\n"), 431},
      {"a head without end", std::string(17'000, 'a'), 431},
      {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},
  };
}

TEST_F(ControlServerTest, MalformedRequestsAreRefusedAndCounted) {
  StartServer();
  std::vector<Malformed> all = MalformedBodies();
  for (Malformed& malformed : MalformedHeads()) all.push_back(std::move(malformed));
  for (const Malformed& malformed : all) {
    SCOPED_TRACE(malformed.what);
    const ControlStats before = server_->stats();
    const std::string reply = Ask(malformed.request);
    EXPECT_EQ(StatusOf(reply), malformed.http_status) << reply.substr(0, 300);
    EXPECT_THAT(BodyOf(reply), HasSubstr(R"("error":{)"));
    const ControlStats after = server_->stats();
    EXPECT_EQ(after.bad_input + after.tls_failed, before.bad_input + before.tls_failed + 1);
  }
  EXPECT_TRUE(Open(*NewClient(), "weights").ok());
}

// A library that matches these with a recursive regular expression runs out of stack.
TEST_F(ControlServerTest, LongRangesAreNotLookedAt) {
  StartServer();
  std::string ranges = "Range: bytes=0-1";
  while (ranges.size() < 15'000) ranges += ",2-3";
  EXPECT_EQ(StatusOf(Ask(GetRequest("/healthz", ranges + "\r\n"))), 200);
}

TEST_F(ControlServerTest, AnswersAreNotCompressed) {
  StartServer();
  EXPECT_THAT(Ask(GetRequest("/metrics", "Accept-Encoding: gzip, br\r\n")), HasSubstr("\nexample 1\n"));
}

TEST_F(ControlServerTest, BodiesOfExactlyTheLimitAreRead) {
  options_.max_body_bytes = 4000;
  StartServer();
  EXPECT_EQ(StatusOf(Ask(OpenPost(kGoodOpen + std::string(4000 - kGoodOpen.size(), ' ')))), 200);
  EXPECT_EQ(StatusOf(Ask(OpenPost(kGoodOpen + std::string(4001 - kGoodOpen.size(), ' ')))), 413);
}

// The reason reaches a client that is still busy sending.
TEST_F(ControlServerTest, TooLargeIsToldBeforeTheBodyIsSent) {
  options_.max_body_bytes = 1000;
  StartServer();
  RawClient client(server_->port());
  ASSERT_TRUE(client.Send(OpenPost(std::string(200'000, ' '))));
  EXPECT_EQ(StatusOf(client.ReadReply()), 413);
}

TEST_F(ControlServerTest, Expect100IsAnswered) {
  StartServer();
  RawClient client(server_->port());
  const std::string request = OpenPost(kGoodOpen, "Expect: 100-continue\r\nConnection: close\r\n");
  const size_t head = request.find("\r\n\r\n") + 4;
  ASSERT_TRUE(client.Send(request.substr(0, head)));
  ASSERT_TRUE(client.Send(request.substr(head)));
  const std::string all = client.ReadToEnd();
  EXPECT_THAT(all, testing::StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"));
}

TEST_F(ControlServerTest, ABodyCutShortEndsTheConnection) {
  StartServer();
  RawClient client(server_->port());
  ASSERT_TRUE(
      client.Send("POST /v1/open HTTP/1.1\r\nHost: localhost\r\n" + kJsonType + "Content-Length: 100\r\n\r\n{"));
  client.HalfClose();
  EXPECT_TRUE(client.SeesEnd());
  EXPECT_TRUE(Eventually([&] { return server_->stats().connections_open == 0; }));
}

// Any of the answers will do; none may take the server down, and none may take long.
TEST_F(ControlServerTest, SurvivesAThousandBitFlipsOfTheBody) {
  StartServer();
  std::mt19937 random(20240611);
  RawClient client(server_->port());
  for (int i = 0; i < 1000; ++i) {
    std::string body = kGoodOpen;
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) body[random() % body.size()] ^= 1 << (random() % 8);
    ASSERT_TRUE(client.Send(OpenPost(body)));
    const int status = StatusOf(client.ReadReply());
    ASSERT_TRUE(status == 200 || status == 400 || status == 404) << status << " for " << body;
  }
  EXPECT_EQ(server_->stats().connections_accepted, 1u);
  EXPECT_TRUE(Open(*NewClient(), "weights").ok());
}

TEST_F(ControlServerTest, SurvivesAThousandBitFlipsOfTheWholeRequest) {
  options_.request_timeout_ms = 500;
  StartServer();
  std::mt19937 random(42);
  for (int i = 0; i < 1000; ++i) {
    std::string request = OpenPost(kGoodOpen, "Connection: close\r\n");
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips)
      request[random() % request.size()] ^= 1 << (random() % 8);
    RawClient client(server_->port());
    ASSERT_TRUE(client.connected());
    client.Send(request);
    client.HalfClose();  // so that a grown Content-Length is not waited for
    ASSERT_TRUE(client.SeesEnd());
  }
  EXPECT_TRUE(Open(*NewClient(), "weights").ok());
}

}  // namespace
}  // namespace slipway

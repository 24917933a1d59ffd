#include "core/control/http_head.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

constexpr uint64_t kMaxBody = 1000;

int Refused(const std::string& text) {
  RequestHead head;
  return ParseRequestHead(text, kMaxBody, &head).http_status;
}

TEST(HttpHeadTest, OnlyWhatMattersReachesTheLibrary) {
  RequestHead head;
  ASSERT_FALSE(
      ParseRequestHead("POST /v1/open?x=1 HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\n"
                       "content-type:  Application/JSON; charset=utf-8 \r\nCONTENT-LENGTH: 7\r\nX-Junk: y\r\n\r\n",
                       kMaxBody, &head));
  EXPECT_EQ(head.Canonical(),
            "POST /v1/open?x=1 HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n");
  EXPECT_EQ(head.body_bytes, 7u);
  EXPECT_TRUE(head.keep_alive);
}

TEST(HttpHeadTest, KeepsAliveAsAsked) {
  const auto keeps = [](const std::string& version, const std::string& lines) {
    RequestHead head;
    EXPECT_FALSE(ParseRequestHead("GET / " + version + "\r\n" + lines + "\r\n", kMaxBody, &head));
    return head.keep_alive;
  };
  EXPECT_TRUE(keeps("HTTP/1.1", ""));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: Close\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: x, close\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.0", ""));
  EXPECT_TRUE(keeps("HTTP/1.0", "Connection: keep-alive\r\n"));
}

TEST(HttpHeadTest, HeadsThatAreNone) {
  for (const char* text :
       {"", "\r\n", "\r\n\r\n", "GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n", "GET /\r\n\r\n", "G(T / HTTP/1.1\r\n\r\n"}) {
    EXPECT_EQ(Refused(text), 400) << text;
  }
  EXPECT_EQ(Refused("GET / HTTP/1.1 \r\n\r\n"), 505);
  EXPECT_EQ(Refused("get / HTTP/1.1\r\n\r\n"), 405);
}

TEST(HttpHeadTest, Replies) {
  ReplyHead head;
  ASSERT_TRUE(
      ParseReplyHead("HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\nConnection: close\r\n\r\n", 12, &head).ok());
  EXPECT_EQ(head.http_status, 404);
  EXPECT_EQ(head.body_bytes, 12u);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(ParseReplyHead("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n", 12, &head).code(), SLIPWAY_E_TOO_LARGE);
  for (const char* text :
       {"HTTP/1.1 99 x", "HTTP/1.1 1000 x", "HTTP/1.1 abc x", "HTTP/1.1 -20 x", "HTTP/2 200", "HTTP/1.1", "x"}) {
    EXPECT_EQ(ParseReplyHead(std::string(text) + "\r\nContent-Length: 0\r\n\r\n", 12, &head).code(),
              SLIPWAY_E_BAD_REPLY)
        << text;
  }
}

TEST(InboxTest, GivesBytesOnce) {
  Inbox inbox;
  inbox.Append("abc");
  inbox.Consume(2);
  inbox.Append("d");
  EXPECT_EQ(inbox.view(), "cd");
  inbox.Consume(2);
  EXPECT_TRUE(inbox.empty());
}

}  // namespace
}  // namespace slipway

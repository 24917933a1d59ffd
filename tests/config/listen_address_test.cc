#include "core/config/listen_address.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

TEST(ListenAddress, SplitsHostAndPort) {
  const auto check = [](const char* text, const char* host, uint16_t port) {
    const auto address = ParseListenAddress(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->port, port);
  };
  check("127.0.0.1:0", "127.0.0.1", 0);
  check("node-7.example:65535", "node-7.example", 65535);
  check("[::1]:7700", "::1", 7700);
  check("[fe80::1%eth0]:1", "fe80::1%eth0", 1);
  check(":80", "", 80);
}

TEST(ListenAddress, RefusesWhatIsNone) {
  for (const char* text :
       {"",        "host",    "host:",  ":",          "host:65536", "host:-1",   "host:+1",     "host: 1",
        "host:1 ", "host:x",  "::1:80", "[::1]",      "[]:1",       "[x]:1",     "[1.2.3.4]:1", "[::1:1",
        "::1]:1",  "ho st:1", "a/b:1",  "http://a:1", "user@a:1",   "[::1%]x]:1"}) {
    EXPECT_FALSE(ParseListenAddress(text)) << text;
  }
  EXPECT_FALSE(ParseListenAddress(std::string(300, 'a') + ":1"));
}

TEST(ListenAddress, KnowsLoopback) {
  for (const char* host : {"127.0.0.1", "127.0.0.0", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "localhost"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"", "0.0.0.0", "128.0.0.1", "126.255.255.255", "::", "::2", "fe80::1", "localhost.", "local",
                           "127.0.0.1.example", "127.1", "2130706433"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

}  // namespace
}  // namespace slipway

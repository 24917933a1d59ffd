#include "core/control/address.h"

#include <gmock/gmock.h>

#include "core/control/descriptor.h"

namespace slipway {
namespace {

using testing::HasSubstr;

TEST(SegmentUrlTest, GoodOnes) {
  const std::pair<const char*, SegmentUrl> good[] = {
      {"host:80/name", {"host", 80, "name"}},
      {"slipway://host.example:65535/a/b.c_d-e", {"host.example", 65535, "a/b.c_d-e"}},
      {"10.0.0.1:1/x", {"10.0.0.1", 1, "x"}},
      {"[::1]:80/name", {"::1", 80, "name"}},
      {"slipway://[fe80::1]:80/name", {"fe80::1", 80, "name"}},
  };
  for (const auto& [text, url] : good) {
    const Result<SegmentUrl> parsed = ParseSegmentUrl(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status().message();
    EXPECT_EQ(*parsed, url);
  }
}

TEST(SegmentUrlTest, BadOnes) {
  for (const std::string& text : {std::string(""),
                                  std::string("/"),
                                  std::string("host"),
                                  std::string("host:80"),
                                  std::string("host/name"),
                                  std::string("host:/name"),
                                  std::string("host:0/name"),
                                  std::string("host:65536/name"),
                                  std::string("host:+8/name"),
                                  std::string("host: 8/name"),
                                  std::string("host:8 /name"),
                                  std::string("host:80/"),
                                  std::string("host:80/a b"),
                                  std::string(":80/name"),
                                  std::string("::1:80/name"),
                                  std::string("[::1]/name"),
                                  std::string("[::g]:80/name"),
                                  std::string("[127.0.0.1]:80/name"),
                                  std::string("http://host:80/name"),
                                  std::string("user@host:80/name"),
                                  std::string("host:80/") + std::string(256, 'a'),
                                  std::string(254, 'a') + ":80/name",
                                  std::string("ho\0st:80/name", 13),
                                  std::string("host:80/na\0me", 13)}) {
    const Result<SegmentUrl> parsed = ParseSegmentUrl(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), SLIPWAY_E_ADDRESS) << text;
    EXPECT_LT(parsed.status().message().size(), 400u);
  }
}

TEST(AddressTest, LoopbackIsToldApart) {
  Resolver resolver(SystemClock());
  const auto is_loopback = [&](const std::string& host) {
    const auto found = resolver.Resolve(host, 80, kNoDeadline);
    EXPECT_TRUE(found.ok()) << host;
    return found.ok() && found->front().IsLoopback();
  };
  for (const char* host : {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "localhost"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "fe80::1", "::ffff:10.0.0.1"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(AddressTest, TextHasBracketsWhereNeeded) {
  Resolver resolver(SystemClock());
  EXPECT_EQ(resolver.Resolve("::1", 80, kNoDeadline)->front().Text(), "[::1]:80");
  EXPECT_EQ(resolver.Resolve("127.0.0.1", 80, kNoDeadline)->front().Text(), "127.0.0.1:80");
}

TEST(AddressTest, ANameThatIsNotLookedUpInTimeIsUnreachable) {
  Resolver resolver(SystemClock());
  const Status status = resolver.Resolve("localhost", 80, /*deadline_ns=*/0).status();
  EXPECT_TRUE(status.ok() || status.code() == SLIPWAY_E_UNREACHABLE) << status.message();
  // An abandoned look-up leaves its place to the next.
  for (size_t i = 0; i < 3 * Resolver::kMaxLookups; ++i)
    EXPECT_TRUE(resolver.Resolve("localhost", 80, kNoDeadline).ok());
}

}  // namespace
}  // namespace slipway

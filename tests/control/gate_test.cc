#include "core/control/gate.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

int Admitted(const Gate& gate, const std::string& lines) {
  RequestHead head;
  EXPECT_FALSE(ParseRequestHead("GET / HTTP/1.1\r\n" + lines + "\r\n", 0, &head));
  return gate.Admit(head).http_status;
}

TEST(GateTest, OnLoopbackTheHostMustBeThisMachine) {
  const Gate gate("", "node7.local", /*loopback=*/true);
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80", "localhost", "LOCALHOST:1", "Node7.local:9"}) {
    EXPECT_EQ(Admitted(gate, std::string("Host: ") + host + "\r\n"), 0) << host;
  }
  for (const char* host :
       {"evil", "evil:80", "", ":80", "localhost.evil", "127.0.0.1.evil", "[::1].evil", "::1", "node7"}) {
    EXPECT_EQ(Admitted(gate, std::string("Host: ") + host + "\r\n"), 403) << host;
  }
}

TEST(GateTest, ElsewhereTheHostIsNotKnown) {
  EXPECT_EQ(Admitted(Gate("s", "0.0.0.0", false), "Host: anything\r\nAuthorization: Bearer s\r\n"), 0);
}

TEST(GateTest, TheSecretMustBeExact) {
  const Gate gate("abc", "h", false);
  const auto with = [&](const std::string& line) { return Admitted(gate, "Host: h\r\n" + line); };
  EXPECT_EQ(with("Authorization: Bearer abc\r\n"), 0);
  EXPECT_EQ(with("authorization: bearer abc\r\n"), 0);
  for (const char* value :
       {"", "abc", "Bearer", "Bearer ", "Bearer ab", "Bearer abcd", "Bearer ABC", "Bearer  abc", "Basic abc"}) {
    EXPECT_EQ(with(std::string("Authorization: ") + value + "\r\n"), 401) << value;
  }
  EXPECT_EQ(with(""), 401);
  EXPECT_EQ(with("Authorization: Bearer x\r\nAuthorization: Bearer abc\r\n"), 401);
}

TEST(GateTest, WebPagesAreRefusedEvenWithTheSecret) {
  EXPECT_EQ(Admitted(Gate("s", "h", false), "Host: h\r\nOrigin: null\r\nAuthorization: Bearer s\r\n"), 403);
}

}  // namespace
}  // namespace slipway

// What a connection's socket is given, by the kernel's own account of it.
#include "plugins/tcp/endpoint.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <fstream>
#include <string>

#include "tests/plugins/tcp/raw.h"

namespace slipway::tcp {
namespace {

std::string CongestionOf(int fd) {
  char name[16] = {};
  socklen_t length = sizeof(name);
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
  return name;
}

std::string SystemCongestion() {
  std::string name;
  std::ifstream("/proc/sys/net/ipv4/tcp_congestion_control") >> name;
  return name;
}

// A connection as it is accepted, before anything is set for it. Its other end stays open as long.
struct Accepted {
  explicit Accepted(const Config& config) {
    Socket listener;
    SocketAddress any, bound;
    any.bytes = {127, 0, 0, 1};
    sdk::Error none(nullptr);
    EXPECT_EQ(Listen(any, "", config, &listener, &bound, none), SLIPWAY_OK);
    sockaddr_storage to;
    const socklen_t length = ToSockaddr(bound, &to);
    peer = Socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(peer.fd(), reinterpret_cast<sockaddr*>(&to), length), 0);
    socket_ = Socket(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  int fd() const { return socket_.fd(); }

  Socket peer, socket_;
};

// With bbr a connection is paced by a timer, also when it is given another congestion control afterwards. So what is
// set when it has been accepted is set too late.
TEST(TcpEndpoint, AConnectionIsAcceptedWithTheCongestionControlOfANearPeer) {
  Accepted accepted{Config()};
  EXPECT_EQ(CongestionOf(accepted.fd()), "reno");  // every kernel has it, and everybody may choose it
}

TEST(TcpEndpoint, OneFromFartherAwayGetsTheSystemsCongestionControl) {
  Accepted accepted{Config()};
  ApplyOptions(accepted.fd(), Config(), false);
  EXPECT_EQ(CongestionOf(accepted.fd()), SystemCongestion());
}

TEST(TcpEndpoint, TheConfiguredCongestionControlHoldsForBoth) {
  Config system, named;
  system.congestion = "system";
  named.congestion = "reno";
  Accepted as_system(system), as_named(named);
  EXPECT_EQ(CongestionOf(as_system.fd()), SystemCongestion());
  EXPECT_EQ(CongestionOf(as_named.fd()), "reno");
  for (const bool near_peer : {false, true}) {
    ApplyOptions(as_system.fd(), system, near_peer);
    ApplyOptions(as_named.fd(), named, near_peer);
    EXPECT_EQ(CongestionOf(as_system.fd()), SystemCongestion());
    EXPECT_EQ(CongestionOf(as_named.fd()), "reno");
  }
}

}  // namespace
}  // namespace slipway::tcp

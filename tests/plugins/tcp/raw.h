// The other end of the wire, played by the test: frames as it likes, whole or broken.
#ifndef SLIPWAY_TESTS_PLUGINS_TCP_RAW_H_
#define SLIPWAY_TESTS_PLUGINS_TCP_RAW_H_

#include <poll.h>
#include <sys/socket.h>

#include <optional>
#include <string>

#include "tests/plugins/tcp/harness.h"

namespace slipway::tcp {

// A blocking connection with a time limit on everything.
class RawConnection {
 public:
  explicit RawConnection(Socket s) : socket_(std::move(s)) {}
  static RawConnection To(const std::string& address_blob) {
    const InstanceAddress a = *DecodeAddress(address_blob);
    sockaddr_storage storage;
    const socklen_t len = ToSockaddr(a.addresses[0], &storage);
    Socket s(socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(s.fd(), reinterpret_cast<sockaddr*>(&storage), len), 0);
    return RawConnection(std::move(s));
  }

  int fd() const { return socket_.fd(); }
  bool SendBytes(const void* data, size_t n) {
    return send(socket_.fd(), data, n, MSG_NOSIGNAL) == static_cast<ssize_t>(n);
  }
  bool Send(const Frame& f) {
    uint8_t header[kHeaderBytes];
    EncodeHeader(f, header);
    return SendBytes(header, sizeof(header));
  }
  // Nothing when the other side closed; a test failure when it stays silent.
  bool ReceiveBytes(void* to, size_t n, int timeout_ms = 10000) {
    for (size_t have = 0; have < n;) {
      pollfd p{socket_.fd(), POLLIN, 0};
      if (poll(&p, 1, timeout_ms) <= 0) {
        ADD_FAILURE() << "the other side is silent";
        return false;
      }
      const ssize_t r = recv(socket_.fd(), static_cast<char*>(to) + have, n - have, 0);
      if (r <= 0) return false;
      have += static_cast<size_t>(r);
    }
    return true;
  }
  std::optional<Frame> Receive() {
    uint8_t header[kHeaderBytes];
    Frame f;
    if (!ReceiveBytes(header, sizeof(header))) return std::nullopt;
    EXPECT_EQ(DecodeHeader(header, uint64_t{1} << 30, &f), DecodeError::kNone);
    return f;
  }
  // Reads whatever comes until the other side closes.
  bool WaitClosed(int timeout_ms = 10000) {
    for (char buffer[4096];;) {
      pollfd p{socket_.fd(), POLLIN, 0};
      if (poll(&p, 1, timeout_ms) <= 0) return false;
      if (recv(socket_.fd(), buffer, sizeof(buffer), 0) <= 0) return true;
    }
  }
  bool Greet(const Key& instance, uint64_t window = 16) {
    Frame hello;
    hello.op = Op::kHello;
    hello.key = instance;
    hello.id = uint64_t{1} | uint64_t{1} << 32;
    hello.offset = window;
    if (!Send(hello)) return false;
    const std::optional<Frame> ack = Receive();
    return ack && ack->op == Op::kHelloAck && ack->status == SLIPWAY_OK;
  }
  void Close() { socket_.Close(); }
  void Abort() { socket_.Abort(); }

 private:
  Socket socket_;
};

inline Frame Request(Op op, const RemoteRegistration& r, uint64_t id, uint64_t offset, uint64_t length) {
  Frame f;
  f.op = op;
  f.id = id;
  f.registration = r.id;
  f.key = r.key;
  f.offset = offset;
  f.length = length;
  return f;
}

// A target that the test plays. Its address is exported like a real one's.
class RawTarget {
 public:
  RawTarget() {
    EXPECT_TRUE(RandomKey(&instance_));
    SocketAddress any;
    any.bytes = {127, 0, 0, 1};
    sdk::Error none(nullptr);
    EXPECT_EQ(Listen(any, "", Config(), &listener_, &bound_, none), SLIPWAY_OK);
  }
  std::string Address() const {
    InstanceAddress a;
    a.instance = instance_;
    a.addresses = {bound_};
    return EncodeAddress(a);
  }
  std::string Registration(uint64_t length) const {
    return EncodeRegistration({instance_, 1, instance_, length, SLIPWAY_ACCESS_ALL});
  }
  RawConnection Accept() {
    pollfd p{listener_.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&p, 1, 10000), 1);
    return RawConnection(Socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
  // Answers HELLO as a well-behaved target would.
  bool Greet(RawConnection& c, uint64_t window = 64) {
    const std::optional<Frame> hello = c.Receive();
    if (!hello || hello->op != Op::kHello) return false;
    return c.Send(HelloAck(window));
  }
  Frame HelloAck(uint64_t window = 64) const {
    Frame ack;
    ack.op = Op::kHelloAck;
    ack.id = 1;
    ack.key = instance_;
    ack.offset = window;
    ack.length = uint64_t{64} << 20;
    return ack;
  }
  const Key& instance() const { return instance_; }

 private:
  Key instance_{};
  Socket listener_;
  SocketAddress bound_;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_TESTS_PLUGINS_TCP_RAW_H_

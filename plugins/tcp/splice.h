// Sending without a copy to a peer on this host: the pages of a body are handed to the socket through a pipe
// (vmsplice(2) and splice(2)), and the peer's receive copies from them straight to their destination.
//
// Pages that are lent must stay as they are until the peer has taken their bytes, those that headers lie in as well. A
// WRITE's are the caller's until WRITE_ACK; a READ_DATA that is lent says so and keeps the registration until
// READ_DONE, and the headers lie in rings that are as long as there may be requests. And the other side could keep the
// pages and look at what they hold later, so they are lent only to a process that could look anyway: one of the same
// user, on this host. README.md has the reasons and figures.
#ifndef SLIPWAY_PLUGINS_TCP_SPLICE_H_
#define SLIPWAY_PLUGINS_TCP_SPLICE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace slipway::tcp {

// What a thread did before it sent happens before what another, of the same process, does once it has received that.
// The thread sanitizer knows it of sockets, but not of splice.
class SpliceOrder {
 public:
#if defined(__SANITIZE_THREAD__)
  static void Sending() { __tsan_release(&order_); }
  static void Received() { __tsan_acquire(&order_); }

 private:
  static inline char order_ = 0;
#else
  static void Sending() {}
  static void Received() {}
#endif
};

// Whether the other end of a connected socket is a socket of this process' user in this network namespace, by asking
// the kernel who owns it (sock_diag(7)). False where it cannot be told.
bool PeerIsSameUser(int fd);

// Whether the connection is broken: reset by the peer, or by the system. Consumes the socket's pending error.
bool ConnectionBroken(int fd);

// What the pipe takes at once, with a header for each frame and bodies that begin and end within pages.
constexpr uint64_t kPipedBytesPerCall = 896 << 10;

// One sender's pipe. Not thread-safe.
class SplicePipe {
 public:
  SplicePipe() = default;
  ~SplicePipe() { Close(); }
  SplicePipe(const SplicePipe&) = delete;
  SplicePipe& operator=(const SplicePipe&) = delete;

  // False: the system gives no pipe. Idempotent.
  bool Open();
  void Close();

  struct Sent {
    uint64_t bytes = 0;    // of the parts, from the first on, that are on their way
    int error = 0;         // why the socket did not take all of these: EAGAIN when it is full. 0: it did
    bool refused = false;  // the memory that comes next cannot be lent
  };
  // Hands the parts, of which there is at least one byte, to the socket. Never blocks. What it has no room for stays in
  // the pipe: no other byte may be sent before Flush() has moved that, and no part may be taken back. What is held when
  // this is called goes first. Changes the parts.
  // The thread must not be harmed by SIGPIPE: splice knows no MSG_NOSIGNAL.
  Sent Send(int socket, iovec* parts, size_t count);
  // Moves what is held to the socket, as far as it has room. Gives the bytes moved; *error as above.
  uint64_t Flush(int socket, int* error) { return Flush(socket, false, error); }
  uint64_t held() const { return held_; }

 private:
  uint64_t Flush(int socket, bool more_follows, int* error);

  int read_fd_ = -1, write_fd_ = -1;
  uint64_t held_ = 0;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_SPLICE_H_

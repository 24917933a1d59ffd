// Sending without a copy to a peer on this host: the pages of a body are handed to the socket through a pipe
// (vmsplice(2) and splice(2)), and the peer's receive copies from them straight to their destination.
//
// Pages that are lent must stay as they are until the peer has taken their bytes. A WRITE's are the caller's until
// WRITE_ACK; a READ_DATA that is lent says so and keeps the registration until READ_DONE. And the other side could keep
// the pages and look at what they hold later, so they are lent only to a process that could look anyway: one of the
// same user, on this host. README.md has the reasons and figures.
#ifndef SLIPWAY_PLUGINS_TCP_SPLICE_H_
#define SLIPWAY_PLUGINS_TCP_SPLICE_H_

#include <cstdint>

namespace slipway::tcp {

// Whether the other end of a connected socket is a socket of this process' user in this network namespace, by asking
// the kernel who owns it (sock_diag(7)). False where it cannot be told.
bool PeerIsSameUser(int fd);

// Whether the connection is broken: reset by the peer, or by the system. Consumes the socket's pending error.
bool ConnectionBroken(int fd);

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

  // Sends what the socket takes of body[0, n), where the first held() bytes are in the pipe from an earlier call that
  // the socket did not take them from. Never blocks. Gives the bytes that the socket took, and in *error 0 or why there
  // were not more: EAGAIN when it is full. With nothing held and another error the memory cannot be lent.
  // The thread must not be harmed by SIGPIPE: splice knows no MSG_NOSIGNAL.
  uint64_t Send(int socket, const uint8_t* body, uint64_t n, int* error);
  uint64_t held() const { return held_; }

 private:
  int read_fd_ = -1, write_fd_ = -1;
  uint64_t held_ = 0;
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_SPLICE_H_

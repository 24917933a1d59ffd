#include "plugins/tcp/splice.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace slipway::tcp {
namespace {

// As large as the system lets anybody make one by default. A smaller one only takes more calls.
constexpr int kPipeBytes = 1 << 20;
constexpr uint32_t kOverflowUid = 65534;  // a user that this user namespace has no number for

// The address as the kernel's diagnostics name it; false for what they do not know.
bool NameForDiag(const sockaddr_storage& address, uint32_t words[4], uint16_t* port) {
  if (address.ss_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(address);
    std::memcpy(words, &a.sin_addr, sizeof(a.sin_addr));
    *port = a.sin_port;
    return true;
  }
  if (address.ss_family != AF_INET6) return false;
  const auto& a = reinterpret_cast<const sockaddr_in6&>(address);
  std::memcpy(words, &a.sin6_addr, sizeof(a.sin6_addr));
  *port = a.sin6_port;
  return true;
}

struct DiagRequest {
  nlmsghdr header{};
  inet_diag_req_v2 diag{};
};

// The owner of the connected TCP socket with this name. False: none, or the kernel does not tell.
bool OwnerOf(const DiagRequest& request, uint32_t* uid) {
  const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return false;
  // The kernel answers within send(); the limit is for one that does not.
  const timeval limit{0, 200'000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  alignas(nlmsghdr) uint8_t reply[1024];
  ssize_t n = -1;
  if (send(fd, &request, sizeof(request), 0) == sizeof(request)) n = recv(fd, reply, sizeof(reply), 0);
  close(fd);
  const auto* header = reinterpret_cast<const nlmsghdr*>(reply);
  if (n < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg))) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return false;
  }
  inet_diag_msg message;
  std::memcpy(&message, NLMSG_DATA(header), sizeof(message));
  *uid = message.idiag_uid;
  return true;
}

}  // namespace

bool PeerIsSameUser(int fd) {
  sockaddr_storage own{}, peer{};
  socklen_t own_bytes = sizeof(own), peer_bytes = sizeof(peer);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_bytes) != 0 ||
      getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_bytes) != 0 || own.ss_family != peer.ss_family) {
    return false;
  }
  DiagRequest request;
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.diag.sdiag_family = static_cast<uint8_t>(own.ss_family);
  request.diag.sdiag_protocol = IPPROTO_TCP;
  request.diag.idiag_states = ~0u;
  // The other end's socket is the one whose own address is our peer's. A peer elsewhere has none here.
  inet_diag_sockid& id = request.diag.id;
  if (!NameForDiag(peer, id.idiag_src, &id.idiag_sport) || !NameForDiag(own, id.idiag_dst, &id.idiag_dport))
    return false;
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  uint32_t uid = 0;
  return OwnerOf(request, &uid) && uid == geteuid() && uid != kOverflowUid;
}

bool ConnectionBroken(int fd) {
  int error = 0;
  socklen_t bytes = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0 || error != 0;
}

bool SplicePipe::Open() {
  if (read_fd_ >= 0) return true;
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  read_fd_ = fds[0];
  write_fd_ = fds[1];
  fcntl(write_fd_, F_SETPIPE_SZ, kPipeBytes);
  return true;
}

void SplicePipe::Close() {
  if (read_fd_ >= 0) close(read_fd_);
  if (write_fd_ >= 0) close(write_fd_);
  read_fd_ = write_fd_ = -1;
  held_ = 0;
}

uint64_t SplicePipe::Flush(int socket, bool more_follows, int* error) {
  uint64_t moved = 0;
  *error = 0;
  while (held_ != 0 && *error == 0) {
    const unsigned more = more_follows ? SPLICE_F_MORE : 0;
    const ssize_t n = splice(read_fd_, nullptr, socket, nullptr, held_, SPLICE_F_NONBLOCK | more);
    if (n > 0) {
      held_ -= static_cast<uint64_t>(n);
      moved += static_cast<uint64_t>(n);
    } else if (n == 0 || errno != EINTR) {
      *error = n == 0 ? EPIPE : errno;
    }
  }
  return moved;
}

SplicePipe::Sent SplicePipe::Send(int socket, iovec* parts, size_t count) {
  Sent sent;
  if (held_ != 0) (void)Flush(socket, &sent.error);
  while (sent.error == 0 && count != 0) {
    SpliceOrder::Sending();
    // The pipe is empty, so it takes something of any memory that can be lent.
    const ssize_t n = vmsplice(write_fd_, parts, count, SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      sent.refused = true;
      break;
    }
    held_ = static_cast<uint64_t>(n);
    sent.bytes += held_;
    uint64_t taken = held_;
    for (; count != 0 && taken >= parts->iov_len; ++parts, --count) taken -= parts->iov_len;
    if (count != 0) *parts = {static_cast<uint8_t*>(parts->iov_base) + taken, parts->iov_len - taken};
    (void)Flush(socket, count != 0, &sent.error);
  }
  return sent;
}

}  // namespace slipway::tcp

#include "plugins/local-memcpy/socket.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace slipway::local_memcpy {
namespace {

// Connections that wait to be accepted.
constexpr int kBacklog = 128;

// An abstract name: it goes with the socket, and no file has to be cleaned up.
socklen_t NameOf(const Key& key, sockaddr_un& out) {
  constexpr char kPrefix[] = "slipway-local-memcpy-", kHex[] = "0123456789abcdef";
  out = sockaddr_un{};
  out.sun_family = AF_UNIX;
  char* at = out.sun_path + 1;
  std::memcpy(at, kPrefix, sizeof(kPrefix) - 1);
  at += sizeof(kPrefix) - 1;
  for (const unsigned char byte : key) {
    *at++ = kHex[byte >> 4];
    *at++ = kHex[byte & 15];
  }
  return static_cast<socklen_t>(at - reinterpret_cast<char*>(&out));
}

Fd NewSocket() { return Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

using Control = std::array<char, CMSG_SPACE(sizeof(int) * kMostFds)>;

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

Fd ListenAs(const Key& name) {
  Fd fd = NewSocket();
  sockaddr_un address;
  const socklen_t length = NameOf(name, address);
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(fd.get(), kBacklog) != 0) {
    return Fd();
  }
  return fd;
}

Fd ConnectTo(const Key& name) {
  Fd fd = NewSocket();
  sockaddr_un address;
  const socklen_t length = NameOf(name, address);
  // Done at once or not at all: there is no handshake on the way.
  if (!fd || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return Fd();
  return fd;
}

Fd Accept(int listener) { return Fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

bool ReadCredentials(int socket, Credentials& out) {
  ucred found{};
  socklen_t length = sizeof(found);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &found, &length) != 0 || length != sizeof(found)) return false;
  out = {found.pid, found.uid};
  return true;
}

Fd OpenProcess(pid_t pid) {
#ifdef SYS_pidfd_open
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by itself
#else
  errno = ENOSYS;
  return Fd();
#endif
}

Sent SendPacket(int socket, const void* bytes, size_t size, std::array<int, kMostFds> fds) {
  iovec part{const_cast<void*>(bytes), size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) Control control{};
  std::array<int, kMostFds> list{};
  size_t count = 0;
  for (const int fd : fds) {
    if (fd >= 0) list[count++] = fd;
  }
  if (count > 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(head), list.data(), sizeof(int) * count);
  }
  ssize_t n = 0;
  do {
    n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(size)) return Sent::kDone;
  // ETOOMANYREFS: too many descriptors of this user are on their way; they arrive.
  const bool later = n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS);
  return later ? Sent::kFull : Sent::kBroken;
}

Received ReceivePacket(int socket, void* room, size_t& size, std::array<Fd, kMostFds>& fds) {
  iovec part{room, size};
  alignas(cmsghdr) Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // ECONNRESET is said once, before what the other side had sent when it closed.
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0 && (errno == EAGAIN || errno == ENOMEM)) return Received::kNothing;
  if (n <= 0) return Received::kBroken;
  size_t count = 0;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
      if (count < kMostFds) {
        fds[count++] = Fd(fd);
      } else {
        Fd surplus(fd);
      }
    }
  }
  size = static_cast<size_t>(n);
  return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 ? Received::kPacket : Received::kBroken;
}

}  // namespace slipway::local_memcpy

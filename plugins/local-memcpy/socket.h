// Local sockets: packets with descriptors, between processes whose user the kernel vouches for.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_SOCKET_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_SOCKET_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <utility>

#include "plugins/local-memcpy/memory.h"

namespace slipway::local_memcpy {

// Owner of a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A listening socket of that name, which exists in the network namespace of this process only, and nowhere as a file.
// Empty, with errno set, where the system refuses. All sockets here never block.
Fd ListenAs(const Key& name);
Fd ConnectTo(const Key& name);  // as ListenAs; ECONNREFUSED: nobody of that name here
Fd Accept(int listener);

// Who is at the other end. As this process sees them; pid 0: in a PID namespace that cannot be seen from here.
struct Credentials {
  pid_t pid = 0;
  uid_t uid = 0;
};
bool ReadCredentials(int socket, Credentials& out);
// Readable when the process has ended. Empty: it is gone already, or the system has none.
Fd OpenProcess(pid_t pid);

enum class Sent { kDone, kFull, kBroken };
inline constexpr size_t kMostFds = 2;
// One packet with up to kMostFds descriptors; negative ones are left out.
Sent SendPacket(int socket, const void* bytes, size_t size, std::array<int, kMostFds> fds = {-1, -1});

enum class Received { kPacket, kNothing, kBroken };
// `size` becomes the packet's length. One that is longer than the room, or brings more descriptors, is kBroken.
Received ReceivePacket(int socket, void* room, size_t& size, std::array<Fd, kMostFds>& fds);

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_SOCKET_H_

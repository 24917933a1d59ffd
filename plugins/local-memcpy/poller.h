// Which descriptors the exchange's thread waits for. An id, never used again, tells what a descriptor is of.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_POLLER_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_POLLER_H_

#include <sys/epoll.h>

#include <cstdint>

#include "plugins/local-memcpy/socket.h"

namespace slipway::local_memcpy {

// Thread-safe.
class Poller {
 public:
  Poller() : fd_(epoll_create1(EPOLL_CLOEXEC)) {}
  int fd() const { return fd_.get(); }
  bool ok() const { return static_cast<bool>(fd_); }

  bool Add(int fd, uint64_t id, uint32_t events = EPOLLIN) { return Control(EPOLL_CTL_ADD, fd, id, events); }
  bool Change(int fd, uint64_t id, uint32_t events) { return Control(EPOLL_CTL_MOD, fd, id, events); }
  // Needed although the descriptor is closed: a forked child may have it still.
  void Remove(int fd) {
    if (fd >= 0) Control(EPOLL_CTL_DEL, fd, 0, 0);
  }

 private:
  bool Control(int op, int fd, uint64_t id, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    return epoll_ctl(fd_.get(), op, fd, &event) == 0;
  }

  const Fd fd_;
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_POLLER_H_

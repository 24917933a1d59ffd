#include "core/transfer/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace slipway {

void WriteEvent(int fd) {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the descriptor is readable already.
  [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof one);
}

Bell::Bell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Bell::~Bell() {
  if (fd_ >= 0) close(fd_);
}

void Bell::Ring() {
  if (!rung_.exchange(true)) WriteEvent(fd_);
}

void Bell::Still() {
  uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t got = read(fd_, &ignored, sizeof ignored);
}

}  // namespace slipway

// Ownership of a file descriptor.
#ifndef SLIPWAY_CORE_CONTROL_UNIQUE_FD_H_
#define SLIPWAY_CORE_CONTROL_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace slipway {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { Close(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  int fd_ = -1;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_UNIQUE_FD_H_

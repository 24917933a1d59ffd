// A descriptor that wakes whoever sleeps on it.
#ifndef SLIPWAY_CORE_TRANSFER_BELL_H_
#define SLIPWAY_CORE_TRANSFER_BELL_H_

#include <atomic>

namespace slipway {

void WriteEvent(int fd);  // makes an eventfd readable

// Wakes one sleeper: rings at most once until it is expected again. Thread-safe.
class Bell {
 public:
  Bell();
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  int fd() const { return fd_; }  // readable when it rang; below 0: the system had none to give
  void Ring();
  // By the sleeper, before it looks for what there is to do.
  void Expect() { rung_.store(false); }
  // By the sleeper, when the descriptor was readable.
  void Still();
  bool rung() const { return rung_.load(); }

 private:
  const int fd_;
  std::atomic<bool> rung_{false};
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_BELL_H_

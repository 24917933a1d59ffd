#include "plugins/cuda/sleepers.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace slipway::cuda {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

// All of this is sequentially consistent: of a waker's look at who sleeps and a sleeper's look at the count of wakes,
// one sees the other.
void Sleepers::Sleep(uint32_t ticket, const std::chrono::microseconds* at_most) {
  timespec time{};
  if (at_most != nullptr) {
    time.tv_sec = static_cast<time_t>(at_most->count() / 1'000'000);
    time.tv_nsec = static_cast<long>(at_most->count() % 1'000'000 * 1000);
  }
  sleeping_.fetch_add(1);
  syscall(SYS_futex, &wakes_, FUTEX_WAIT_PRIVATE, ticket, at_most != nullptr ? &time : nullptr, nullptr, 0);
  sleeping_.fetch_sub(1);
}

void Sleepers::Wake(uint32_t count) {
  if (count == 0) return;
  wakes_.fetch_add(1);
  if (sleeping_.load() == 0) return;
  syscall(SYS_futex, &wakes_, FUTEX_WAKE_PRIVATE, static_cast<int>(std::min<uint32_t>(count, INT_MAX)), nullptr,
          nullptr, 0);
}

}  // namespace slipway::cuda

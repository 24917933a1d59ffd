#include "core/memory/pin_budget.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace slipway {
namespace {

bool MayLockMemory() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data[0].effective >> CAP_IPC_LOCK & 1) != 0;
}

}  // namespace

bool PinBudget::TryReserve(uint64_t bytes) {
  uint64_t used = used_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > cap_bytes_ || used > cap_bytes_ - bytes) return false;
  } while (
      !used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_acq_rel, std::memory_order_relaxed));
  // The gauge follows the cap's own count from below, so that its peak never shows more than was ever reserved.
  counters_.AddWithPeak(Counter::kPinNowBytes, Counter::kPinPeakBytes, bytes);
  return true;
}

bool PinBudget::Reserve(uint64_t bytes) {
  if (TryReserve(bytes)) return true;
  if (!reclaim_ || bytes > cap_bytes_) return false;
  reclaim_(bytes);
  return TryReserve(bytes);
}

void PinBudget::Release(uint64_t bytes) {
  counters_.Sub(Counter::kPinNowBytes, bytes);
  [[maybe_unused]] const uint64_t before = used_bytes_.fetch_sub(bytes, std::memory_order_release);
  assert(before >= bytes);
}

uint64_t PinCapBytes(uint64_t configured_bytes) {
  rlimit limit{};
  uint64_t memlock = PinBudget::kNoCap;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) memlock = limit.rlim_cur;
  return PinCapBytes(configured_bytes, memlock, MayLockMemory());
}

uint64_t PinCapBytes(uint64_t configured_bytes, uint64_t memlock_bytes, bool may_lock) {
  const uint64_t configured = configured_bytes == 0 ? PinBudget::kNoCap : configured_bytes;
  if (may_lock || memlock_bytes == PinBudget::kNoCap) return configured;
  return std::min(configured, memlock_bytes - memlock_bytes / 10);
}

}  // namespace slipway

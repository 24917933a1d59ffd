#include "plugins/local-memcpy/process_copy.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "slipway/sdk/copy_bytes.hpp"

namespace slipway::local_memcpy {
namespace {

slipway_status StatusOf(int error) {
  switch (error) {
    case ESRCH:
      return SLIPWAY_E_PEER;
    case EPERM:
    case EACCES:
    case ENOSYS:
      return SLIPWAY_E_UNSUPPORTED;  // forbidden here: another transport can do it
    case ENOMEM:
      return SLIPWAY_E_NOMEM;
    default:
      return SLIPWAY_E_IO;  // EFAULT: one of the two sides is not mapped, or not for this
  }
}

// `step` moves some bytes from an offset on, and returns how many or -1 with errno set.
template <typename Step>
slipway_status MoveAll(uint64_t bytes, uint64_t& moved, int32_t& native, const Step& step) {
  moved = 0;
  while (moved < bytes) {
    const ssize_t n = step(moved);
    if (n > 0) {
      moved += static_cast<uint64_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    native = n == 0 ? EFAULT : errno;
    return StatusOf(native);
  }
  return SLIPWAY_OK;
}

// The kernel copies page by page, and cannot be told how. Through a buffer whose bytes lie in their pages as those of
// the other process do, it does so quickly, and the rest is up to us.
constexpr uint64_t kPage = 4096, kDetour = 64 << 10;
char* DetourFor(uint64_t there) {
  thread_local const std::unique_ptr<char[]> buffer(new char[kDetour + 2 * kPage]);
  const auto begin = reinterpret_cast<uintptr_t>(buffer.get());
  return buffer.get() + (kPage - begin % kPage) % kPage + there % kPage;
}

bool TakesDetour(Detour detour, uint64_t to, uint64_t from, uint64_t bytes) {
  constexpr uint64_t kLeast = 1024;  // below, it saves less than it costs
  return detour == Detour::kAlways || (bytes > kLeast && sdk::MindsLyingBadly() && sdk::LieBadly(to, from));
}

ssize_t ReadSome(pid_t pid, uint64_t from, char* to, uint64_t bytes) {
  const iovec here{to, bytes}, there{reinterpret_cast<void*>(from), bytes};
  return process_vm_readv(pid, &here, 1, &there, 1, 0);
}

ssize_t WriteSome(pid_t pid, uint64_t to, const char* from, uint64_t bytes) {
  const iovec here{const_cast<char*>(from), bytes}, there{reinterpret_cast<void*>(to), bytes};
  return process_vm_writev(pid, &here, 1, &there, 1, 0);
}

}  // namespace

slipway_status ReadProcess(pid_t pid, uint64_t from, void* to, uint64_t bytes, uint64_t& moved, int32_t& native,
                           Detour how) {
  const bool detour = TakesDetour(how, reinterpret_cast<uintptr_t>(to), from, bytes);
  return MoveAll(bytes, moved, native, [&](uint64_t offset) {
    char* const here = static_cast<char*>(to) + offset;
    if (!detour) return ReadSome(pid, from + offset, here, bytes - offset);
    char* const buffer = DetourFor(from + offset);
    const ssize_t n = ReadSome(pid, from + offset, buffer, std::min(kDetour, bytes - offset));
    if (n > 0) sdk::CopyBytes(here, buffer, static_cast<size_t>(n));
    return n;
  });
}

slipway_status WriteProcess(pid_t pid, uint64_t to, const void* from, uint64_t bytes, uint64_t& moved, int32_t& native,
                            Detour how) {
  const bool detour = TakesDetour(how, to, reinterpret_cast<uintptr_t>(from), bytes);
  return MoveAll(bytes, moved, native, [&](uint64_t offset) {
    const char* const here = static_cast<const char*>(from) + offset;
    if (!detour) return WriteSome(pid, to + offset, here, bytes - offset);
    char* const buffer = DetourFor(to + offset);
    const uint64_t part = std::min(kDetour, bytes - offset);
    sdk::CopyBytes(buffer, here, part);
    return WriteSome(pid, to + offset, buffer, part);
  });
}

}  // namespace slipway::local_memcpy

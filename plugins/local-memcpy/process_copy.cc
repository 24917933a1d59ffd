#include "plugins/local-memcpy/process_copy.h"

#include <sys/uio.h>

#include <cerrno>

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

}  // namespace

slipway_status ReadProcess(pid_t pid, uint64_t from, void* to, uint64_t bytes, uint64_t& moved, int32_t& native) {
  return MoveAll(bytes, moved, native, [&](uint64_t offset) {
    const iovec here{static_cast<char*>(to) + offset, bytes - offset};
    const iovec there{reinterpret_cast<void*>(from + offset), bytes - offset};
    return process_vm_readv(pid, &here, 1, &there, 1, 0);
  });
}

slipway_status WriteProcess(pid_t pid, uint64_t to, const void* from, uint64_t bytes, uint64_t& moved,
                            int32_t& native) {
  return MoveAll(bytes, moved, native, [&](uint64_t offset) {
    const iovec here{const_cast<char*>(static_cast<const char*>(from)) + offset, bytes - offset};
    const iovec there{reinterpret_cast<void*>(to + offset), bytes - offset};
    return process_vm_writev(pid, &here, 1, &there, 1, 0);
  });
}

}  // namespace slipway::local_memcpy

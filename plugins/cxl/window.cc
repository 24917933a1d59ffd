#include "plugins/cxl/window.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace slipway::cxl {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

struct flock LockOf(short type, uint64_t offset, uint64_t bytes) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = static_cast<off_t>(bytes);
  return lock;
}

uint64_t RoundUp(uint64_t n, uint64_t align) { return (n + align - 1) / align * align; }

// Pages of a file in memory come from that node, for everyone who maps it.
bool BindToNode(void* base, uint64_t bytes, uint32_t node) {
  unsigned long mask[1024 / (8 * sizeof(unsigned long))] = {};
  mask[node / (8 * sizeof(mask[0]))] |= 1ul << node % (8 * sizeof(mask[0]));
  return syscall(SYS_mbind, base, bytes, MPOL_BIND, mask, 8 * sizeof(mask), MPOL_MF_MOVE) == 0;
}

}  // namespace

// ---- locks -----------------------------------------------------------------------------------------------------

ByteLock& ByteLock::operator=(ByteLock&& other) noexcept {
  Release();
  std::swap(fd_, other.fd_);
  return *this;
}

bool ByteLock::Take(const std::string& path, uint64_t offset, uint64_t bytes) {
  Release();
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  struct flock lock = LockOf(F_WRLCK, offset, bytes);
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
    fd_ = fd;
    return true;
  }
  const int why = errno;
  close(fd);
  errno = why;
  return false;
}

void ByteLock::Release() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

// ---- window ----------------------------------------------------------------------------------------------------

Window::~Window() {
  pinned_.Unpin();
  if (base_ != nullptr) munmap(base_, device_.bytes);
  if (fd_ >= 0) close(fd_);
}

slipway_status Window::Open(const WindowConfig& config, const Config& all, const std::string& pointer,
                            sdk::Error& err) {
  if (const slipway_status s = FindDevice(config, all.sharing, "/sys", pointer, device_, err); s != SLIPWAY_OK)
    return s;
  identity_ = IdentityOf(device_.identity);
  own_begin_ = config.offset;
  own_end_ = config.bytes == 0 ? device_.bytes : config.offset + config.bytes;
  fd_ = open(device_.path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0) {
    return err.Fail(SLIPWAY_E_DEVICE,
                    device_.path + ": " + std::strerror(errno) + ": it must be readable and writable here",
                    pointer + "/device", errno);
  }
  if (const slipway_status s = Map(all.persistent, pointer, err); s != SLIPWAY_OK) return s;
  if (config.numa_node != WindowConfig::kAnyNode && !BindToNode(base_, device_.bytes, config.numa_node)) {
    return err.Fail(SLIPWAY_E_CONFIG,
                    device_.path + " cannot be bound to that node: see `numactl -H`, and use a file on tmpfs",
                    pointer + "/numa_node", errno);
  }
  return SLIPWAY_OK;
}

slipway_status Window::Map(bool persistent, const std::string& pointer, sdk::Error& err) {
  int flags = MAP_SHARED;
  if (persistent && device_.kind == DeviceKind::kFsDax) flags = MAP_SHARED_VALIDATE | MAP_SYNC;
  if (persistent && device_.kind == DeviceKind::kFile) {
    return err.Fail(SLIPWAY_E_CONFIG,
                    device_.path + " is an ordinary file, in which nothing is persistent by flushing caches",
                    "/persistent");
  }
  // Room is taken first, so that the mapping can begin where huge pages do.
  const uint64_t align = std::max(device_.align, kHugePage);
  char* const room = static_cast<char*>(
      mmap(nullptr, device_.bytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (room == MAP_FAILED) {
    return err.Fail(SLIPWAY_E_NOMEM, device_.path + ": no room in the address space for all of it", pointer, errno);
  }
  char* const at = reinterpret_cast<char*>(RoundUp(reinterpret_cast<uintptr_t>(room), align));
  void* const mapped = mmap(at, device_.bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd_, 0);
  const int why = errno;
  const uint64_t before = static_cast<uint64_t>(at - room);
  if (before > 0) munmap(room, before);
  if (align - before > 0) munmap(at + device_.bytes, align - before);
  if (mapped == MAP_FAILED) {
    munmap(at, device_.bytes);
    return err.Fail(SLIPWAY_E_DEVICE, device_.path + " cannot be mapped: " + std::strerror(why), pointer + "/device",
                    why);
  }
  base_ = at;
  return SLIPWAY_OK;
}

bool Window::OffsetOf(const void* address, uint64_t* offset) const {
  const auto at = reinterpret_cast<uintptr_t>(address), begin = reinterpret_cast<uintptr_t>(base_);
  if (base_ == nullptr || at < begin || at - begin >= device_.bytes) return false;
  *offset = at - begin;
  return true;
}

bool Window::LockedByAnother(uint64_t offset, uint64_t bytes) const {
  struct flock lock = LockOf(F_WRLCK, offset, bytes);
  return fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

slipway_status Window::Allocate(uint64_t bytes, uint64_t align, uint64_t* offset, ByteLock& lock,
                                sdk::Error& err) const {
  uint64_t at = RoundUp(std::max(own_begin_, *offset), align);
  while (at < own_end_ && bytes <= own_end_ - at) {
    struct flock held = LockOf(F_WRLCK, at, bytes);
    if (fcntl(fd_, F_OFD_GETLK, &held) != 0) {
      return err.Fail(SLIPWAY_E_IO, device_.path + " takes no locks on bytes (F_OFD_GETLK)", {}, errno);
    }
    if (held.l_type == F_UNLCK) {
      if (lock.Take(device_.path, at, bytes)) {
        *offset = at;
        return SLIPWAY_OK;
      }
      if (errno != EAGAIN && errno != EACCES) {
        return err.Fail(SLIPWAY_E_NOMEM, device_.path + " cannot be locked: " + std::strerror(errno), {}, errno);
      }
      continue;  // somebody was quicker
    }
    const uint64_t end = held.l_len == 0 ? own_end_ : static_cast<uint64_t>(held.l_start + held.l_len);
    at = RoundUp(std::max(end, at + 1), align);
  }
  return err.FailRetryable(SLIPWAY_E_NOMEM, device_.path + ": no " + std::to_string(bytes) +
                                                " free bytes together in this instance's part of it");
}

}  // namespace slipway::cxl

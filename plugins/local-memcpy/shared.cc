#include "plugins/local-memcpy/shared.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

namespace slipway::local_memcpy {
namespace {

constexpr uint64_t kHuge = uint64_t{2} << 20;
constexpr uint64_t kLargest = uint64_t{1} << 46;

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

uint64_t RoundUp(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

// Prefers the node for pages not touched yet. Best effort: where the system cannot, memory is simply elsewhere.
void PreferNode(void* at, uint64_t bytes, int32_t numa) {
  constexpr int kPreferred = 1;  // MPOL_PREFERRED of linux/mempolicy.h
  constexpr uint32_t kBits = 8 * sizeof(unsigned long), kNodes = 1024;
  if (numa < 0 || static_cast<uint32_t>(numa) >= kNodes) return;
  unsigned long mask[kNodes / kBits] = {};
  mask[static_cast<uint32_t>(numa) / kBits] = 1ul << (static_cast<uint32_t>(numa) % kBits);
  syscall(SYS_mbind, at, bytes, kPreferred, mask, static_cast<unsigned long>(kNodes), 0u);
}

// What may be taken without pushing others out, as far as the system tells: of the machine, and of the control group.
uint64_t AvailableBytes() {
  uint64_t available = 0;
  std::ifstream machine("/proc/meminfo");
  for (std::string line; std::getline(machine, line);) {
    if (std::sscanf(line.c_str(), "MemAvailable: %" SCNu64 " kB", &available) == 1) break;
  }
  available *= 1024;
  std::string group;
  std::ifstream own("/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    if (line.starts_with("0::")) group = "/sys/fs/cgroup" + line.substr(3);
  }
  uint64_t limit = 0, used = 0;
  if (!group.empty() && std::ifstream(group + "/memory.max") >> limit &&
      std::ifstream(group + "/memory.current") >> used) {
    available = std::min(available, limit > used ? limit - used : 0);
  }
  return available;
}

// Shared memory is of pages of 4 KiB where the system's settings say nothing else, which most do not. Asked to collapse
// them (Linux 6.1, madvise(2)) the kernel makes huge ones all the same, at once, and some four times as quickly as the
// small ones would come one by one. It needs a page that is there already to begin with. Where it refuses, or where the
// memory is not clearly to be had, pages come as they are touched.
void MakeHuge(char* at, uint64_t bytes) {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE of linux/mman.h
  constexpr uint64_t kStep = 16 * kHuge;
  if (bytes < kHuge || bytes > AvailableBytes() / 2) return;
  madvise(at, bytes, MADV_HUGEPAGE);  // for what the settings let be huge by itself
  for (uint64_t done = 0; done + kHuge <= bytes; done += kStep) {
    const uint64_t step = std::min(kStep, (bytes - done) / kHuge * kHuge);
    for (uint64_t i = 0; i < step; i += kHuge) static_cast<volatile char*>(at + done)[i] = 0;
    if (madvise(at + done, step, kCollapse) != 0) return;
  }
}

}  // namespace

Mapping::Mapping(int fd, uint64_t bytes, bool writable, uint64_t align) {
  // Room first, then the file into the aligned part of it.
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* const room = mmap(nullptr, bytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return;
  char* const begin = static_cast<char*>(room);
  char* const at = begin + (RoundUp(reinterpret_cast<uintptr_t>(begin), align) - reinterpret_cast<uintptr_t>(begin));
  if (mmap(at, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    munmap(room, bytes + align);
    return;
  }
  if (at > begin) munmap(begin, static_cast<size_t>(at - begin));
  char* const end = at + RoundUp(bytes, 4096);
  if (end < begin + bytes + align) munmap(end, static_cast<size_t>(begin + bytes + align - end));
  at_ = at;
  bytes_ = bytes;
}

Mapping::~Mapping() {
  if (at_ != nullptr) munmap(at_, bytes_);
}

Fd NewSharedFile(const char* name, uint64_t bytes, bool reserved_huge_pages) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (reserved_huge_pages ? MFD_HUGETLB | MFD_HUGE_2MB : 0u);
  Fd fd(memfd_create(name, flags));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return Fd();
  // Other users, should the configuration let them in, get what they are sent and cannot open more of it.
  if (fchmod(fd.get(), 0600) != 0 || fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return Fd();
  return fd;
}

bool SealWriting(int fd) { return fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0; }

bool IsSharedFile(int fd, uint64_t bytes) {
  const int seals = fcntl(fd, F_GET_SEALS);
  struct stat info {};
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && fstat(fd, &info) == 0 && info.st_size >= 0 &&
         static_cast<uint64_t>(info.st_size) >= bytes;
}

Fd ReadOnly(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

slipway_status SharedMemory::Allocate(uint64_t bytes, int32_t numa, bool hugetlb, void** out, sdk::Error& err) {
  if (bytes == 0 || bytes > kLargest) return err.Fail(SLIPWAY_E_INVALID, "allocate: no such length");
  static std::atomic<uint64_t> next_id{1};
  auto block = std::make_shared<SharedBlock>();
  if (hugetlb) {
    block->file = NewSharedFile("slipway-segment", RoundUp(bytes, kHuge), true);
    if (block->file) block->mapping = Mapping(block->file.get(), RoundUp(bytes, kHuge), true, kHuge);
  }
  if (!block->mapping) {
    const uint64_t whole = RoundUp(bytes, bytes >= kHuge ? kHuge : 4096);
    block->file = NewSharedFile("slipway-segment", whole);
    if (!block->file) {
      const char* const why =
          errno == EMFILE || errno == ENFILE ? "too many open files" : "the system refuses shared memory";
      return err.FailRetryable(SLIPWAY_E_NOMEM, std::string("allocate: ") + why, {}, errno);
    }
    block->mapping = Mapping(block->file.get(), whole, true, kHuge);
    if (!block->mapping) return err.FailRetryable(SLIPWAY_E_NOMEM, "allocate: no room to map it", {}, errno);
  }
  PreferNode(block->mapping.data(), block->mapping.size(), numa);
  if (!hugetlb) MakeHuge(block->mapping.data(), block->mapping.size());
  block->reading = ReadOnly(block->file.get());
  block->id = next_id.fetch_add(1);
  *out = block->mapping.data();
  MutexLock lock(mutex_);
  blocks_.emplace(block->mapping.data(), std::move(block));
  return SLIPWAY_OK;
}

slipway_status SharedMemory::Release(void* memory) {
  if (memory == nullptr) return SLIPWAY_OK;
  std::shared_ptr<const SharedBlock> last;  // unmapped without the lock
  MutexLock lock(mutex_);
  const auto found = blocks_.find(static_cast<const char*>(memory));
  if (found == blocks_.end()) return SLIPWAY_E_INVALID;
  last = std::move(found->second);
  blocks_.erase(found);
  lock.Unlock();
  return SLIPWAY_OK;
}

std::shared_ptr<const SharedBlock> SharedMemory::Find(const void* addr, uint64_t length) const {
  const char* const at = static_cast<const char*>(addr);
  MutexLock lock(mutex_);
  auto found = blocks_.upper_bound(at);
  if (found == blocks_.begin()) return nullptr;
  --found;
  const uint64_t offset = static_cast<uint64_t>(at - found->first), size = found->second->mapping.size();
  return offset <= size && length <= size - offset ? found->second : nullptr;
}

uint64_t SharedMemory::bytes() const {
  uint64_t sum = 0;
  MutexLock lock(mutex_);
  for (const auto& [at, block] : blocks_) sum += block->mapping.size();
  return sum;
}

}  // namespace slipway::local_memcpy

// What one instance shows its peers: a table of its registrations in a memory file (memfd) that they map read-only.
//
// The kernel's locks on bytes of that file say who is alive and who is copying, and it takes them back when a process
// dies, however it dies. Byte 0: held by the owner while it lives. Byte 1 + n: shared by those that copy to or from the
// memory of slot n; taken alone by the owner to revoke it.
#ifndef SLIPWAY_TABLE_H_
#define SLIPWAY_TABLE_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace sample {

inline constexpr uint32_t kSlots = 4096;

struct Slot {
  std::atomic<uint64_t> key;  // 0: free or revoked. Written last, read first; never the same twice
  uint64_t addr, length, access;
};
struct Shared {
  std::atomic<uint64_t> epoch;  // random, of this instance alone; 0: it takes no more requests
  Slot slots[kSlots];
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// The file and its mapping. Thread-safe.
class Table {
 public:
  static constexpr off_t kOwnerByte = 0;
  static constexpr off_t ByteOf(uint64_t slot) { return 1 + static_cast<off_t>(slot); }

  Table() = default;
  ~Table() {
    if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
    if (fd_ >= 0) close(fd_);
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // Both set errno when they fail.
  bool Create() {
    fd_ = memfd_create("slipway-sample-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint64_t epoch = 0;
    if (fd_ < 0 || ftruncate(fd_, sizeof(Shared)) != 0 || fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
        getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch) || !Map(PROT_READ | PROT_WRITE)) {
      return false;
    }
    shared_->epoch.store(epoch | 1, std::memory_order_release);
    return Lock(F_WRLCK, kOwnerByte, 1);
  }
  // A peer's. What `pid` and `fd` lead to is a stranger's: only a file of the right size that cannot shrink under the
  // mapping is taken.
  bool Open(uint64_t pid, uint64_t fd) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return false;
    errno = EBADF;
    if (!S_ISREG(info.st_mode) || info.st_size != sizeof(Shared)) return false;
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    return fd_ >= 0 && (fcntl(fd_, F_GET_SEALS) & F_SEAL_SHRINK) != 0 && Map(PROT_READ);
  }

  // Never waits. Locks of one table never exclude each other, those of different tables of the same file do.
  bool Lock(short type, off_t first, off_t count) const {
    struct flock lock {};
    lock.l_type = type;
    lock.l_start = first;
    lock.l_len = count;
    return fcntl(fd_, F_OFD_SETLK, &lock) == 0;
  }
  bool OwnerAlive() const {
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_start = kOwnerByte;
    lock.l_len = 1;
    return fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
  }

  Shared& operator*() const { return *shared_; }
  Shared* operator->() const { return shared_; }
  int fd() const { return fd_; }

 private:
  bool Map(int protection) {
    void* const at = mmap(nullptr, sizeof(Shared), protection, MAP_SHARED, fd_, 0);
    if (at != MAP_FAILED) shared_ = static_cast<Shared*>(at);
    return at != MAP_FAILED;
  }

  int fd_ = -1;
  Shared* shared_ = nullptr;
};

// ---- names that travel -----------------------------------------------------------------------------------------

struct Address {
  char magic[8] = "shmadr2";
  uint64_t pid = 0, fd = 0, epoch = 0;
  uint64_t shared_addr = 0;  // of the owner's mapping, where peers read the epoch to see that they reach the right one
};
struct Key {
  char magic[8] = "shmkey2";
  uint64_t epoch = 0, slot = 0, key = 0, length = 0, access = 0;
};

}  // namespace sample

#endif  // SLIPWAY_TABLE_H_

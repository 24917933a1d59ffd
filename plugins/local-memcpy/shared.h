// Memory that other processes can map: files without a name, whose length is sealed.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_SHARED_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_SHARED_H_

#include <cstdint>
#include <map>
#include <memory>

#include "plugins/local-memcpy/socket.h"
#include "slipway/sdk/error.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::local_memcpy {

// A mapping of a shared file; unmapped with the object.
class Mapping {
 public:
  Mapping() = default;
  // `bytes` of `fd` from its start, beginning at a multiple of `align`. Empty where the system refuses.
  Mapping(int fd, uint64_t bytes, bool writable, uint64_t align = 4096);
  Mapping(Mapping&& other) noexcept : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();
  char* data() const { return at_; }
  uint64_t size() const { return bytes_; }
  explicit operator bool() const { return at_ != nullptr; }

 private:
  char* at_ = nullptr;
  uint64_t bytes_ = 0;
};

// `bytes` zero bytes whose length nobody can change any more. Empty, with errno set, where the system refuses.
Fd NewSharedFile(const char* name, uint64_t bytes, bool reserved_huge_pages = false);
// From now on only mappings that exist already can write.
bool SealWriting(int fd);
// Whether a descriptor that a stranger sent is memory of at least `bytes` that cannot be cut short under a mapping.
bool IsSharedFile(int fd, uint64_t bytes);
// The same file for reading only. Empty without /proc.
Fd ReadOnly(int fd);

// A block of shared memory that the application was given.
struct SharedBlock {
  Fd file, reading;  // `reading` is empty where the system has no way to make one
  Mapping mapping;
  uint64_t id = 0;  // of this block in this process; never used again
};

// What one instance allocated. Thread-safe.
class SharedMemory {
 public:
  // 2 MiB aligned, zeroed. `hugetlb`: from the huge pages that the system keeps in reserve, where there are enough.
  slipway_status Allocate(uint64_t bytes, int32_t numa, bool hugetlb, void** out, sdk::Error& err)
      SLIPWAY_EXCLUDES(mutex_);
  slipway_status Release(void* memory) SLIPWAY_EXCLUDES(mutex_);
  // The block that all of the range lies in; NULL: in none.
  std::shared_ptr<const SharedBlock> Find(const void* addr, uint64_t length) const SLIPWAY_EXCLUDES(mutex_);
  uint64_t bytes() const SLIPWAY_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::map<const char*, std::shared_ptr<const SharedBlock>> blocks_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_SHARED_H_

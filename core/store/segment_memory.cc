#include "core/store/segment_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/bytes.h"

namespace slipway {
namespace {

constexpr uint64_t kLongest = uint64_t{1} << 57;

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

Status Failed(const std::string& path, const std::string& what) {
  return Status(SLIPWAY_E_IO, path + ": " + what + ": " + std::strerror(errno));
}

}  // namespace

SegmentMemory& SegmentMemory::operator=(SegmentMemory&& other) noexcept {
  if (this == &other) return *this;
  Release();
  file_ = std::exchange(other.file_, nullptr);
  give_back_ = std::exchange(other.give_back_, nullptr);
  owned_.reset();
  if (other.owned_) owned_.emplace(std::move(*other.owned_));
  base_ = std::exchange(other.base_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

SegmentMemory::~SegmentMemory() { Release(); }

void SegmentMemory::Release() {
  if (file_ != nullptr) munmap(file_, bytes_);
  if (give_back_) give_back_(base_);
}

Result<SegmentMemory> SegmentMemory::Map(uint64_t bytes) {
  if (bytes == 0 || bytes > kLongest) return Status(SLIPWAY_E_INVALID, "a segment's length is 1 byte to 128 PiB");
  Result<HugeMemory> mapped = HugeMemory::Create(bytes, -1);
  if (!mapped.ok()) {
    return Status(mapped.status().code(),
                  "the system has no " + FormatSize(bytes) + " of memory for a segment: " + std::strerror(errno));
  }
  SegmentMemory memory;
  memory.owned_.emplace(std::move(*mapped));
  memory.base_ = memory.owned_->base();
  memory.bytes_ = bytes;
  return memory;
}

Result<SegmentMemory> SegmentMemory::MapFile(const std::string& path, uint64_t bytes) {
  if (bytes > kLongest) return Status(SLIPWAY_E_INVALID, "a segment's length is 1 byte to 128 PiB");
  const File file(path);
  if (file.fd() < 0) return Failed(path, "cannot be opened for reading and writing");
  struct stat about {};
  if (fstat(file.fd(), &about) != 0) return Failed(path, "cannot be looked at");
  const auto found = static_cast<uint64_t>(about.st_size);
  if (bytes == 0) bytes = found;
  if (bytes == 0) return Status(SLIPWAY_E_INVALID, path + ": is empty, and no length is given for the segment");
  // Taken now: a full disk would otherwise be a SIGBUS at some later write.
  if (S_ISREG(about.st_mode) && found < bytes) {
    errno = posix_fallocate(file.fd(), 0, static_cast<off_t>(bytes));
    if (errno != 0) {
      const int why = errno;
      [[maybe_unused]] const int shortened = ftruncate(file.fd(), static_cast<off_t>(found));
      errno = why;
      return Failed(path, "cannot be made " + FormatSize(bytes) + " long");
    }
  }
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
  if (mapped == MAP_FAILED) return Failed(path, "cannot be mapped");
  SegmentMemory memory;
  memory.file_ = mapped;
  memory.bytes_ = bytes;
  memory.base_ = static_cast<char*>(mapped);
  return memory;
}

SegmentMemory SegmentMemory::Borrow(void* address, uint64_t bytes, std::function<void(void*)> give_back) {
  SegmentMemory memory;
  memory.base_ = static_cast<char*>(address);
  memory.bytes_ = bytes;
  memory.give_back_ = std::move(give_back);
  return memory;
}

}  // namespace slipway

#include "tools/conform/memory.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "tools/conform/failure.h"

namespace slipway::conform {
namespace {

constexpr unsigned char kCanary = 0xC9;

size_t RoundUp(size_t bytes) { return (bytes + PageBytes() - 1) / PageBytes() * PageBytes(); }

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
uint64_t PatternWord(uint64_t seed, uint64_t index) { return Mix(seed + (index + 1) * 0x9e3779b97f4a7c15); }

std::string Hex(const unsigned char* bytes, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += Format("%02x", bytes[i]);
  return out;
}

}  // namespace

size_t PageBytes() {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

GuardedBytes::GuardedBytes(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const size_t body = RoundUp(bytes);
  map_bytes_ = body + PageBytes();
  map_ = mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Require(map_ != MAP_FAILED, "the runner has no memory for %zu bytes", bytes);
  Require(mprotect(static_cast<char*>(map_) + body, PageBytes(), PROT_NONE) == 0, "the runner cannot guard a page");
  data_ = static_cast<char*>(map_) + body - bytes;
}
GuardedBytes::GuardedBytes(std::string_view text) : GuardedBytes(text.size()) {
  if (!text.empty()) std::memcpy(data_, text.data(), text.size());
}
GuardedBytes::~GuardedBytes() {
  if (map_ != nullptr) munmap(map_, map_bytes_);
}

Buffer::Buffer(size_t bytes, const MemoryFile* file) : file_(file), size_(bytes) {
  if (file_ == nullptr) {
    MapOwn();
  } else {
    // Room first: the mapping begins at a multiple of the unit, with nothing around it.
    constexpr size_t kUnit = MemoryFile::kUnit;
    const size_t body = (RoundUp(bytes) + 2 * PageBytes() + kUnit - 1) / kUnit * kUnit;
    map_bytes_ = body + 3 * kUnit;
    void* map = mmap(nullptr, map_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Require(map != MAP_FAILED, "the runner has no room for a buffer of %zu bytes", bytes);
    map_ = static_cast<char*>(map);
    char* const at = map_ + kUnit + (kUnit - reinterpret_cast<uintptr_t>(map_) % kUnit) % kUnit;
    data_ = at + PageBytes();
    MapFile(at);
  }
  PutCanaries();
}
Buffer::Buffer(size_t bytes, void* given)
    : file_(nullptr), size_(bytes), data_(static_cast<char*>(given) + PageBytes()) {
  PutCanaries();
}
Buffer::~Buffer() {
  if (map_ != nullptr) munmap(map_, map_bytes_);
  if (lock_fd_ >= 0) close(lock_fd_);
}

size_t Buffer::RoomFor(size_t bytes) { return RoundUp(bytes) + 2 * PageBytes(); }

void Buffer::PutCanaries() {
  std::memset(data_ - PageBytes(), kCanary, PageBytes());
  std::memset(data_ + size_, kCanary, CanaryEnd() - size_);
}

void Buffer::MapOwn() {
  const size_t page = PageBytes();
  map_bytes_ = RoundUp(size_) + 4 * page;
  void* map = mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Require(map != MAP_FAILED, "the runner has no memory for a buffer of %zu bytes", size_);
  map_ = static_cast<char*>(map);
  data_ = map_ + 2 * page;
  mprotect(map_, page, PROT_NONE);
  mprotect(map_ + map_bytes_ - page, page, PROT_NONE);
}

// The first bytes of the file that nobody has locked, at `at`.
void Buffer::MapFile(char* at) {
  const size_t body =
      (RoundUp(size_) + 2 * PageBytes() + MemoryFile::kUnit - 1) / MemoryFile::kUnit * MemoryFile::kUnit;
  const int fd = open(file_->path.c_str(), O_RDWR | O_CLOEXEC);
  Require(fd >= 0, "the profile's memory_file %s cannot be opened for reading and writing", file_->path.c_str());
  for (uint64_t offset = file_->offset;; offset += MemoryFile::kUnit) {
    Require(body <= file_->bytes && offset - file_->offset <= file_->bytes - body,
            "the profile's memory_file has no %zu bytes left: make it larger", body);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = static_cast<off_t>(offset);
    lock.l_len = static_cast<off_t>(body);
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) continue;
    void* const map = mmap(at, body, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset));
    Require(map == at, "the profile's memory_file %s cannot be mapped", file_->path.c_str());
    break;
  }
  if (lock_fd_ >= 0) close(lock_fd_);
  lock_fd_ = fd;
}

size_t Buffer::CanaryEnd() const { return RoundUp(size_) + PageBytes(); }

std::string Buffer::Overrun() const {
  const auto bad = [](char c) { return static_cast<unsigned char>(c) != kCanary; };
  for (size_t i = 1; i <= PageBytes(); ++i) {
    if (bad(*(data_ - i))) return Format("the byte %zu before the buffer", i);
  }
  for (size_t i = size_; i < CanaryEnd(); ++i) {
    if (bad(data_[i])) return Format("the byte %zu after the end of the buffer", i - size_);
  }
  return {};
}

void Buffer::Remap() {
  const size_t bytes = RoundUp(size_);
  if (file_ != nullptr) {
    MapFile(data_ - PageBytes());
    PutCanaries();
    return;
  }
  if (map_ == nullptr) Skip("memory of the transport's own cannot be mapped anew by the runner");
  Require(munmap(data_, bytes) == 0, "the runner cannot unmap its own buffer");
  void* again = mmap(data_, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  Require(again == data_, "the runner cannot map a buffer at the same address again");
  std::memset(data_ + size_, kCanary, bytes - size_);
}

void FillPattern(void* out, size_t bytes, uint64_t seed, uint64_t offset) {
  char* at = static_cast<char*>(out);
  while (bytes > 0) {
    const uint64_t word = PatternWord(seed, offset / 8);
    const size_t skip = offset % 8;
    const size_t n = bytes < 8 - skip ? bytes : 8 - skip;
    std::memcpy(at, reinterpret_cast<const char*>(&word) + skip, n);
    at += n;
    offset += n;
    bytes -= n;
  }
}

size_t FirstDifference(const void* data, size_t bytes, uint64_t seed, uint64_t offset) {
  const char* at = static_cast<const char*>(data);
  for (size_t i = 0; i < bytes;) {
    char want[4096];
    const size_t n = bytes - i < sizeof(want) ? bytes - i : sizeof(want);
    FillPattern(want, n, seed, offset + i);
    if (std::memcmp(at + i, want, n) != 0) {
      for (size_t k = 0; k < n; ++k) {
        if (at[i + k] != want[k]) return i + k;
      }
    }
    i += n;
  }
  return bytes;
}

std::string Sha256Hex(const void* data, size_t bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int n = 0;
  Require(EVP_Digest(data, bytes, digest, &n, EVP_sha256(), nullptr) == 1, "the runner cannot hash");
  return Hex(digest, n);
}

std::string Sha256HexOfFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  EVP_DigestInit_ex(md, EVP_sha256(), nullptr);
  std::vector<char> block(1 << 16);
  ssize_t n;
  while ((n = read(fd, block.data(), block.size())) > 0) EVP_DigestUpdate(md, block.data(), static_cast<size_t>(n));
  close(fd);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestFinal_ex(md, digest, &length);
  EVP_MD_CTX_free(md);
  return n < 0 ? std::string() : Hex(digest, length);
}

uint64_t Random::Next() { return Mix(state_ += 0x9e3779b97f4a7c15); }

}  // namespace slipway::conform

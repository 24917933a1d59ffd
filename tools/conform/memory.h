// Memory that tells when it is overrun: guard pages that crash, and canaries that are looked at.
#ifndef SLIPWAY_TOOLS_CONFORM_MEMORY_H_
#define SLIPWAY_TOOLS_CONFORM_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace slipway::conform {

size_t PageBytes();

// Bytes whose last one is followed by a page that nobody may touch. [any] once made.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t bytes);
  explicit GuardedBytes(std::string_view text);
  ~GuardedBytes();
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void* map_ = nullptr;
  size_t map_bytes_ = 0, size_ = 0;
  char* data_ = nullptr;
};

// Where memory has to come from that peers can reach, for transports that reach no other: bytes of a file or a
// device-DAX node. Processes share them out by locking those that they use.
struct MemoryFile {
  std::string path;
  uint64_t offset = 0, bytes = 0;  // the part to take from; whole multiples of kUnit
  static constexpr uint64_t kUnit = uint64_t{2} << 20;
};

// Page-aligned memory with a canary zone of a page, then guard pages, on both sides. Of the process's own, or, where
// `file` says so, from there.
class Buffer {
 public:
  explicit Buffer(size_t bytes, const MemoryFile* file = nullptr);
  // In memory of somebody else's, RoomFor(bytes) of it and page-aligned, which outlives the buffer: no guard pages.
  Buffer(size_t bytes, void* given);
  static size_t RoomFor(size_t bytes);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  char* data() const { return data_; }
  size_t size() const { return size_; }
  // Where bytes outside of the buffer were changed, from the start of the buffer; empty when none were.
  std::string Overrun() const;
  // Replaces the pages of the data by fresh ones at the same address.
  void Remap();

 private:
  size_t CanaryEnd() const;
  void MapOwn();
  void MapFile(char* at);
  void PutCanaries();
  const MemoryFile* const file_;
  int lock_fd_ = -1;  // holds the bytes of the file
  char* map_ = nullptr;
  size_t map_bytes_ = 0, size_ = 0;
  char* data_ = nullptr;
};

// How the structs that a plugin is given are laid out in memory.
enum class Shape {
  kPlain,
  kOlder,  // of revision 1.0 exactly, followed by a guard page
  kNewer,  // 64 bytes longer, filled with 0xA5: of a core that is ahead of the plugin
};
inline constexpr size_t kNewerBytes = 64;
inline constexpr unsigned char kNewerFill = 0xA5;

// One struct of the given shape, zeroed, with its struct_size set where it has one.
template <typename T>
class Shaped {
 public:
  explicit Shaped(Shape shape) : shape_(shape), guarded_(shape == Shape::kPlain ? 0 : Bytes(shape)) {
    p_ = shape == Shape::kPlain ? &plain_ : reinterpret_cast<T*>(guarded_.data());
    if (shape == Shape::kNewer) std::memset(static_cast<void*>(p_), kNewerFill, Bytes(shape));
    std::memset(static_cast<void*>(p_), 0, sizeof(T));
    p_->struct_size = static_cast<uint32_t>(Bytes(shape));
  }
  Shaped(const Shaped&) = delete;
  Shaped& operator=(const Shaped&) = delete;
  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  // Whether what lies beyond the struct, as this runner knows it, is as it was.
  bool TailIntact() const {
    for (size_t i = sizeof(T); shape_ == Shape::kNewer && i < Bytes(shape_); ++i) {
      if (reinterpret_cast<const unsigned char*>(p_)[i] != kNewerFill) return false;
    }
    return true;
  }
  static size_t Bytes(Shape shape) { return sizeof(T) + (shape == Shape::kNewer ? kNewerBytes : 0); }

 private:
  const Shape shape_;
  T plain_{};
  const GuardedBytes guarded_;
  T* p_;
};

// ---- data -------------------------------------------------------------------------------------------------------

// The bytes that `seed` stands for, from the `offset`th of them: any part can be made on its own.
void FillPattern(void* out, size_t bytes, uint64_t seed, uint64_t offset = 0);
// The first byte that is not as FillPattern would have it; `bytes` when all are.
size_t FirstDifference(const void* data, size_t bytes, uint64_t seed, uint64_t offset = 0);
std::string Sha256Hex(const void* data, size_t bytes);
std::string Sha256HexOfFile(const std::string& path);  // "" when it cannot be read

// splitmix64 (Steele, Lea, Flood, 2014): small, seedable, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_MEMORY_H_

// Structs as a program of another revision hands them over: longer than this program knows, poisoned in the part that
// it does not know, and with nothing mapped behind.
#ifndef SLIPWAY_TESTS_ABI_BOXED_H_
#define SLIPWAY_TESTS_ABI_BOXED_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace slipway::abi {

inline constexpr unsigned char kPoison = 0xa5;

// Bytes whose end is the end of a page, behind which nothing may be touched.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t size) : size_(size) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = (size + page - 1) / page * page + page;
    map_ = static_cast<char*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (map_ == MAP_FAILED || mprotect(map_ + mapped_ - page, page, PROT_NONE) != 0) std::abort();
    data_ = map_ + mapped_ - page - size;
    std::memset(data_, kPoison, size);
  }
  ~GuardedBytes() { munmap(map_, mapped_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const size_t size_;
  size_t mapped_ = 0;
  char* map_ = nullptr;
  char* data_ = nullptr;
};

// One struct that begins with struct_size, `extra` bytes longer than a T.
template <typename T>
class Boxed {
 public:
  explicit Boxed(size_t extra, const T& value = {}) : bytes_(sizeof(T) + extra) {
    std::memcpy(bytes_.data(), &value, sizeof(T));
    get()->struct_size = static_cast<uint32_t>(sizeof(T) + extra);
  }
  T* get() { return reinterpret_cast<T*>(bytes_.data()); }
  T* operator->() { return get(); }
  // Whether what this program does not know is as it was.
  bool TailUntouched() const {
    for (size_t i = sizeof(T); i < bytes_.size(); ++i) {
      if (static_cast<unsigned char>(bytes_.data()[i]) != kPoison) return false;
    }
    return true;
  }

 private:
  GuardedBytes bytes_;
};

// Elements that lie `stride` bytes apart, as slices and completions do.
template <typename T>
class Spaced {
 public:
  Spaced(size_t count, size_t extra) : stride_(sizeof(T) + extra), bytes_(count * stride_) {}
  T* get() { return reinterpret_cast<T*>(bytes_.data()); }
  T& operator[](size_t i) { return *reinterpret_cast<T*>(bytes_.data() + i * stride_); }
  uint32_t stride() const { return static_cast<uint32_t>(stride_); }
  bool TailsUntouched() const {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      if (i % stride_ >= sizeof(T) && static_cast<unsigned char>(bytes_.data()[i]) != kPoison) return false;
    }
    return true;
  }

 private:
  const size_t stride_;
  GuardedBytes bytes_;
};

}  // namespace slipway::abi

#endif  // SLIPWAY_TESTS_ABI_BOXED_H_

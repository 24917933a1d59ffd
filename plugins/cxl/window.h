// One device, mapped whole: where memory lies that peers share.
#ifndef SLIPWAY_PLUGINS_CXL_WINDOW_H_
#define SLIPWAY_PLUGINS_CXL_WINDOW_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "plugins/cxl/device.h"
#include "slipway/sdk/host_copier.hpp"

namespace slipway::cxl {

// A lock on bytes of a device's file, which the kernel takes back when its holder dies. Whoever uses bytes of a device
// holds one on them; that is how processes of one host share a device out.
class ByteLock {
 public:
  ByteLock() = default;
  ~ByteLock() { Release(); }
  ByteLock(ByteLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  ByteLock& operator=(ByteLock&& other) noexcept;

  // Opens the file again, as locks of one open file never exclude each other. False, with errno, when it cannot be had.
  bool Take(const std::string& path, uint64_t offset, uint64_t bytes);
  void Release();
  bool held() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Immutable once it is open, but for failed(). Thread-safe.
class Window {
 public:
  Window() = default;
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  slipway_status Open(const WindowConfig& config, const Config& all, const std::string& pointer, sdk::Error& err);

  const Device& device() const { return device_; }
  const Identity& identity() const { return identity_; }
  char* base() const { return base_; }
  uint64_t bytes() const { return device_.bytes; }
  // The part that this instance may give to peers.
  uint64_t own_begin() const { return own_begin_; }
  uint64_t own_end() const { return own_end_; }

  // Where `address` lies in the device when it is within this mapping; false elsewhere.
  bool OffsetOf(const void* address, uint64_t* offset) const;
  bool Holds(const void* address) const {
    uint64_t ignored;
    return OffsetOf(address, &ignored);
  }
  // Whether another open file, of this host, holds a lock on any of the bytes.
  bool LockedByAnother(uint64_t offset, uint64_t bytes) const;
  // The first run of `bytes` free bytes from *offset on, aligned to `align`, in the own part; locks it. E_NOMEM when
  // there is none.
  slipway_status Allocate(uint64_t bytes, uint64_t align, uint64_t* offset, ByteLock& lock, sdk::Error& err) const;

  // The kinds of memory whose devices reach the window without the CPU from now on; once, after Open().
  uint64_t Pin(const sdk::Host& host) { return pinned_.Pin(host, base_, device_.bytes); }
  void Unpin() { pinned_.Unpin(); }

  // The memory is gone: nothing of it is touched any more.
  void Fail() { failed_.store(true, std::memory_order_release); }
  bool failed() const { return failed_.load(std::memory_order_acquire); }

 private:
  slipway_status Map(bool persistent, const std::string& pointer, sdk::Error& err);

  Device device_;
  Identity identity_{};
  int fd_ = -1;
  char* base_ = nullptr;
  uint64_t own_begin_ = 0, own_end_ = 0;
  std::atomic<bool> failed_{false};
  sdk::PinnedPages pinned_;
};

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_WINDOW_H_

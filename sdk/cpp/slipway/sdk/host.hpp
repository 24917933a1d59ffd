// The host table as an author wants to call it, and a cheap way to notice a fork.
#ifndef SLIPWAY_SDK_HOST_HPP_
#define SLIPWAY_SDK_HOST_HPP_

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "slipway/abi/host.h"

namespace slipway::sdk {

// A copyable reference to the core's table, which outlives the instance created with it. Thread-safe.
class Host {
 public:
  explicit Host(const slipway_host* table) : table_(table) {}

  // Whether `table` is one that this plugin can work with. Entries after `wake` are looked at one by one.
  static bool Usable(const slipway_host* table) {
    return table != nullptr && SLIPWAY_HAS(table, slipway_host, wake) && table->abi_major == 1;
  }

  bool LogEnabled(uint32_t level) const { return level <= table_->log_level(table_->ctx); }
  // Formats nothing: ask LogEnabled before putting an expensive message together.
  void Log(uint32_t level, std::string_view message) const {
    if (LogEnabled(level)) table_->log(table_->ctx, level, message.data(), message.size());
  }
  uint64_t NowNs() const { return table_->now_ns(table_->ctx); }
  // NULL when there is no memory. `numa` -1: anywhere.
  void* Alloc(size_t size, size_t align, int32_t numa = -1) const {
    return table_->alloc(table_->ctx, size, align, numa);
  }
  void Dealloc(void* p, size_t size) const { table_->dealloc(table_->ctx, p, size); }
  slipway_status PinCharge(uint64_t bytes) const { return table_->pin_charge(table_->ctx, bytes); }
  void PinUncharge(uint64_t bytes) const { table_->pin_uncharge(table_->ctx, bytes); }
  void Wake(void* channel_cookie) const { table_->wake(table_->ctx, channel_cookie); }
  const void* GetExtension(const char* id) const {
    if (!SLIPWAY_HAS(table_, slipway_host, get_extension) || table_->get_extension == nullptr) return nullptr;
    return table_->get_extension(table_->ctx, id);
  }
  const slipway_host* table() const { return table_; }

 private:
  const slipway_host* table_;
};

// Knows whether it is looked at in a child of the process that made it. A look costs one load: the kernel wipes the
// page it owns when the process forks. Where that is not to be had (before Linux 4.14) it costs a getpid().
class ForkGuard {
 public:
  ForkGuard() : pid_(getpid()) {
    const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
      munmap(page, size);
      return;
    }
    page_ = static_cast<volatile unsigned char*>(page);
    *page_ = 1;
  }
  ~ForkGuard() {
    if (page_ != nullptr) {
      munmap(const_cast<unsigned char*>(page_), static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    }
  }
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;

  bool forked() const { return page_ != nullptr ? *page_ == 0 : getpid() != pid_; }

 private:
  const pid_t pid_;
  volatile unsigned char* page_ = nullptr;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_HOST_HPP_

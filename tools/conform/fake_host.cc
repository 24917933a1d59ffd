#include "tools/conform/fake_host.h"

#include <chrono>
#include <cstdlib>

#include "slipway/abi/plugin.h"
#include "tools/conform/failure.h"
#include "tools/conform/usage.h"

namespace slipway::conform {

thread_local int FakeHost::InsideQuery::depth_ = 0;

struct FakeHost::Entries {
  static FakeHost& From(void* ctx, const char* entry) {
    FakeHost& host = *static_cast<FakeHost*>(ctx);
    host.Called(entry);
    return host;
  }
  static uint32_t LogLevel(void* ctx) {
    From(ctx, "log_level");
    return SLIPWAY_LOG_DEBUG;  // so that plugins format their messages
  }
  static void Log(void* ctx, uint32_t level, const char* message, size_t length) {
    FakeHost& host = From(ctx, "log");
    // Reads every byte that was passed, and no more.
    size_t zeros = 0;
    for (size_t i = 0; i < length; ++i) zeros += message[i] == '\0';
    std::lock_guard lock(host.mutex_);
    if (level > SLIPWAY_LOG_TRACE) host.violations_.push_back("log with a level that does not exist");
    if (zeros != 0) host.violations_.push_back("log with a NUL inside the message");
  }
  static uint64_t NowNs(void* ctx) { return MonotonicNs() + From(ctx, "now_ns").offset_ns_; }
  static void* Alloc(void* ctx, size_t size, size_t align, int32_t) {
    FakeHost& host = From(ctx, "alloc");
    void* p = nullptr;
    if (posix_memalign(&p, align < sizeof(void*) ? sizeof(void*) : align, size == 0 ? 1 : size) != 0) return nullptr;
    std::lock_guard lock(host.mutex_);
    host.allocations_[p] = size;
    return p;
  }
  static void Dealloc(void* ctx, void* p, size_t size) {
    FakeHost& host = From(ctx, "dealloc");
    if (p == nullptr) return;
    std::lock_guard lock(host.mutex_);
    const auto it = host.allocations_.find(p);
    if (it == host.allocations_.end()) {
      host.violations_.push_back("dealloc of memory that is not alloc's");
      return;
    }
    if (it->second != size) host.violations_.push_back("dealloc with another size than was asked for");
    host.allocations_.erase(it);
    std::free(p);
  }
  static slipway_status PinCharge(void* ctx, uint64_t bytes) {
    FakeHost& host = From(ctx, "pin_charge");
    uint64_t now = host.pinned_;
    do {
      if (bytes > host.pin_budget_ || now > host.pin_budget_ - bytes) return SLIPWAY_E_PIN_LIMIT;
    } while (!host.pinned_.compare_exchange_weak(now, now + bytes));
    return SLIPWAY_OK;
  }
  static void PinUncharge(void* ctx, uint64_t bytes) {
    FakeHost& host = From(ctx, "pin_uncharge");
    if (host.pinned_.fetch_sub(bytes) < bytes) {
      std::lock_guard lock(host.mutex_);
      host.violations_.push_back("pin_uncharge of more than was charged");
    }
  }
  static void Wake(void* ctx, void* cookie) {
    FakeHost& host = From(ctx, "wake");
    std::lock_guard lock(host.mutex_);
    ++host.wakes_[cookie];
    host.woken_.notify_all();
  }
  static const void* GetExtension(void* ctx, const char*) {
    From(ctx, "get_extension");
    return nullptr;
  }
};

FakeHost::FakeHost(Shape shape) : table_(shape) {
  slipway_host& t = *table_;
  t.abi_major = SLIPWAY_ABI_MAJOR;
  t.abi_minor = shape == Shape::kNewer ? SLIPWAY_ABI_MINOR + 1 : 0;
  t.ctx = this;
  t.name = "slipway-conform";
  t.version = "1.0";
  t.log_level = Entries::LogLevel;
  t.log = Entries::Log;
  t.now_ns = Entries::NowNs;
  t.alloc = Entries::Alloc;
  t.dealloc = Entries::Dealloc;
  t.pin_charge = Entries::PinCharge;
  t.pin_uncharge = Entries::PinUncharge;
  t.wake = Entries::Wake;
  t.get_extension = Entries::GetExtension;
}

void FakeHost::Called(const char* entry) {
  ++calls_;
  if (!destroyed_ && InsideQuery::depth_ == 0) return;
  std::lock_guard lock(mutex_);
  if (violations_.size() < 16) {
    violations_.push_back(std::string(entry) +
                          (destroyed_ ? " after destroy returned" : " from inside query_registered"));
  }
}

std::vector<std::string> FakeHost::Violations() const {
  std::lock_guard lock(mutex_);
  return violations_;
}
uint64_t FakeHost::live_allocations() const {
  std::lock_guard lock(mutex_);
  return allocations_.size();
}
uint64_t FakeHost::Wakes(void* cookie) const {
  std::lock_guard lock(mutex_);
  const auto it = wakes_.find(cookie);
  return it == wakes_.end() ? 0 : it->second;
}
bool FakeHost::WaitForWake(void* cookie, uint64_t seen, uint64_t timeout_ms) const {
  std::unique_lock lock(mutex_);
  return woken_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
    const auto it = wakes_.find(cookie);
    return it != wakes_.end() && it->second > seen;
  });
}

}  // namespace slipway::conform

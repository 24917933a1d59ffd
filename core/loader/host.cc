#include "core/loader/host.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/base/bytes.h"
#include "core/base/numa.h"
#include "core/base/version.h"
#include "slipway/abi/plugin.h"

namespace slipway {
namespace {

// A plugin's message is at most this long in the log.
constexpr size_t kLongestMessage = 4096;
// From here on memory comes in pages of its own, which can be placed; below, from the heap, wherever it is.
constexpr size_t kPagesFromBytes = 64 << 10;

HostServices& Services(void* ctx) { return *static_cast<HostServices*>(ctx); }

uint32_t HostLogLevel(void* ctx) { return static_cast<uint32_t>(Services(ctx).log_level()); }

void HostLog(void* ctx, uint32_t level, const char* message, size_t length) {
  if (message == nullptr || level > static_cast<uint32_t>(Services(ctx).log_level())) return;
  try {
    Services(ctx).Log(static_cast<LogLevel>(level), std::string_view(message, std::min(length, kLongestMessage)));
  } catch (...) {  // no memory for a message: the message is lost, the plugin must not notice
  }
}

uint64_t HostNow(void* ctx) { return Services(ctx).NowNs(); }
void* HostAlloc(void*, size_t size, size_t align, int32_t numa) { return AllocNear(size, align, numa); }
void HostDealloc(void*, void* p, size_t size) { FreeNear(p, size); }

slipway_status HostPinCharge(void* ctx, uint64_t bytes) {
  return Services(ctx).PinCharge(bytes) ? SLIPWAY_OK : SLIPWAY_E_PIN_LIMIT;
}
void HostPinUncharge(void* ctx, uint64_t bytes) { Services(ctx).PinUncharge(bytes); }
void HostWake(void* ctx, void* cookie) { Services(ctx).Wake(cookie); }

const void* HostExtension(void* ctx, const char* id) {
  return id == nullptr ? nullptr : Services(ctx).GetExtension(id);
}

size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

void* MapPages(size_t size, size_t align, int32_t numa) {
  const size_t page = PageSize();
  const size_t bytes = RoundUp(size, page);
  const size_t extra = align > page ? align - page : 0;
  if (bytes > std::numeric_limits<size_t>::max() - extra) return nullptr;
  void* const mapped = mmap(nullptr, bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(mapped);
  char* const aligned =
      begin + (RoundUp(reinterpret_cast<uintptr_t>(begin), std::max(align, page)) - reinterpret_cast<uintptr_t>(begin));
  if (aligned > begin) munmap(begin, static_cast<size_t>(aligned - begin));
  const size_t tail = static_cast<size_t>(begin + bytes + extra - (aligned + bytes));
  if (tail > 0) munmap(aligned + bytes, tail);
  PreferNumaNode(aligned, bytes, numa);
  return aligned;
}

}  // namespace

void BasicHostServices::Log(LogLevel level, std::string_view message) {
  logger_.Write(level, prefix_ + std::string(message));
}

HostTable::HostTable(HostServices& services)
    : table_{.struct_size = sizeof(slipway_host),
             .abi_major = SLIPWAY_ABI_MAJOR,
             .abi_minor = SLIPWAY_ABI_MINOR,
             .ctx = &services,
             .name = "slipway",
             .version = CoreVersion(),
             .log_level = HostLogLevel,
             .log = HostLog,
             .now_ns = HostNow,
             .alloc = HostAlloc,
             .dealloc = HostDealloc,
             .pin_charge = HostPinCharge,
             .pin_uncharge = HostPinUncharge,
             .wake = HostWake,
             .get_extension = HostExtension} {}

void* AllocNear(size_t size, size_t align, int32_t numa) {
  constexpr size_t kLargest = std::numeric_limits<size_t>::max() / 4;
  if (size == 0 || size > kLargest || align > kLargest || !IsPowerOfTwo(align)) return nullptr;
  if (size >= kPagesFromBytes) return MapPages(size, align, numa);
  const size_t at_least = std::max(align, alignof(std::max_align_t));
  void* const p = std::aligned_alloc(at_least, RoundUp(size, at_least));
  if (p != nullptr) std::memset(p, 0, size);
  return p;
}

void FreeNear(void* p, size_t size) {
  if (p == nullptr) return;
  if (size >= kPagesFromBytes) {
    munmap(p, RoundUp(size, PageSize()));
  } else {
    std::free(p);
  }
}

}  // namespace slipway

#include "core/store/segment.h"

#include <algorithm>
#include <chrono>

#include "core/base/clock.h"
#include "slipway/abi/memory.h"

namespace slipway {
namespace {

constexpr uint64_t kOpenTimeoutNs = 5'000'000'000;
constexpr uint64_t kUndoTimeoutNs = 1'000'000'000;

}  // namespace

std::string PublishedName(const std::string& segment) { return "store/" + segment; }

StoreSegment::StoreSegment(uint32_t id, std::string name, SegmentMemory memory, DataPlane& plane)
    : id_(id), name_(std::move(name)), plane_(plane), memory_(std::move(memory)), allocator_(memory_.bytes()) {}

StoreSegment::~StoreSegment() {
  if (declared_ || published_) memory_.Leak();
}

Result<std::shared_ptr<StoreSegment>> StoreSegment::Mount(uint32_t id, const std::string& name, SegmentMemory memory,
                                                          DataPlane& plane) {
  std::shared_ptr<StoreSegment> segment(new StoreSegment(id, name, std::move(memory), plane));
  Status status = segment->BringUp();
  if (status.ok()) return segment;
  const Status undone = segment->TearDown(kUndoTimeoutNs);
  std::string message = "segment \"" + name + "\": " + status.message();
  if (!undone.ok()) message += "; and what had been done could not be undone: " + undone.message();
  return Status(status.code(), std::move(message));
}

Status StoreSegment::BringUp() {
  kind_ = plane_.KindOf(memory_.base(), memory_.bytes());
  if (!plane_.has_transports()) {
    if (kind_ == SLIPWAY_MEM_HOST) return {};
    return Status(SLIPWAY_E_NO_ROUTE, "is not host memory, and no transport is configured that could reach it");
  }
  SLIPWAY_RETURN_IF_ERROR(plane_.Declare(memory_.base(), memory_.bytes()));
  declared_ = true;
  SLIPWAY_RETURN_IF_ERROR(plane_.Publish(PublishedName(name_), memory_.base(), memory_.bytes()));
  published_ = true;
  Result<std::unique_ptr<OpenSegment>> opened = plane_.Open("/" + PublishedName(name_), kOpenTimeoutNs);
  if (!opened.ok()) return opened.status();
  open_ = std::move(*opened);
  return {};
}

Status StoreSegment::TearDown(uint64_t timeout_ns) {
  open_.reset();
  if (published_) {
    Status status = plane_.Withdraw(PublishedName(name_));
    if (!status.ok()) return status;
    published_ = false;
  }
  if (declared_) {
    Status status = plane_.Undeclare(memory_.base(), memory_.bytes(), timeout_ns);
    if (!status.ok()) return status;
    declared_ = false;
  }
  return {};
}

std::optional<Allocator::Range> StoreSegment::Allocate(uint64_t bytes) {
  MutexLock lock(mutex_);
  if (closing_) return std::nullopt;
  return allocator_.Allocate(bytes);
}

void StoreSegment::Free(uint32_t block) {
  MutexLock lock(mutex_);
  allocator_.Free(block);
  if (closing_ && allocator_.used_bytes() == 0) freed_.NotifyAll();
}

void StoreSegment::SetClosing(bool closing) {
  MutexLock lock(mutex_);
  closing_ = closing;
}

bool StoreSegment::WaitEmpty(uint64_t timeout_ns) {
  const uint64_t until_ns = DeadlineAfter(SystemClock().NowNs(), timeout_ns);
  MutexLock lock(mutex_);
  while (allocator_.used_bytes() > 0) {
    const uint64_t now_ns = SystemClock().NowNs();
    if (now_ns >= until_ns) return false;
    constexpr uint64_t kLongestNs = 1'000'000'000;  // what the library can add to its own clock
    freed_.WaitFor(mutex_, std::chrono::nanoseconds(std::min(until_ns - now_ns, kLongestNs)));
  }
  return true;
}

StoreSegment::Space StoreSegment::space() const {
  MutexLock lock(mutex_);
  return {allocator_.total_bytes(), allocator_.used_bytes(), allocator_.LargestFreeBytes(), closing_};
}

uint64_t StoreSegment::LargestFreeBytesWithout(std::span<const uint32_t> blocks) const {
  MutexLock lock(mutex_);
  return closing_ ? 0 : allocator_.LargestFreeBytesWithout(blocks);
}

}  // namespace slipway

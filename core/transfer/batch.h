// A batch and its requests, as the dispatcher tracks them.
#ifndef SLIPWAY_CORE_TRANSFER_BATCH_H_
#define SLIPWAY_CORE_TRANSFER_BATCH_H_

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <forward_list>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <type_traits>

#include "core/base/clock.h"
#include "core/memory/staging_pool.h"
#include "core/transfer/slicer.h"
#include "slipway/abi/transport.h"
#include "slipway/sdk/mutex.hpp"
#include "slipway/status.hpp"

namespace slipway {

class Dispatcher;
class RemoteSegment;
struct BatchState;
struct Link;
struct RequestState;

// What is still to be cut of (a part of) a request, waiting on a link. Every request begins with one; a slice that
// failed becomes another, for the next transport.
struct WorkItem {
  RequestState* request = nullptr;
  SliceCursor cursor;
  uint32_t tried = 0;  // bit i: transport i has been tried for these bytes
  uint8_t transport = 0;
  uint64_t pin_deadline_ns = 0;  // until when its next slice waits to be pinned; 0: it has not waited
  WorkItem* next = nullptr;
};

// First in, first out, through WorkItem::next.
struct WorkQueue {
  WorkItem* first = nullptr;
  WorkItem* last = nullptr;

  bool empty() const { return first == nullptr; }
  void PushBack(WorkItem* item) {
    item->next = nullptr;
    (first == nullptr ? first : last->next) = item;
    last = item;
  }
  void PushFront(WorkItem* item) {
    item->next = first;
    first = item;
    if (last == nullptr) last = item;
  }
  WorkItem* PopFront() {
    WorkItem* item = first;
    first = item->next;
    if (first == nullptr) last = nullptr;
    return item;
  }
};

// One request. Guarded by the dispatcher's lock until its batch is complete, constant from then on. Trivial, so that
// the many of a long batch cost no more than their bytes.
struct RequestState {
  static constexpr uint8_t kNoTransport = 0xff, kMixed = 0xfe;
  static constexpr uint32_t kFollows = UINT32_MAX;

  BatchState* batch = nullptr;
  RemoteSegment* segment = nullptr;
  uint64_t local_address = 0, length = 0, offset = 0;
  uint64_t local_kind = 0;
  uint64_t bytes_done = 0;                      // of one that leads: of all that go with it, until they are complete
  const std::string* message = nullptr;         // the batch's
  WorkItem* first_item = nullptr;               // until all of it is cut; null where it is never cut
  slipway_status status = SLIPWAY_IN_PROGRESS;  // of the request, once nothing is outstanding
  slipway_status failure = SLIPWAY_OK;          // the first that cannot be mended; nothing new is started then
  uint32_t outstanding = 0;                     // work items, open slices, and a direct copy
  uint32_t slices = 0, staged_slices = 0, retries = 0;
  uint8_t op = 0;  // SLIPWAY_OP_*
  bool bulk = false;
  uint8_t transport = kNoTransport;  // that moved its bytes
  bool copying = false;              // a memory provider has it, with no slice in between
  uint32_t run = 0;                  // how many after it go with it, as one; kFollows: it goes with one before it

  // Of those that go as one: the end, seen from the one that leads. Of any other: the next.
  RequestState* RunEnd() { return this + 1 + (run == kFollows ? 0 : run); }
  uint32_t Access() const;  // of the local side: SLIPWAY_ACCESS_LOCAL_*
  bool Overlaps(uint64_t begin, uint64_t bytes) const {
    return length > 0 && local_address < begin + bytes && begin < local_address + length;
  }
};

// Memory for the requests of one long batch, kept for the next: what the system gives anew has to be zeroed by it
// first. Thread-safe.
class SpareRequests {
 public:
  static constexpr size_t kRoomMax = 1 << 17;  // more is not kept

  struct Block {
    size_t room = 0;
    RequestState* first() { return reinterpret_cast<RequestState*>(this + 1); }
  };
  ~SpareRequests() { std::free(spare_.load()); }
  Block* Take(size_t room) {
    Block* block = spare_.exchange(nullptr, std::memory_order_acquire);
    if (block != nullptr && block->room >= room) return block;
    std::free(block);
    static_assert(sizeof(Block) % alignof(RequestState) == 0 && alignof(RequestState) <= alignof(std::max_align_t));
    block = Allocate(sizeof(Block) + room * sizeof(RequestState));
    if (block == nullptr) throw std::bad_alloc();
    block->room = room;
    return block;
  }
  void Give(Block* block) {
    Block* none = nullptr;
    if (block->room <= kRoomMax && spare_.compare_exchange_strong(none, block, std::memory_order_release)) return;
    std::free(block);
  }

 private:
  // In huge pages where it is long: to find a small one takes, on a virtual machine, as long as some requests do.
  static Block* Allocate(size_t bytes) {
    constexpr size_t kHugePage = size_t{2} << 20;
    if (bytes < kHugePage) return static_cast<Block*>(std::malloc(bytes));
    const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* const memory = std::aligned_alloc(kHugePage, rounded);
    if (memory != nullptr) madvise(memory, rounded, MADV_HUGEPAGE);  // as well without
    return static_cast<Block*>(memory);
  }

  std::atomic<Block*> spare_{nullptr};
};

// The requests of one batch. They are added one by one while it is submitted; there are as many as have been added.
class RequestList {
 public:
  // `spare`, where there is one, outlives the list.
  explicit RequestList(size_t room, SpareRequests* spare = nullptr)
      : spare_(spare),
        block_(room <= 1 ? nullptr : Allocate(room)),
        first_(block_ == nullptr ? &one_ : block_->first()) {}
  ~RequestList() {
    static_assert(std::is_trivially_destructible_v<RequestState>);
    if (block_ == nullptr) return;
    spare_ != nullptr ? spare_->Give(block_) : std::free(block_);
  }
  RequestList(const RequestList&) = delete;
  RequestList& operator=(const RequestList&) = delete;

  RequestState* Add() { return std::construct_at(first_ + size_++); }
  size_t size() const { return size_; }
  RequestState& operator[](size_t i) { return first_[i]; }
  const RequestState& operator[](size_t i) const { return first_[i]; }
  RequestState* begin() { return first_; }
  RequestState* end() { return first_ + size_; }
  const RequestState* begin() const { return first_; }
  const RequestState* end() const { return first_ + size_; }

 private:
  SpareRequests::Block* Allocate(size_t room) const {
    return spare_ != nullptr ? spare_->Take(room) : SpareRequests().Take(room);
  }

  SpareRequests* const spare_;
  SpareRequests::Block* const block_;
  RequestState one_;  // so that a request alone needs no memory of its own
  RequestState* const first_;
  size_t size_ = 0;
};

// A transport's name as results tell it: cut short where it is too long, and terminated.
using TransportLabel = std::array<char, 36>;

// Requests submitted together.
struct BatchState {
  explicit BatchState(size_t count, SpareRequests* spare = nullptr) : requests(count, spare), remaining(count) {}

  Dispatcher* dispatcher = nullptr;  // null: of one request that was complete at once, and needs none any more
  std::shared_ptr<void> owner;       // of the dispatcher, where batches may outlive the application's hold on it
  RequestList requests;
  std::forward_list<std::string> messages;  // of requests that failed
  size_t remaining = 0;                     // requests that are not complete, or not added yet
  uint64_t submitted_ns = 0;
  uint64_t deadline_ns = kNoDeadline;
  uint64_t stuck_ns = kNoDeadline;        // once cut short: when a transport that has not completed counts as stuck
  slipway_status cut_short = SLIPWAY_OK;  // why it was
  bool canceled = false, expired = false;
  bool bulk = false;       // some request of it is
  bool lengthy = false;    // some request of it takes longer to move than a thread to wake
  bool behind = false;     // others were in flight when it came
  bool failed = false;     // some request of it has
  bool inflight = false;   // it is on the dispatcher's list
  bool relied_on = false;  // and somebody who does not look is to be told of its end
  bool at_once = false;    // it was complete before anybody but its submitter knew of it
  std::function<void(BatchState*)> on_complete;

  // Staging: what the batch holds, and the block its next pieces are cut from.
  StagingBlock* block = nullptr;
  uint64_t staging_held_bytes = 0;
  uint64_t staging_needed_bytes = 0;  // estimate of what is still to be staged
  bool staging_estimated = false;
  bool staging_granted = false;  // the block was given to one who waited, and nothing has been cut from it yet
  WorkQueue share_queue;         // wait for a block of this batch to be free, since it holds its share of the pool

  // While its callback runs: which thread that is, and where to note that it released the batch.
  std::thread::id callback_thread;
  bool* released_by_callback = nullptr;

  int event_fd = -1;
  TransportLabel served_by{};  // where there is no dispatcher to ask
  uint32_t waiters = 0;
  CondVar completed;
  std::atomic<bool> done{false};
  slipway_status status = SLIPWAY_IN_PROGRESS;  // when done: OK, or of the first request that failed

  BatchState* prev_inflight = nullptr;
  BatchState* next_inflight = nullptr;
  BatchState* next_completed = nullptr;
};

int MakeEventFd(BatchState* batch);  // the batch's own; one call at a time

inline uint32_t RequestState::Access() const {
  return op == SLIPWAY_OP_WRITE ? SLIPWAY_ACCESS_LOCAL_READ : SLIPWAY_ACCESS_LOCAL_WRITE;
}

}  // namespace slipway

#endif  // SLIPWAY_CORE_TRANSFER_BATCH_H_

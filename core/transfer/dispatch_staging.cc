// The dispatcher's part about staging: who gets which piece of the pool, and who waits for one.
#include <algorithm>
#include <utility>

#include "core/base/bytes.h"
#include "core/transfer/dispatcher.h"

namespace slipway {

// A piece of the batch's block, or null where the batch must wait. Nobody overtakes those who wait for the pool; who
// has a block with room need not wait.
char* Dispatcher::CutStaging(BatchState* batch, uint64_t bytes, uint64_t align) {
  const bool has_room = batch->block != nullptr && pool_->RoomIn(*batch->block, align) >= bytes;
  if (!has_room && !staging_queue_.empty()) return nullptr;
  if (EnsureStaging(batch, bytes, align) != Staging::kOk) return nullptr;
  batch->staging_granted = false;
  return pool_->Cut(batch->block, bytes, align);
}

void Dispatcher::WaitForStaging(WorkItem* item, uint64_t bytes) {
  BatchState* batch = item->request->batch;
  CloseBlock(batch);  // too small for its next piece: whoever waits holds nothing that is of no use to it
  counters_.Add(Counter::kStagingWaits);
  if (OverShare(*batch, bytes)) {
    batch->share_queue.PushBack(item);
  } else {
    staging_queue_.PushBack(item);
    serve_staging_ = true;  // those before it may have failed, or room have come free, with nobody else to look
  }
}

bool Dispatcher::OverShare(const BatchState& batch, uint64_t bytes) const {
  return batch.staging_held_bytes > 0 && batch.staging_held_bytes + bytes > staging_share_bytes_;
}

// No more pieces are cut from the batch's block; it is free when the last of them comes back.
void Dispatcher::CloseBlock(BatchState* batch) {
  if (batch->block == nullptr) return;
  const uint64_t bytes = batch->block->bytes;
  if (pool_->Close(std::exchange(batch->block, nullptr))) BlockFreed(batch, bytes);
}

// Makes sure that the batch's block has room for `bytes`. All unregistered pieces of a batch share one block where they
// fit into the batch's share; a batch that is larger runs through many small ones, so that the first is free again
// before the last is needed.
Dispatcher::Staging Dispatcher::EnsureStaging(BatchState* batch, uint64_t bytes, uint64_t align) {
  if (batch->block != nullptr && pool_->RoomIn(*batch->block, align) >= bytes) return Staging::kOk;
  CloseBlock(batch);
  if (!std::exchange(batch->staging_estimated, true)) {
    batch->staging_needed_bytes = EstimateStaging(*batch, staging_share_bytes_);
  }
  if (OverShare(*batch, bytes)) return Staging::kWaitForShare;
  // Blocks begin at a granule; what demands more needs room to move.
  const uint64_t least = align <= StagingPool::kGranuleBytes ? bytes : bytes + align;
  const uint64_t needed = batch->staging_needed_bytes;
  StagingBlock* block = nullptr;
  if (needed > least && needed <= staging_share_bytes_) block = pool_->Allocate(needed);
  if (block == nullptr) block = pool_->Allocate(least);
  if (block == nullptr) {
    ReclaimIdleBlocks();
    block = pool_->Allocate(least);
  }
  if (block == nullptr) return Staging::kWaitForPool;
  batch->staging_needed_bytes = 0;
  batch->block = block;
  batch->staging_held_bytes += block->bytes;
  counters_.AddWithPeak(Counter::kStagingNowBytes, Counter::kStagingPeakBytes, block->bytes);
  return Staging::kOk;
}

// Takes back the blocks that batches keep open for later pieces, and that hold none now.
void Dispatcher::ReclaimIdleBlocks() {
  for (BatchState* b = inflight_; b != nullptr; b = b->next_inflight) {
    if (b->block != nullptr && b->block->pieces == 0 && !b->staging_granted) CloseBlock(b);
  }
}

// The bytes of the batch that have yet to be cut and will be staged, each piece rounded up; stops above `enough`.
uint64_t Dispatcher::EstimateStaging(const BatchState& batch, uint64_t enough) const {
  uint64_t total = 0;
  for (const RequestState& request : batch.requests) {
    if (request.status != SLIPWAY_IN_PROGRESS || request.first_item == nullptr) continue;
    const Lane& lane = lanes_[request.first_item->transport];
    const SliceLimits limits = LimitsFor(lane, request.local_kind);
    const uint64_t align = std::max<uint64_t>(StagingPool::kPieceAlign, limits.local_align);
    const PlainCoverage coverage(lane.source);
    SliceCursor cursor = request.first_item->cursor;
    while (cursor.remaining > 0) {
      Result<SliceCut> cut =
          NextSlice(cursor, limits, request.segment->routes[request.first_item->transport].pieces, coverage);
      if (!cut.ok()) break;
      if (cut->mode == SliceMode::kStaged) total += RoundUp(cut->length, align);
      if (total > enough) return total;
      cursor.Advance(cut->length);
    }
  }
  return total;
}

void Dispatcher::BlockFreed(BatchState* batch, uint64_t bytes) {
  batch->staging_held_bytes -= bytes;
  counters_.Sub(Counter::kStagingNowBytes, bytes);
  while (!batch->share_queue.empty()) staging_queue_.PushBack(batch->share_queue.PopFront());
  if (!staging_queue_.empty()) serve_staging_ = true;
}

// Lets those go on who wait for staging, first come first served, as far as the pool reaches.
void Dispatcher::ServeStagingQueue() {
  serve_staging_ = false;
  if (staging_queue_.empty()) return;
  // Before it is tried: what is given back from here on is told.
  pool_->Expect(this, true);
  while (!staging_queue_.empty()) {
    WorkItem* item = staging_queue_.first;
    RequestState* request = item->request;
    if (request->failure != SLIPWAY_OK) {
      DropItem(staging_queue_.PopFront());
      continue;
    }
    const uint64_t bytes = std::min(item->cursor.remaining, staging_options_.chunk_bytes);
    const uint64_t align = lanes_[item->transport].transport->attrs().local_align;
    const Staging got = EnsureStaging(request->batch, bytes, align);
    if (got == Staging::kWaitForPool) break;
    staging_queue_.PopFront();
    if (got == Staging::kWaitForShare) {
      request->batch->share_queue.PushBack(item);
      continue;
    }
    request->batch->staging_granted = true;
    Link* link = request->segment->routes[item->transport].link;
    (request->bulk ? link->bulk : link->small).PushFront(item);
    ListLink(link);
  }
  if (staging_queue_.empty()) pool_->Expect(this, false);
}

}  // namespace slipway

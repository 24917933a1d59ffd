// How pieces of a queue complete.
#include <algorithm>
#include <thread>
#include <utility>

#include "plugins/cuda/copiers.h"
#include "plugins/cuda/instance.h"
#include "plugins/cuda/queue.h"

namespace slipway::cuda {
namespace {

constexpr uint32_t kPausesPerLook = 32;  // a microsecond or two

}  // namespace

void CudaQueue::Done(Op& op) {
  op.next = nullptr;
  (done_last_ != nullptr ? done_last_->next : done_first_) = &op;
  done_last_ = &op;
  untold_ = true;
  any_done_.store(true);
  if (op.status != SLIPWAY_OK) Count(owner_.counters().failed);
}

void CudaQueue::Unref(Op& op, Result result) {
  if (result != kSuccess && op.status == SLIPWAY_OK) {
    op.status = Driver::StatusOf(result);
    op.native = result;
  }
  if (op.parts.load(std::memory_order_relaxed) == 1 || op.parts.fetch_sub(1, std::memory_order_acq_rel) == 1) Done(op);
}

// The flight is off its stream.
void CudaQueue::Land(Flight* flight, Landing& landing) {
  landing.any = true;
  if (Chunk* const chunk = flight->chunk) {
    for (Chunk* c = chunk; c != nullptr; c = c->with) c->result = flight->result;
    chunk->next = landing.first;
    landing.first = chunk;
    flight->lane->GiveFlight(flight);
    return;
  }
  if (flight->ahead) return flight->lane->GiveFlight(flight);
  flight->next = nullptr;
  (landed_last_ != nullptr ? landed_last_->next : landed_first_) = flight;
  landed_last_ = flight;
  untold_ = true;
  any_done_.store(true);
}

void CudaQueue::HarvestLocked(Landing& landing) {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    while (lane != nullptr && lane->front() != nullptr) {
      Flight* const flight = lane->front();
      const Result r = lane->Look(*flight);
      if (r == kErrorNotReady) break;
      if (r != kSuccess && flight->result == kSuccess) flight->result = r;
      if (flight->from_ahead && flight->result == kSuccess) flight->result = lane->ahead_result;
      if (flight->ahead) {
        ahead_flights_.fetch_sub(1);
        if (lane->ahead_result == kSuccess) lane->ahead_result = flight->result;
      }
      lane->PopFront();
      const bool chunk = flight->chunk != nullptr && !flight->chunk->caller_copies;
      flights_.fetch_sub(1);
      if (chunk) chunk_flights_.fetch_sub(1);
      owner_.copiers().Ended(chunk);
      Land(flight, landing);
    }
  }
}

void CudaQueue::HandOver(const Landing& landing, bool wake) {
  for (Chunk* chunk = landing.first; chunk != nullptr;) {
    Chunk* const next = chunk->next;
    owner_.copiers().Landed(*chunk, wake);
    chunk = next;
  }
}

bool CudaQueue::HarvestForOthers() {
  if (flights_.load() == 0) return false;
  // Who polls notices by itself, and sooner without company.
  const uint32_t polls = polls_.load(std::memory_order_relaxed);
  const bool polling = polls != polls_seen_.exchange(polls, std::memory_order_relaxed);
  if (polling && chunk_flights_.load() == 0) return false;
  Landing landing;
  {
    const ThreadGuard guard(driver_, owner_.home().context());
    if (!mutex_.TryLock()) return false;
    HarvestLocked(landing);
    mutex_.Unlock();
  }
  if (!landing.any) return false;
  Count(owner_.counters().harvested_by_threads);
  HandOver(landing, true);
  WakeIfDone();
  return true;
}

// Completions of whole pieces come straight from where the pieces are listed.
void CudaQueue::TellFlights(sdk::Completions& out) {
  while (!out.full() && telling_ != nullptr) {
    Flight& flight = *telling_;
    if (flight.op != nullptr) {
      telling_ = flight.next;
      MutexLock lock(mutex_);
      Unref(*flight.op, flight.result);
      flight.lane->GiveFlight(&flight);
      continue;
    }
    const slipway_status status = Driver::StatusOf(flight.result);
    if (status != SLIPWAY_OK && flight.told == 0) Count(owner_.counters().failed, flight.count);
    for (; flight.told < flight.count && !out.full(); ++flight.told) {
      const KernelPiece& piece = flight.pieces()[flight.told];
      if ((piece.flags & KernelPiece::kPart) == 0) {
        out.Put(piece.mark, status, status == SLIPWAY_OK ? piece.bytes : 0, flight.result);
      } else {
        MutexLock lock(mutex_);
        Unref(*reinterpret_cast<Op*>(piece.mark), flight.result);
      }
    }
    if (flight.told < flight.count) return;
    telling_ = flight.next;
    GiveBack(*flight.lane, &flight);
  }
}

slipway_status CudaQueue::Poll(sdk::Completions& out) {
  polls_.fetch_add(1, std::memory_order_relaxed);
  Copiers& copiers = owner_.copiers();
  if (ready_ == nullptr && telling_ == nullptr && !any_done_.load()) {
    // While chunks fly, a thread looks at the streams: two would only be in each other's way.
    if (flights_.load() > 0 && (chunk_flights_.load() == 0 || !copiers.watching())) {
      Landing landing;
      {
        const ThreadGuard guard(driver_, owner_.home().context());
        BriefLock lock(mutex_);
        HarvestLocked(landing);
      }
      HandOver(landing, false);
      // Who issues chunks needs the lock, and the driver's, more than who looks whether one has landed.
      for (uint32_t i = 0; i < kPausesPerLook && !landing.any && chunk_flights_.load() > 0; ++i) Pause();
    }
    copiers.Help(*this);
  }
  // Again where the last flight or piece of something made it whole.
  do {
    if (any_done_.load() && ready_ == nullptr && telling_ == nullptr) {
      MutexLock lock(mutex_);
      telling_ = std::exchange(landed_first_, nullptr);
      ready_ = std::exchange(done_first_, nullptr);
      landed_last_ = nullptr;
      done_last_ = nullptr;
      untold_ = false;
      any_done_.store(false);
    }
    TellFlights(out);
    TellOps(out);
  } while (!out.full() && any_done_.load());
  return SLIPWAY_OK;
}

void CudaQueue::TellOps(sdk::Completions& out) {
  while (!out.full() && ready_ != nullptr) {
    Op* const op = ready_;
    ready_ = op->next;
    if (op->whole != nullptr) {
      MutexLock lock(mutex_);
      Spoil(*op->whole, op->status, op->native);
      Unref(*op->whole, kSuccess);
    } else {
      out.Put(op->token, op->status, op->status == SLIPWAY_OK ? op->length : 0, op->native);
    }
    GiveOp(op);
  }
}

void CudaQueue::WakeIfDone() {
  {
    MutexLock lock(mutex_);
    if (!untold_) return;
    untold_ = false;
  }
  owner_.host().Wake(cookie_);
}

// ---- unpinning ---------------------------------------------------------------------------------------------------

void CudaQueue::AwaitSubmission() const {
  const uint64_t now = submissions_.load();
  while (now % 2 != 0 && submissions_.load() == now) std::this_thread::yield();  // it takes microseconds
}

bool CudaQueue::Uses(DeviceAddress begin, DeviceAddress end) {
  const auto overlaps = [&](DeviceAddress at, uint64_t bytes) { return at < end && begin < at + bytes; };
  const ThreadGuard guard(driver_, owner_.home().context());
  MutexLock lock(mutex_);
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    for (Flight* f = lane == nullptr ? nullptr : lane->front(); f != nullptr; f = f->next) {
      if (f->chunk != nullptr) continue;  // that is the ring's memory
      bool touches = false;
      if (f->equal_bytes != 0) {
        const EqualPiece* const pieces = f->block->equal();
        touches = std::any_of(pieces, pieces + f->count, [&](const EqualPiece& p) {
          return overlaps(p.dst, f->equal_bytes) || overlaps(p.src, f->equal_bytes);
        });
      } else {
        const KernelPiece* const pieces = f->pieces();
        touches = std::any_of(pieces, pieces + f->count, [&](const KernelPiece& p) {
          return overlaps(p.dst, p.bytes) || overlaps(p.src, p.bytes);
        });
      }
      if (touches && driver_.EventQuery(f->event) == kErrorNotReady) return true;
    }
  }
  return false;
}

// ---- flights -----------------------------------------------------------------------------------------------------

Flight* CudaQueue::TakeFlight(Lane& lane) {
  BriefLock lock(mutex_);
  return lane.TakeFlight(true);
}
void CudaQueue::GiveBack(Lane& lane, Flight* flight) {
  BriefLock lock(mutex_);
  lane.GiveFlight(flight);
}
void CudaQueue::Push(Lane& lane, Flight* flight) {
  const bool chunk = flight->chunk != nullptr && !flight->chunk->caller_copies;
  BriefLock lock(mutex_);
  lane.Push(flight);
  flights_.fetch_add(1);
  if (chunk) chunk_flights_.fetch_add(1);
}

void CudaQueue::PartsDone(const Chunk& chunk) {
  BriefLock lock(mutex_);
  for (uint32_t i = 0; i < chunk.part_count; ++i) Unref(*chunk.parts[i].op, chunk.result);
}
void CudaQueue::PlainDone(Op& op, Result result) {
  MutexLock lock(mutex_);
  Unref(op, result);
}

}  // namespace slipway::cuda

// What the copiers' threads do.
#include "plugins/cuda/copiers.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>

#include "plugins/cuda/host_copy.h"
#include "plugins/cuda/queue.h"

namespace slipway::cuda {
namespace {

using std::chrono::microseconds;

// A thread without work spins so often before it sleeps, some hundred microseconds, while chunks are in use.
constexpr uint32_t kSpins = 6000;
constexpr uint32_t kSpinsPerLook = 32;
// How often streams are looked at while nobody polls, and how long after the last flight.
constexpr microseconds kLookFirst{20}, kLookLast{200}, kLinger{1000};

}  // namespace

void Copiers::Start() {
  {
    BriefLock lock(mutex_);
    for (Chunk& c : ring_.chunks()) {
      c.next = free_;
      free_ = &c;
    }
  }
  // The application's signals are not for these threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    threads_.reserve(config_.copy_threads);
    for (uint32_t i = 0; i < config_.copy_threads; ++i) {
      threads_.emplace_back(i < kThreadsDown ? &Copiers::Run : &Copiers::RunUp, this);
    }
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool Copiers::Drain(uint64_t timeout_ns) {
  constexpr microseconds kStep{100};
  const auto steps = timeout_ns / 1000 / static_cast<uint64_t>(kStep.count());
  for (uint64_t i = 0;; ++i) {
    HarvestQueues();
    {
      BriefLock lock(mutex_);
      if (flights_.load() == 0 && busy_.load() == 0 && waiting_first_ == nullptr) return true;
    }
    if (i >= steps) return false;
    std::this_thread::sleep_for(kStep);
  }
}

void Copiers::Stop() {
  stopping_.store(true);
  Wake(UINT32_MAX, true);
  for (std::thread& t : threads_) t.join();
  threads_.clear();
}

void Copiers::Run() {
  pthread_setname_np(pthread_self(), "slipway-cuda");
  prctl(PR_SET_TIMERSLACK, 1000);  // or short waits take 50 microseconds longer
  bool spun = false;
  for (;;) {
    const uint32_t ticket = sleepers_.Ticket();
    if (stopping_.load()) return;
    if (CopyOne(false)) {
      spun = false;
    } else if (CopyOnePlain()) {
      continue;
    } else if (flights_.load() > 0 && !watching_.exchange(true)) {
      Watch();
      // Who starts a flight after this sees that nobody watches; who did before is seen here, or in the next round.
      watching_.store(false);
      if (flights_.load() > 0) sleepers_.Wake(1);
    } else if (!spun && busy_.load() > 0) {
      SpinForWork();
      spun = true;
    } else {
      sleepers_.Sleep(ticket, nullptr);
      spun = false;
    }
  }
}

void Copiers::RunUp() {
  pthread_setname_np(pthread_self(), "slipway-cuda");
  for (;;) {
    const uint32_t ticket = sleepers_up_.Ticket();
    if (stopping_.load()) return;
    if (CopyOne(true)) {
      SpinForUp();
    } else {
      sleepers_up_.Sleep(ticket, nullptr);
    }
  }
}

// Waking a thread takes longer than a chunk does to land.
void Copiers::SpinForWork() const {
  for (uint32_t i = 0; i < kSpins && ready_portions_.load() == 0 && chunk_flights_.load() > 0 && watching_.load();
       ++i) {
    Pause();
  }
}

void Copiers::SpinForUp() const {
  for (uint32_t i = 0; i < kSpins && ready_up_.load() == 0 && busy_up_.load() > 0; ++i) Pause();
}

void Copiers::Watch() {
  microseconds quiet{0};
  uint32_t spins = 0;
  for (;;) {
    const bool landed = HarvestQueues();
    if (ready_portions_.load() > 0) return;
    if (landed) {
      quiet = microseconds{0};
      spins = 0;
    } else if (chunk_flights_.load() > 0 && spins < kSpins) {
      for (uint32_t i = 0; i < kSpinsPerLook; ++i) Pause();
      spins += kSpinsPerLook;
    } else {
      const bool idle = flights_.load() == 0;
      if (idle && quiet >= kLinger) return;
      // The longer a flight takes, the less a little more matters.
      const microseconds pause = std::min(kLookFirst + quiet / 256, kLookLast);
      const uint32_t ticket = sleepers_.Ticket();
      if (stopping_.load() || ready_portions_.load() > 0 || PlainWaits()) return;
      sleepers_.Sleep(ticket, &pause);
      quiet += pause;
    }
  }
}

bool Copiers::HarvestQueues() {
  bool landed = false;
  for (size_t i = 0;; ++i) {
    CudaQueue* queue = nullptr;
    {
      BriefLock lock(mutex_);
      if (i >= queues_.size()) return landed;
      queue = queues_[i];
      queue->Enter();
    }
    landed = queue->HarvestForOthers() || landed;
    queue->Leave();
  }
}

bool Copiers::CopyOne(bool up_only) {
  if ((up_only ? ready_up_ : ready_portions_).load() == 0) return false;
  Chunk* chunk = nullptr;
  uint32_t portion = 0;
  {
    BriefLock lock(mutex_);
    // One that goes up, behind another that goes down, is left to the other threads.
    if (up_only && (ready_first_ == nullptr || ready_first_->lane->direction() != Direction::kUp)) return false;
    chunk = Claim(portion);
  }
  if (chunk == nullptr) return false;
  CopyPortion(*chunk, portion);
  PortionDone(*chunk, true);
  return true;
}

Chunk* Copiers::Claim(uint32_t& portion) {
  Chunk* const chunk = ready_first_;
  if (chunk == nullptr) return nullptr;
  portion = chunk->next_portion++;
  ready_portions_.fetch_sub(1);
  if (chunk->lane->direction() == Direction::kUp) ready_up_.fetch_sub(1);
  if (chunk->next_portion == chunk->portions) {
    ready_first_ = chunk->next;
    if (ready_first_ == nullptr) ready_last_ = nullptr;
  }
  return chunk;
}

// The parts that lie in the portion, or as far as they do.
void Copiers::CopyPortion(const Chunk& chunk, uint32_t portion) const {
  const uint64_t begin = portion * chunk.portion_bytes;
  const uint64_t end = std::min(begin + chunk.portion_bytes, chunk.bytes);
  const bool down = chunk.lane->direction() == Direction::kDown;
  const Part* const parts = chunk.parts.get();
  const Part* part = std::partition_point(parts, parts + chunk.part_count,
                                          [&](const Part& p) { return uint64_t{p.at} + p.bytes <= begin; });
  for (; part != parts + chunk.part_count && part->at < end; ++part) {
    const uint64_t from = std::max<uint64_t>(begin, part->at);
    const uint64_t to = std::min<uint64_t>(end, uint64_t{part->at} + part->bytes);
    char* const host = part->host + (from - part->at);
    char* const slot = chunk.memory + from;
    if (down) {
      CopyFromRing(host, slot, to - from);
    } else {
      CopyToRing(slot, host, to - from, chunk.streaming);
    }
  }
}

void Copiers::PortionDone(Chunk& chunk, bool wake) {
  Lane& lane = *chunk.lane;
  CudaQueue& queue = lane.queue();
  const bool up = lane.direction() == Direction::kUp;
  {
    BriefLock lock(mutex_);
    if (--chunk.portions_left > 0) return;
    if (up) {
      queue.Enter();
      AddFilled(chunk);
    }
  }
  if (up) {
    // The next are filled while this one flies, rather than when it has landed, as far as the ring goes.
    IssueFilled(lane, wake);
    queue.Leave();
    Pump(kPumpAfterChunk);
    return;
  }
  Finish(chunk, wake);
  Pump(kPumpAfterChunk);
}

bool Copiers::PlainWaits() {
  if (!ring_.chunks().empty()) return false;
  BriefLock lock(mutex_);
  return waiting_first_ != nullptr;
}

bool Copiers::CopyOnePlain() {
  if (!ring_.chunks().empty()) return false;
  Lane* lane = nullptr;
  Op* op = nullptr;
  {
    BriefLock lock(mutex_);
    op = ClaimPlain(lane);
  }
  if (op == nullptr) return false;
  CopyPlain(*lane, *op);
  return true;
}

Op* Copiers::ClaimPlain(Lane*& lane) {
  if (waiting_first_ == nullptr) return nullptr;
  lane = waiting_first_;
  waiting_first_ = lane->next_waiting;
  if (waiting_first_ == nullptr) waiting_last_ = nullptr;
  lane->listed = false;
  Op* const op = lane->waiting_first;
  if (op == nullptr) return nullptr;
  lane->waiting_first = op->next;
  if (lane->waiting_first == nullptr) lane->waiting_last = nullptr;
  List(*lane);
  busy_.fetch_add(1);
  return op;
}

void Copiers::CopyPlain(Lane& lane, Op& op) {
  CudaQueue& queue = lane.queue();
  queue.Enter();
  {
    const ThreadGuard guard(driver_, lane.context());
    const auto host = reinterpret_cast<uintptr_t>(op.host);
    const bool down = lane.direction() == Direction::kDown;
    Count(counters_.plain_bytes, op.left);
    Result r = driver_.MemcpyAsync(down ? host : op.device, down ? op.device : host, op.left, lane.streams()[0]);
    const Result done = driver_.StreamSynchronize(lane.streams()[0]);
    if (r == kSuccess) r = done;
    queue.PlainDone(op, r);
  }
  {
    BriefLock lock(mutex_);
    busy_.fetch_sub(1);
  }
  queue.WakeIfDone();
  queue.Leave();
}

}  // namespace slipway::cuda

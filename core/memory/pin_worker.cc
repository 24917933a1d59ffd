// The pin cache's part that may block: what its thread does. Pinning, making room, letting go.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/base/bytes.h"
#include "core/memory/huge_memory.h"
#include "core/memory/pin_cache.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr size_t kReapMax = 16;                       // extents that one look for the idle unpins
constexpr uint64_t kScanMax = 4096;                   // extents that one search for victims looks at
constexpr uint64_t kRetryNs = 1'000 * kNsPerMs;       // after a pin failed, before it is tried again
constexpr uint64_t kNoRoomNs = 10 * kNsPerMs;         // after there was no room
constexpr uint64_t kProbeFirstNs = 5'000 * kNsPerMs;  // after the system refused, before more is tried again
constexpr uint64_t kProbeMaxNs = 300'000 * kNsPerMs;
constexpr uint64_t kLongestSleepNs = 100 * kNsPerMs;
constexpr uint64_t kForgottenBytes = uint64_t{1} << 50;  // a learned cap that large is none
constexpr int kTriesAfterRefusal = 2;
constexpr uint32_t kLocal = SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE;

uint64_t PercentOf(uint64_t bytes, uint64_t percent) { return bytes / 100 * percent + bytes % 100 * percent / 100; }

bool RefusedForNow(const Status& status) {
  return status.code() == SLIPWAY_E_PIN_LIMIT || status.code() == SLIPWAY_E_NOMEM;
}

slipway_range RangeOf(const Extent& extent, uint32_t access, uint64_t mem_kind) {
  slipway_range range{};
  range.struct_size = sizeof range;
  range.access = access;
  range.addr = reinterpret_cast<void*>(extent.begin);
  range.length = extent.end - extent.begin;
  range.mem_kind = mem_kind;
  range.device_ordinal = -1;
  range.dmabuf_fd = -1;
  return range;
}

}  // namespace

void PinCache::Link(Extent* extent) {
  ++ring_size_;
  if (hand_ == nullptr) {
    hand_ = extent->older = extent->younger = extent;
    return;
  }
  // Behind the hand: the last that it comes to.
  extent->younger = hand_;
  extent->older = hand_->older;
  extent->older->younger = extent;
  hand_->older = extent;
}

void PinCache::Unlink(Extent* extent) {
  --ring_size_;
  if (hand_ == extent) hand_ = extent->younger == extent ? nullptr : extent->younger;
  extent->older->younger = extent->younger;
  extent->younger->older = extent->older;
  extent->older = extent->younger = nullptr;
}

std::vector<Extent*> PinCache::PickVictims(const Pick& pick, uint64_t now_ns, uint64_t* leased_bytes) {
  std::vector<Extent*> victims;
  uint64_t bytes = 0, leased = 0;
  // Twice around: what is passed over once is taken the second time.
  const uint64_t steps = std::min(ring_size_ * (pick.second_chance ? 2 : 1), kScanMax);
  Extent* at = hand_;
  for (uint64_t i = 0; i < steps && bytes < pick.bytes && victims.size() < pick.max_extents; ++i, at = at->younger) {
    const uint64_t word = at->word.load();
    const bool mine = pick.only_who == UINT32_MAX || pick.only_who == at->who;
    if (!mine || at->last_used_ns.load(std::memory_order_relaxed) >= pick.unused_since_ns) continue;
    if (!ExtentWord::Idle(word)) {
      if (i < ring_size_) leased += at->charged_bytes;
      continue;
    }
    if (now_ns < at->keep_until_ns || (word & ExtentWord::kClosing) != 0) continue;
    if (pick.second_chance && (word & ExtentWord::kUsed) != 0) {
      at->word.fetch_and(~ExtentWord::kUsed);
      continue;
    }
    if (std::find(victims.begin(), victims.end(), at) != victims.end()) break;
    victims.push_back(at);
    bytes += at->charged_bytes;
  }
  hand_ = at;
  // By size: what the last ones made superfluous is kept.
  std::erase_if(victims, [&](const Extent* e) {
    if (bytes - e->charged_bytes < pick.bytes) return false;
    bytes -= e->charged_bytes;
    return true;
  });
  std::vector<Extent*> taken;
  for (Extent* e : victims) {
    uint64_t word = e->word.load();
    // Leased meanwhile: it is in use, and stays.
    if (!ExtentWord::Idle(word)) continue;
    if (!e->word.compare_exchange_strong(word, ExtentWord::With(word, ExtentWord::kEvicting))) continue;
    Unlink(e);
    taken.push_back(e);
  }
  if (leased_bytes != nullptr) *leased_bytes = leased;
  return taken;
}

Status PinCache::Unpin(const std::vector<Extent*>& victims) {
  if (victims.empty()) return {};
  Status first;
  for (Extent* e : victims) {
    Client& client = *clients_[e->who];
    mutex_.Unlock();
    client.pinner.AwaitQuiet();
    Status status = client.pinner.Unpin(e->handle);
    mutex_.Lock();
    const uint64_t word = e->word.load();
    const uint64_t bytes = e->end - e->begin;
    if (status.code() == SLIPWAY_E_REGION_BUSY) {
      e->word.store(ExtentWord::With(word, ExtentWord::kPinned));
      Link(e);
      if (first.ok()) first = std::move(status);
      continue;
    }
    if (!status.ok()) {
      // The pages may still be pinned: the charge stays, and the extent is never pinned or leased again.
      counters_.Add(Counter::kDeregisterFailed);
      log_.Warning(client.traits.name + " could not unpin " + FormatSize(bytes) +
                   ", which stay charged: " + status.message());
      e->word.store(ExtentWord::With(word, ExtentWord::kStuck));
      ++client.stuck;
      client.stuck_why = status;
      if (first.ok() || first.code() == SLIPWAY_E_REGION_BUSY) first = std::move(status);
      continue;
    }
    counters_.Add(Counter::kDeregistrations);
    counters_.Add(Counter::kDeregisteredBytes, bytes);
    --client.pinned;
    client.pinned_bytes -= bytes;
    client.charged_bytes -= e->charged_bytes;
    budget_.Release(e->charged_bytes);
    // Its last use is remembered as a touch: who comes back soon finds it worth pinning again.
    e->copied_ns = e->last_used_ns.load(std::memory_order_relaxed);
    e->copied_end = bytes;
    e->copied_cost_ns = 0;
    e->handle = nullptr;
    e->word.store(ExtentWord::With(word, ExtentWord::kAbsent));
  }
  moved_.NotifyAll();
  return first;
}

// Gives back what a job did not pin, from its extent number `from` on; the budget has not been charged for these.
void PinCache::Refuse(Job& job, size_t from, ExtentWord::State state, uint64_t retry_ns) {
  for (size_t i = from; i < job.extents.size(); ++i) {
    Extent& e = *job.extents[i];
    e.retry_ns = retry_ns;
    e.word.store(ExtentWord::With(e.word.load(), state));
  }
  changed_.store(true);
  moved_.NotifyAll();
}

// Charges the job to the budget, if the budget, the device and what was learned of the system allow. Where not, says
// how much is missing, and whether only this pinner's own extents are of use.
bool PinCache::TryReserve(Client& client, const Job& job, uint64_t now_ns, uint32_t* only_who, uint64_t* missing) {
  ForgetLearned(client, now_ns);
  const PinnerTraits& t = client.traits;
  const uint64_t after = client.charged_bytes + job.charge_bytes;
  uint64_t own_cap = client.learned_cap_bytes;
  if (t.max_total_bytes != 0) own_cap = std::min(own_cap, t.max_total_bytes * std::max(1u, t.pins_per_byte));
  const uint64_t most_pins = t.max_pins == 0 ? UINT64_MAX : std::max(1u, t.max_pins / 2);
  if (after > own_cap || client.pinned + job.extents.size() > most_pins) {
    *only_who = job.who;
    *missing = after > own_cap ? after - own_cap : 1;
    return false;
  }
  if (budget_.TryReserve(job.charge_bytes)) return true;
  *only_who = UINT32_MAX;
  const uint64_t used = budget_.used_bytes(), cap = budget_.cap_bytes();
  *missing = used + job.charge_bytes > cap ? used + job.charge_bytes - cap : 1;
  return false;
}

// Free budget, then what is idle and colder than what is wanted, then what of that is in use, as soon as it is not.
PinCache::Room PinCache::ReserveFor(const Job& job, uint64_t now_ns) {
  Client& client = *clients_[job.who];
  for (;;) {
    Pick pick;
    pick.unused_since_ns = job.colder_than_ns;
    if (TryReserve(client, job, now_ns, &pick.only_who, &pick.bytes)) return Room::kReserved;
    // Said before looking: a lease that is returned after the look then wakes this thread.
    room_wanted_.store(true);
    uint64_t leased = 0;
    const std::vector<Extent*> victims = PickVictims(pick, now_ns, &leased);
    if (victims.empty()) {
      room_wanted_.store(leased > 0);
      return leased > 0 ? Room::kLater : Room::kNone;
    }
    counters_.Add(Counter::kPinEvictions, victims.size());
    const uint64_t before = budget_.used_bytes();
    (void)Unpin(victims);
    if (budget_.used_bytes() >= before) return Room::kNone;  // none of them could be unpinned
  }
}

PinCache::Room PinCache::ReserveFree(const Job& job, uint64_t now_ns) {
  uint32_t who = 0;
  uint64_t missing = 0;
  return TryReserve(*clients_[job.who], job, now_ns, &who, &missing) ? Room::kReserved : Room::kNone;
}

// Pins one extent. The system may refuse for now: then a quarter of what is idle is let go of, and it is tried again,
// twice. The budget is charged already.
Status PinCache::PinOne(const Job& job, Extent* extent) {
  Client& client = *clients_[job.who];
  const uint64_t bytes = extent->end - extent->begin;
  for (int tries = 0;; ++tries) {
    const uint64_t mem_kind = job.region->mem_kind;
    uint32_t access = kLocal;
    mutex_.Unlock();
    client.pinner.AwaitQuiet();
    const uint64_t begin_ns = clock_.NowNs();
    Result<PinHandle> made = client.pinner.Pin(RangeOf(*extent, access, mem_kind));
    if (!made.ok() && !RefusedForNow(made.status()) && job.access != kLocal) {
      access = job.access;  // read-only memory can be read all the same
      made = client.pinner.Pin(RangeOf(*extent, access, mem_kind));
    }
    const uint64_t took_ns = clock_.NowNs() - begin_ns;
    mutex_.Lock();
    if (made.ok()) {
      client.pin_cost.Observe(bytes, took_ns);
      counters_.Add(Counter::kRegistrations);
      counters_.Add(Counter::kRegisteredBytes, bytes);
      extent->handle = *made;
      extent->access = access;
      return {};
    }
    counters_.Add(Counter::kRegisterRefused);
    if (!RefusedForNow(made.status())) return made.status();
    if (tries == kTriesAfterRefusal) {
      Learn(client, made.status(), clock_.NowNs());
      return made.status();
    }
    Pick pick;
    pick.bytes = std::max<uint64_t>(1, IdleBytes() / 4);
    pick.unused_since_ns = UINT64_MAX;
    const std::vector<Extent*> victims = PickVictims(pick, clock_.NowNs(), nullptr);
    counters_.Add(Counter::kPinEvictions, victims.size());
    (void)Unpin(victims);
  }
}

uint64_t PinCache::IdleBytes() const {
  uint64_t bytes = 0;
  const Extent* at = hand_;
  for (uint64_t i = 0; i < std::min(ring_size_, kScanMax); ++i, at = at->younger) {
    if (ExtentWord::Idle(at->word.load())) bytes += at->charged_bytes;
  }
  return bytes;
}

// In address order. What has been pinned stays where a later one fails: it is idle, and of use to others.
void PinCache::PinAll(Job& job) {
  Client& client = *clients_[job.who];
  for (size_t i = 0; i < job.extents.size(); ++i) {
    Extent* const e = job.extents[i];
    const Status status = PinOne(job, e);
    const uint64_t now_ns = clock_.NowNs();
    if (!status.ok()) {
      for (size_t k = i; k < job.extents.size(); ++k) budget_.Release(job.extents[k]->charged_bytes);
      if (RefusedForNow(status)) return Refuse(job, i, ExtentWord::kAbsent, now_ns + kNoRoomNs);
      if (!std::exchange(client.failure_told, true)) {
        log_.Warning(status.message() + " (what cannot be pinned is staged; said once)");
      }
      return Refuse(job, i, ExtentWord::kFailed, now_ns + kRetryNs);
    }
    ++client.pinned;
    client.pinned_bytes += e->end - e->begin;
    client.charged_bytes += e->charged_bytes;
    e->last_used_ns.store(now_ns, std::memory_order_relaxed);
    e->keep_until_ns = DeadlineAfter(now_ns, options_.room_wait_ms * kNsPerMs);
    const uint64_t word = ExtentWord::NextGeneration(e->word.load());
    e->word.store(ExtentWord::With(word, ExtentWord::kPinned) | ExtentWord::kUsed);
    Link(e);
    changed_.store(true);
    moved_.NotifyAll();
  }
}

// The first job in line. False: it waits for room, and everyone behind it as well.
bool PinCache::ServeJob(uint64_t now_ns) {
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  // One that was overtaken by its deadline takes what is free, and nothing from others.
  const Room room = now_ns < job.deadline_ns ? ReserveFor(job, now_ns) : ReserveFree(job, now_ns);
  if (room == Room::kLater) {
    jobs_.push_front(std::move(job));
    return false;
  }
  room_wanted_.store(false);
  backlog_ns_ -= job.estimate_ns;
  if (room == Room::kNone) {
    Refuse(job, 0, ExtentWord::kAbsent, now_ns + kNoRoomNs);
  } else {
    PinAll(job);
  }
  return true;
}

// The system refuses more than what this pinner has pinned now: no more is tried for a while.
void PinCache::Learn(Client& client, const Status& why, uint64_t now_ns) {
  if (client.learned_cap_bytes == PinBudget::kNoCap) {
    log_.Warning(client.traits.name + ": the system refuses to pin more than the " + FormatSize(client.charged_bytes) +
                 " that are pinned now (" + why.message() +
                 "); the rest is staged, and more is tried again later. Raise the limit, or set memory.budget_bytes "
                 "below it");
  }
  client.learned_cap_bytes = std::min(client.learned_cap_bytes, client.charged_bytes);
  client.probe_after_ns = client.probe_after_ns == 0 ? kProbeFirstNs : std::min(client.probe_after_ns * 2, kProbeMaxNs);
  client.probe_ns = DeadlineAfter(now_ns, client.probe_after_ns);
  ShowLearned();
}

// Some time after a refusal a little more is tried, and more again for as long as that works.
void PinCache::ForgetLearned(Client& client, uint64_t now_ns) {
  if (client.learned_cap_bytes == PinBudget::kNoCap || now_ns < client.probe_ns) return;
  const uint64_t step = std::max(client.learned_cap_bytes / 4, 2 * options_.chunk_bytes);
  client.learned_cap_bytes += step;
  client.probe_ns = DeadlineAfter(now_ns, client.probe_after_ns);
  if (client.learned_cap_bytes >= std::min(budget_.cap_bytes(), kForgottenBytes)) {
    client.learned_cap_bytes = PinBudget::kNoCap;
    client.probe_after_ns = 0;
  }
  ShowLearned();
}

void PinCache::ShowLearned() {
  uint64_t least = PinBudget::kNoCap;
  for (const auto& c : clients_) least = std::min(least, c->learned_cap_bytes);
  counters_.Set(Counter::kPinLearnedCapBytes, least == PinBudget::kNoCap ? 0 : least);
}

// Lets go of what has been idle for long, and of more where the budget is nearly used up: a few at a time.
bool PinCache::Reap(uint64_t now_ns) {
  if (now_ns < next_reap_ns_ || ring_size_ == 0) return false;
  next_reap_ns_ = DeadlineAfter(now_ns, options_.reap_interval_ms * kNsPerMs);
  Pick pick;
  pick.bytes = UINT64_MAX;
  pick.max_extents = kReapMax;
  pick.second_chance = false;
  const uint64_t ttl_ns = options_.ttl_ms * kNsPerMs;
  pick.unused_since_ns = now_ns - std::min(now_ns, ttl_ns) + 1;
  std::vector<Extent*> victims = PickVictims(pick, now_ns, nullptr);
  const uint64_t cap = budget_.cap_bytes(), used = budget_.used_bytes();
  if (victims.empty() && cap != PinBudget::kNoCap && used > PercentOf(cap, options_.high_watermark_percent)) {
    pick.bytes = used - PercentOf(cap, options_.low_watermark_percent);
    pick.second_chance = true;
    pick.unused_since_ns = UINT64_MAX;
    victims = PickVictims(pick, now_ns, nullptr);
  }
  counters_.Add(Counter::kPinEvictions, victims.size());
  (void)Unpin(victims);
  return !victims.empty();
}

void PinCache::MakeRoom(uint64_t bytes) {
  MutexLock lock(mutex_);
  MakeRoomLocked(bytes);
}

void PinCache::AskForRoom(uint64_t bytes) {
  MutexLock lock(mutex_);
  room_bytes_ = std::max(room_bytes_, bytes);
  work_.NotifyOne();
}

void PinCache::MakeRoomLocked(uint64_t bytes) {
  const uint64_t used = budget_.used_bytes(), cap = budget_.cap_bytes();
  Pick pick;
  pick.bytes = used > cap || cap - used < bytes ? bytes - (cap - std::min(used, cap)) : 0;
  pick.unused_since_ns = UINT64_MAX;
  if (pick.bytes == 0) return;
  const std::vector<Extent*> victims = PickVictims(pick, UINT64_MAX, nullptr);
  counters_.Add(Counter::kPinEvictions, victims.size());
  (void)Unpin(victims);
}

bool PinCache::RunOnce() {
  bool moved = false;
  {
    MutexLock run(run_mutex_);
    MutexLock lock(mutex_);
    const uint64_t now_ns = clock_.NowNs();
    moved = room_bytes_ > 0;
    if (moved) MakeRoomLocked(std::exchange(room_bytes_, 0));
    if (!moved) moved = !jobs_.empty() && ServeJob(now_ns);
    if (!moved) moved = Reap(now_ns);
  }
  TellListeners();
  return moved;
}

void PinCache::TellListeners() {
  if (!changed_.exchange(false)) return;
  for (const auto& listener : listeners_) listener();
}

void PinCache::Start() {
  MutexLock lock(mutex_);
  fixed_bytes_ = budget_.used_bytes();
  stopping_ = false;
  thread_ = std::thread([this] { Run(); });
}

void PinCache::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void PinCache::Run() {
  for (;;) {
    if (RunOnce()) continue;
    MutexLock lock(mutex_);
    if (stopping_) return;
    const uint64_t now_ns = clock_.NowNs();
    uint64_t until_ns = ring_size_ > 0 ? next_reap_ns_ : kNoDeadline;
    if (!jobs_.empty()) until_ns = std::min(until_ns, jobs_.front().deadline_ns);
    if (until_ns == kNoDeadline) {
      work_.Wait(mutex_);
    } else if (until_ns > now_ns) {
      work_.WaitFor(mutex_, std::chrono::nanoseconds(std::min(until_ns - now_ns, kLongestSleepNs)));
    }
  }
}

// What pinning costs: twice each with a small and a large piece of memory that has been touched, since first touches
// cost more than pinning.
void PinCache::Measure(uint32_t who) {
  constexpr uint64_t kSmall = 64u << 10, kLarge = 4u << 20;
  Client& client = *clients_[who];
  const uint64_t charge = kLarge * client.traits.pins_per_byte;
  Result<HugeMemory> memory = HugeMemory::Create(2 * kLarge, -1);
  if (!memory.ok()) return;
  std::memset(memory->base(), 1, 2 * kLarge);
  std::array<uint64_t, 2> pin_ns{UINT64_MAX, UINT64_MAX}, copy_ns{UINT64_MAX, UINT64_MAX};
  const bool may_pin = (client.traits.mem_kinds & SLIPWAY_MEM_HOST) != 0 && budget_.TryReserve(charge);
  Extent extent;
  extent.begin = reinterpret_cast<uint64_t>(memory->base());
  for (int round = 0; round < 4; ++round) {
    const size_t which = static_cast<size_t>(round % 2);
    const uint64_t bytes = which == 0 ? kSmall : kLarge;
    uint64_t begin_ns = clock_.NowNs();
    std::memcpy(memory->base() + kLarge, memory->base(), bytes);
    copy_ns[which] = std::min(copy_ns[which], clock_.NowNs() - begin_ns);
    if (!may_pin) continue;
    extent.end = extent.begin + bytes;
    begin_ns = clock_.NowNs();
    Result<PinHandle> made = client.pinner.Pin(RangeOf(extent, kLocal, SLIPWAY_MEM_HOST));
    if (!made.ok()) break;
    pin_ns[which] = std::min(pin_ns[which], clock_.NowNs() - begin_ns);
    const Status unpinned = client.pinner.Unpin(*made);
    if (unpinned.ok()) continue;
    log_.Warning(client.traits.name + " could not unpin what its speed was measured with: " + unpinned.message());
    memory->Leak();  // it may still be pinned, and the charge stays
    return;
  }
  if (may_pin) budget_.Release(charge);
  client.copy_cost.Fit(kSmall, copy_ns[0], kLarge, copy_ns[1]);
  if (pin_ns[1] != UINT64_MAX) client.pin_cost.Fit(kSmall, pin_ns[0], kLarge, pin_ns[1]);
}

}  // namespace slipway

// Waiting and being woken: who makes progress when nobody submits.
//
// Three kinds do. A waiter for something small spins for a while. Of the others one leads: it sleeps on the transports'
// descriptors and on a bell of its own, so that a completion wakes who waits for it, with no thread in between. While
// nobody leads, the dispatcher's thread does the same with its bell, except that it keeps away from a submitter who is
// back time and again and finds completions himself. A wake-up rings the bell of whoever is in charge; who takes charge
// looks once after it has said so, so that none is lost between the two.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

// A sleeper looks around this often, in case a transport forgot to wake it.
constexpr uint64_t kLongestSleepNs = 100'000'000;
// While a waiter spins, or others look time and again, the thread stays out of their way for this long at a time.
constexpr uint64_t kAsideNs = 1'000'000;
// And for twice as long each time while they go on, up to this: longer, and what they leave behind would wait for it.
constexpr uint64_t kLongestAsideNs = 4'000'000;
// Or up to this, while nothing but a short request is ever in flight: that needs no other's help, and to be disturbed
// once in a while costs its submitter more than anything else does.
constexpr uint64_t kLongestAsideBrieflyNs = 16'000'000;
// A device tells nobody that it is done: who looks finds out first. So a waiter looks that many times longer while
// memory providers copy.
constexpr uint64_t kDeviceSpins = 100;

}  // namespace

thread_local Dispatcher::Round* Dispatcher::Round::innermost_ = nullptr;

Dispatcher::Round::Round(Dispatcher* dispatcher) : dispatcher_(dispatcher), outer_(std::exchange(innermost_, this)) {}

Dispatcher::Round::~Round() {
  innermost_ = outer_;
  if (!noted_ || dispatcher_->inflight_ == nullptr) return;
  dispatcher_->Wake();  // in an outer round of the same dispatcher that notes it there
}

bool Dispatcher::Round::Note(const Dispatcher* dispatcher) {
  if (innermost_ == nullptr || innermost_->dispatcher_ != dispatcher) return false;
  innermost_->noted_ = true;
  return true;
}

bool Dispatcher::Spin(BatchState* batch, uint64_t until_ns) {
  // What takes long anyway is not worth a processor that the transports' own threads could use, and neither is what has
  // others of its kind before it or beside it: while its waiter wakes, those move.
  const bool long_wait = batch->bulk || (batch->lengthy && (batch->behind || batch->requests.size() > 1));
  const uint64_t usual_ns = long_wait ? 0 : options_.spin_us * 1000;
  if (usual_ns == 0 && !DeviceCopiesFly()) return false;
  const uint64_t begin_ns = clock_.NowNs();
  const uint64_t device_ns = options_.spin_us * 1000 * kDeviceSpins;
  const auto spins = [&](uint64_t now_ns) {
    return now_ns < until_ns && now_ns - begin_ns < (DeviceCopiesFly() ? std::max(device_ns, usual_ns) : usual_ns);
  };
  uint64_t now_ns = begin_ns;  // one look at the clock a round, as it may cost more than the rest of it
  if (!spins(now_ns)) return false;
  spinners_.fetch_add(1);
  bool done = false;
  for (;;) {
    if (mutex_.TryLock()) {
      Looked();
      ProgressLocked(now_ns);
      mutex_.Unlock();
      RunCallbacks();
    }
    done = batch->done.load(std::memory_order_acquire);
    if (done) break;
    now_ns = clock_.NowNs();
    if (!spins(now_ns)) break;
  }
  // The thread kept out of the way; from here on it is needed, for this batch or for others.
  if (spinners_.fetch_sub(1) == 1 && inflight_hint_.load(std::memory_order_relaxed)) Wake();
  return done;
}

slipway_status Dispatcher::Wait(BatchState* batch, uint64_t timeout_ns) {
  if (batch->done.load(std::memory_order_acquire)) return batch->status;
  if (timeout_ns == 0) return SLIPWAY_IN_PROGRESS;
  const uint64_t until_ns = timeout_ns == kNoDeadline ? kNoDeadline : DeadlineAfter(clock_.NowNs(), timeout_ns);
  if (Spin(batch, until_ns)) return batch->status;
  MutexLock lock(mutex_);
  ++batch->waiters;
  while (!batch->done.load(std::memory_order_relaxed)) {
    const uint64_t now_ns = clock_.NowNs();
    if (now_ns >= until_ns) break;
    if (led_for_ == nullptr && threaded_) {
      Lead(batch, until_ns);
      continue;
    }
    // Bounded, so that the wait cannot outlive a wake-up that was lost, nor a leader that left.
    const Reliance reliance(this);
    batch->completed.WaitFor(mutex_, std::chrono::nanoseconds(std::min(until_ns - now_ns, kLongestSleepNs)));
  }
  --batch->waiters;
  return batch->done.load(std::memory_order_relaxed) ? batch->status : SLIPWAY_IN_PROGRESS;
}

// A transport whose completion woke nobody is slow by up to kLongestSleepNs each time: worth a counter.
bool Dispatcher::ProgressAfter(bool woken) {
  const uint64_t polled = polled_;
  const bool moved = ProgressLocked();
  if (!woken && polled_ != polled) counters_.Add(Counter::kLateWakeups);
  return moved;
}

// Until the batch is done or the time has come. The caller's lock is let go while it sleeps and during callbacks.
void Dispatcher::Lead(BatchState* batch, uint64_t until_ns) {
  led_for_ = batch;
  led_.store(true);
  bool woken = true;
  const auto done = [batch] { return batch->done.load(std::memory_order_relaxed); };
  while (!done()) {
    leader_bell_.Expect();
    const bool moved = ProgressAfter(woken);
    const uint64_t now_ns = clock_.NowNs();
    if (!done() && now_ns >= until_ns) break;
    leader_asleep_ = !moved && !done();
    const bool asleep = leader_asleep_;
    const uint64_t wake_ns = std::min(NextWakeNs(now_ns), until_ns);
    leader_until_ns_ = asleep ? wake_ns : 0;
    mutex_.Unlock();
    RunCallbacks();
    woken = !asleep || Sleep(&leader_bell_, wake_ns, true);
    mutex_.Lock();
    leader_asleep_ = false;
  }
  led_for_ = nullptr;
  led_.store(false);
  if (inflight_ == nullptr) return;
  // What rang here since the last look is for the thread now, and so are times that it does not know of.
  if (leader_bell_.rung() || thread_aside_ || NextWakeNs(clock_.NowNs()) < thread_until_ns_) thread_bell_.Ring();
}

void Dispatcher::TellWaiters(BatchState* batch) {
  if (batch->waiters > 0) batch->completed.NotifyAll();
  if (batch == led_for_ && leader_asleep_) leader_bell_.Ring();
  if (batch->event_fd >= 0) WriteEvent(batch->event_fd);
}

uint64_t Dispatcher::NextWakeNs(uint64_t now_ns) const {
  uint64_t wake_ns = std::min({next_deadline_ns_, pin_wake_ns_, DeadlineAfter(now_ns, kLongestSleepNs)});
  if (garbage_) wake_ns = std::min(wake_ns, now_ns + 5'000'000);
  if (ahead_.ended) wake_ns = std::min(wake_ns, now_ns + 1'000'000);
  if (serve_staging_) wake_ns = now_ns;
  for (const Link* link : busy_links_) {
    switch (link->state) {
      case Link::State::kIdle:
        wake_ns = now_ns;
        break;
      case Link::State::kConnecting:
        wake_ns = std::min(wake_ns, link->retry_ns);
        break;
      case Link::State::kDraining:
        if (link->open_slices == 0) wake_ns = std::min(wake_ns, now_ns + 1'000'000);
        break;
      case Link::State::kReady:
        // With slices open, a completion wakes; with none, nobody else will.
        if (link->retry_ns > now_ns) wake_ns = std::min(wake_ns, link->retry_ns);
        if (link->open_slices == 0 && link->HasWork()) wake_ns = std::min(wake_ns, std::max(now_ns, link->retry_ns));
        break;
    }
  }
  return wake_ns;
}

void Dispatcher::WakeForTimers(uint64_t now_ns) {
  if (recall_ && !OnlyBrief()) {
    recall_ = false;
    thread_bell_.Ring();
  }
  if (inflight_ == nullptr && !garbage_ && !ahead_.ended) return;
  const uint64_t until_ns = led_for_ != nullptr ? leader_until_ns_ : thread_until_ns_;
  if (threaded_ && NextWakeNs(now_ns) < until_ns) Wake();
}

void Dispatcher::Wake() {
  if (Round::Note(this)) return;
  // Who spins looks by itself, and wakes when it stops.
  if (spinners_.load() > 0) return;
  if (led_.load()) {
    leader_bell_.Ring();
    if (led_.load()) return;  // otherwise it left, and may have looked at its bell before
  }
  if (thread_away_.load()) return;  // it is back soon, see AsideNs
  thread_bell_.Ring();
}

// Whether somebody has looked since this was asked last, or is at it: then the thread need not, nor watch the
// transports, each of whose completions would wake it to find the lock taken. Not where others rely on it.
bool Dispatcher::Attended(uint64_t* seen_looks) {
  const uint64_t looks = looks_.load(std::memory_order_relaxed);
  if (std::exchange(*seen_looks, looks) == looks && mutex_.TryLock()) {
    mutex_.Unlock();
    return false;
  }
  thread_away_.store(true);
  if (relying_.load() == 0) return true;
  thread_away_.store(false);
  return false;
}

// What is in flight, if anything, is one short request alone, which its transport has; and nothing else is to be done.
bool Dispatcher::OnlyBrief() const {
  if (!busy_links_.empty() || copies_ > 0 || !pin_queue_.empty() || !staging_queue_.empty() || serve_staging_ ||
      garbage_ || ahead_.ended || DeviceCopiesFly()) {
    return false;
  }
  return inflight_ == nullptr || (inflight_->next_inflight == nullptr && inflight_->requests.size() == 1 &&
                                  !inflight_->lengthy && !inflight_->bulk);
}

// How long the thread now leaves those alone who look, after it did for `last_ns`; 0: it did not. Once that is longer
// than others could do without it, they are to call it back.
uint64_t Dispatcher::AsideNs(uint64_t last_ns) {
  const uint64_t next_ns = std::max(2 * last_ns, kAsideNs);
  if (next_ns <= kLongestAsideNs || !mutex_.TryLock()) return std::min(next_ns, kLongestAsideNs);
  recall_ = OnlyBrief();
  const uint64_t longest_ns = recall_ ? kLongestAsideBrieflyNs : kLongestAsideNs;
  mutex_.Unlock();
  return std::min(next_ns, longest_ns);
}

// One more is to be told of a completion who does not look.
void Dispatcher::Rely() {
  relying_.fetch_add(1);
  if (thread_away_.load()) thread_bell_.Ring();
}

void Dispatcher::RelyOn(BatchState* batch) {
  if (!std::exchange(batch->relied_on, true)) Rely();
}

void Dispatcher::Run() {
  bool woken = true, rung = false;
  uint64_t seen_looks = 0, aside_ns = 0;
  for (;;) {
    uint64_t until_ns = 0;
    bool led = false;
    thread_bell_.Expect();
    if (spinners_.load() > 0) {
      Sleep(&thread_bell_, clock_.NowNs() + kAsideNs, false);
      continue;
    }
    if (!rung && Attended(&seen_looks)) {
      aside_ns = AsideNs(aside_ns);
      rung = Sleep(&thread_bell_, clock_.NowNs() + aside_ns, false);
      thread_away_.store(false);
      woken = true;
      continue;
    }
    rung = false;
    aside_ns = 0;
    {
      MutexLock lock(mutex_);
      if (exit_) return;
      recall_ = false;
      led = led_for_ != nullptr;
      // Beside a leader the transports' descriptors are not watched: they would wake both.
      thread_aside_ = led && event_fds_;
      const bool moved = !led && ProgressAfter(woken);
      if (!moved) until_ns = led ? DeadlineAfter(clock_.NowNs(), kLongestSleepNs) : NextWakeNs(clock_.NowNs());
      thread_until_ns_ = until_ns;
    }
    RunCallbacks();
    woken = until_ns == 0 || Sleep(&thread_bell_, until_ns, !led) || led;
  }
}

bool Dispatcher::Sleep(Bell* bell, uint64_t until_ns, bool on_transports) {
  std::array<pollfd, kTransportsMax + 1> fds;
  nfds_t count = 0;
  fds[count++] = {bell->fd(), POLLIN, 0};
  if (on_transports) {
    for (const Lane& lane : lanes_) {  // neither the vector nor a descriptor in it changes while the thread runs
      if (lane.event_fd >= 0) fds[count++] = {lane.event_fd, POLLIN, 0};
    }
  }
  const uint64_t now_ns = clock_.NowNs();
  const uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
  const timespec timeout = {static_cast<time_t>(left_ns / 1'000'000'000), static_cast<long>(left_ns % 1'000'000'000)};
  const bool woken = ppoll(fds.data(), count, &timeout, nullptr) != 0;
  if ((fds[0].revents & POLLIN) != 0) bell->Still();
  return woken;
}

}  // namespace slipway

#include "core/transfer/dispatchers.h"

#include <algorithm>
#include <utility>

#include "core/base/status_name.h"

namespace slipway {
namespace {

uint64_t NextId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

// Which dispatcher this thread used last, and whose it is.
struct Last {
  uint64_t id = 0;
  size_t index = 0;
};
thread_local Last last;

}  // namespace

Dispatchers::Dispatchers(const Dispatcher::Parts& parts, size_t count)
    : id_(NextId()), clock_(*parts.clock), log_(*parts.log), states_(std::clamp<size_t>(count, 1, kMost)) {
  for (size_t i = 0; i < states_.size(); ++i) all_.push_back(std::make_unique<Dispatcher>(parts));
}

Status Dispatchers::Start() {
  MutexLock lock(mutex_);
  states_[0] = State::kStarted;
  return all_[0]->Start(true);
}

void Dispatchers::Stop() {
  std::vector<State> states;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    states = states_;
  }
  for (size_t i = 0; i < all_.size(); ++i) {
    if (states[i] == State::kStarted) all_[i]->Stop();
  }
}

Result<std::unique_ptr<SharedSegment>> Dispatchers::Open(const SegmentTarget& target) {
  std::unique_ptr<SharedSegment> segment(new SharedSegment(target));
  Result<RemoteSegment*> opened = In(*segment, 0);
  if (!opened.ok()) return opened.status();
  return segment;
}

Result<RemoteSegment*> Dispatchers::OpenIn(SharedSegment& segment, size_t i) {
  // One at a time, so that none is opened twice.
  MutexLock lock(mutex_);
  RemoteSegment* opened = segment.opened_[i].load(std::memory_order_relaxed);
  if (opened != nullptr) return opened;
  Result<RemoteSegment*> made = all_[i]->Open(segment.target_);
  if (made.ok()) segment.opened_[i].store(*made, std::memory_order_release);
  return made;
}

void Dispatchers::Close(std::unique_ptr<SharedSegment> segment) {
  for (size_t i = 0; i < all_.size(); ++i) {
    if (RemoteSegment* const opened = segment->opened_[i].load()) all_[i]->Close(opened);
  }
}

size_t Dispatchers::Mine() {
  if (last.id == id_) return last.index;
  last = {id_, Assign()};
  return last.index;
}

// Threads get theirs in the order in which they first submit. A thread that is gone leaves its place in the list: the
// next with the same id, which systems use again, finds it.
size_t Dispatchers::Assign() {
  MutexLock lock(mutex_);
  if (all_.size() == 1 || stopped_) return 0;
  const auto [at, fresh] = by_thread_.try_emplace(std::this_thread::get_id(), 0);
  if (fresh) at->second = (by_thread_.size() - 1) % all_.size();
  size_t& index = at->second;
  if (states_[index] == State::kIdle) {
    const Status started = all_[index]->Start(true);
    states_[index] = started.ok() ? State::kStarted : State::kRefused;
    if (!started.ok()) {
      log_.Warning("threads that submit share more than they could: " + std::string(StatusName(started.code())) + ": " +
                   started.message());
      all_[index]->Stop();
    }
  }
  if (states_[index] == State::kRefused) index = 0;
  return index;
}

bool Dispatchers::WaitRangeIdle(uint64_t begin, uint64_t bytes, uint64_t timeout_ns) {
  const uint64_t until_ns = DeadlineAfter(clock_.NowNs(), timeout_ns);
  return std::all_of(all_.begin(), all_.end(), [&](const auto& d) {
    const uint64_t now_ns = clock_.NowNs();
    return d->WaitRangeIdle(begin, bytes, now_ns < until_ns ? until_ns - now_ns : 0);
  });
}

std::vector<Dispatcher::LinkView> Dispatchers::Links() {
  std::vector<Dispatcher::LinkView> out;
  for (const auto& d : all_) {
    std::vector<Dispatcher::LinkView> links = d->Links();
    std::move(links.begin(), links.end(), std::back_inserter(out));
  }
  return out;
}

void Dispatchers::Wake(const void* cookie) {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const auto& d) { return d.get() == cookie; });
  if (at != all_.end()) return (*at)->Wake();
  for (const auto& d : all_) d->Wake();
}

}  // namespace slipway

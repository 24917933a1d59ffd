#include "plugins/tcp/progress.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cerrno>

namespace slipway::tcp {
namespace {

constexpr int kEventsMax = 64;

}  // namespace

int IoLoop::Start() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event ev{};
  ev.events = EPOLLIN;
  ev.data.ptr = nullptr;
  int error = 0;
  if (epoll_fd_ < 0 || wake_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &ev) != 0) error = errno;
  if (error == 0) {
    {
      MutexLock lock(mutex_);
      scheduled_.reserve(256);
    }
    running_.reserve(256);
    now_ns_ = host_.NowNs();
    // Signals are the application's business; and splice, which has no MSG_NOSIGNAL, raises SIGPIPE.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    try {
      thread_ = std::thread([this] { Main(); });
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  if (error != 0) Stop();
  return error;
}

void IoLoop::Stop() {
  if (thread_.joinable()) {
    stop_.store(true);
    Wake();
    thread_.join();
  }
  for (Pollable* p : graveyard_) delete p;
  graveyard_.clear();
  for (Pollable* p : owned_) delete p;
  owned_.clear();
  MutexLock lock(mutex_);
  for (Pollable* p : adopted_) delete p;
  adopted_.clear();
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
  epoll_fd_ = wake_fd_ = -1;
}

void IoLoop::Wake() {
  if (wake_pending_.exchange(true)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof(one));
}

void IoLoop::Schedule(Pollable* p) {
  if (p->scheduled_.exchange(true)) return;
  {
    MutexLock lock(mutex_);
    scheduled_.push_back(p);
  }
  Wake();
}

void IoLoop::Adopt(Pollable* p) {
  {
    MutexLock lock(mutex_);
    adopted_.push_back(p);
  }
  Wake();
}

void IoLoop::Run(const std::function<void()>& f) {
  Task task{&f};
  MutexLock lock(mutex_);
  if (!thread_.joinable()) return;
  tasks_.push_back(&task);
  Wake();
  while (!task.done) task_done_.Wait(mutex_);
}

void IoLoop::Own(Pollable* p) {
  owned_.push_back(p);
  Enter(p);
}

void IoLoop::Enter(Pollable* p) { members_.push_back(p); }

void IoLoop::Leave(Pollable* p) {
  std::erase(members_, p);
  if (last_ == p) last_ = nullptr;
  MutexLock lock(mutex_);
  std::erase(scheduled_, p);
  std::replace(running_.begin(), running_.end(), p, static_cast<Pollable*>(nullptr));
}

int IoLoop::Watch(int fd, Pollable* p, uint32_t epoll_events) {
  epoll_event ev{};
  ev.events = epoll_events | EPOLLET;
  ev.data.ptr = p;
  return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : errno;
}

int IoLoop::Rewatch(int fd, Pollable* p, uint32_t epoll_events) {
  epoll_event ev{};
  ev.events = epoll_events | EPOLLET;
  ev.data.ptr = p;
  return epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &ev) == 0 ? 0 : errno;
}

void IoLoop::Unwatch(int fd) { epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr); }

void IoLoop::Discard(Pollable* p) {
  if (p->dead_) return;
  p->dead_ = true;
  Leave(p);
  std::erase(owned_, p);
  graveyard_.push_back(p);
}

void IoLoop::RunQueued() {
  std::vector<Task*> tasks;
  std::vector<Pollable*> adopted;
  {
    MutexLock lock(mutex_);
    running_.swap(scheduled_);
    adopted.swap(adopted_);
    tasks.swap(tasks_);
  }
  for (Pollable* p : adopted) {
    Own(p);
    p->OnAdopted();
  }
  for (size_t i = 0; i < running_.size(); ++i) {
    Pollable* p = running_[i];
    if (p == nullptr) continue;
    p->scheduled_.store(false);
    p->OnScheduled();
  }
  running_.clear();
  for (Task* task : tasks) {
    (*task->f)();
    MutexLock lock(mutex_);
    task->done = true;
    task_done_.NotifyAll();
  }
}

// Asking the socket itself, where the next request is most likely to come, takes one system call less than asking epoll
// whether to. The others, and whoever wakes the loop, have their turn in between: the later, the longer nothing came
// from them.
bool IoLoop::LookAtLast() {
  if (last_ == nullptr || ++looks_ >= looks_max_ || now_ns_ - asked_ns_ >= kLooksNs ||
      wake_pending_.load(std::memory_order_relaxed)) {
    return false;
  }
  if (last_->Look()) patience_.OnEvent(now_ns_);
  return true;
}

void IoLoop::Main() {
  epoll_event events[kEventsMax];
  uint64_t next_tick_ns = 0;
  while (!stop_.load()) {
    const bool looks = patience_.Looks(now_ns_);
    if (looks && now_ns_ < next_tick_ns && LookAtLast()) {
      now_ns_ = host_.NowNs();
      continue;
    }
    const int wait_ms = looks ? 0 : members_.empty() ? -1 : static_cast<int>(tick_ms_);
    const int n = epoll_wait(epoll_fd_, events, kEventsMax, wait_ms);
    now_ns_ = host_.NowNs();
    if (n > 0) patience_.OnEvent(now_ns_);
    const bool last_alone = n == 0 || (n == 1 && events[0].data.ptr == last_);
    looks_max_ = last_alone ? std::min(2 * looks_max_, kManyLooks) : kFewLooks;
    looks_ = 0;
    asked_ns_ = now_ns_;
    bool woken = false;
    for (int i = 0; i < n; ++i) {
      auto* p = static_cast<Pollable*>(events[i].data.ptr);
      if (p == nullptr) {
        woken = true;
      } else if (!p->dead_) {
        last_ = p;
        p->OnEvents(events[i].events);
      }
    }
    if (woken) {
      // Cleared before the queue is taken: what comes later wakes again.
      uint64_t count;
      [[maybe_unused]] const ssize_t r = read(wake_fd_, &count, sizeof(count));
      wake_pending_.store(false);
      RunQueued();
    }
    if ((n == 0 && !looks) || now_ns_ >= next_tick_ns) {
      const std::vector<Pollable*> members = members_;
      for (Pollable* p : members) {
        if (std::find(graveyard_.begin(), graveyard_.end(), p) == graveyard_.end()) p->OnTick(now_ns_);
      }
      next_tick_ns = now_ns_ + uint64_t{tick_ms_} * 1'000'000;
    }
    for (Pollable* p : graveyard_) delete p;
    graveyard_.clear();
  }
}

}  // namespace slipway::tcp

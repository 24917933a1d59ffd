#include "plugins/rdma-verbs/progress.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace slipway::rdma {
namespace {

constexpr int kEventsMax = 16;
constexpr int kCmEventsPerRound = 64;
constexpr uint64_t kMsNs = 1'000'000;

int SetNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ? errno : 0;
}

}  // namespace

int Loop::Watch(int fd, void* tag) {
  epoll_event ev{};
  ev.events = EPOLLIN;
  ev.data.ptr = tag;
  return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : errno;
}

slipway_status Loop::Start(const std::vector<std::unique_ptr<Device>>& devices, OnDeviceEvent on_device_event,
                           std::function<void()> busy, sdk::Error& err) {
  on_device_event_ = std::move(on_device_event);
  busy_ = std::move(busy);
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int error = epoll_fd_ < 0 || wake_fd_ < 0 ? errno : Watch(wake_fd_, &wake_fd_);
  if (error == 0) {
    cm_ = verbs_.create_event_channel();
    if (cm_ == nullptr) {
      error = errno;
      Stop();
      return err.Fail(SLIPWAY_E_UNSUPPORTED,
                      "cannot open the connection manager, /dev/infiniband/rdma_cm: " + ErrnoText(error) +
                          "; load it with modprobe rdma_ucm, and see that this user may open it",
                      {}, error);
    }
    error = SetNonBlocking(cm_->fd);
  }
  if (error == 0) error = Watch(cm_->fd, cm_);
  for (const auto& device : devices) {
    if (error == 0) error = SetNonBlocking(device->context()->async_fd);
    if (error == 0) error = Watch(device->context()->async_fd, device.get());
  }
  if (error == 0) {
    now_ns_ = host_.NowNs();
    next_tick_ns_ = now_ns_ + tick_ms_ * kMsNs;
    {
      MutexLock lock(mutex_);
      open_ = true;
    }
    try {
      thread_ = std::thread([this] { Main(); });
      running_.store(true, std::memory_order_release);
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
  }
  if (error == 0) return SLIPWAY_OK;
  Stop();
  return err.FailRetryable(SLIPWAY_E_IO, "cannot start the thread for connections: " + ErrnoText(error), {}, error);
}

void Loop::Stop() {
  if (thread_.joinable()) {
    stop_.store(true);
    Wake();
    thread_.join();
  }
  running_.store(false, std::memory_order_release);
  {
    MutexLock lock(mutex_);
    open_ = false;
    scheduled_.clear();
  }
}

Loop::~Loop() {
  Stop();
  if (cm_ != nullptr) verbs_.destroy_event_channel(cm_);
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

void Loop::Wake() {
  if (wake_pending_.exchange(true)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof(one));
}

void Loop::Schedule(Member* m) {
  if (m->scheduled_.exchange(true)) return;
  MutexLock lock(mutex_);
  if (!open_) return;
  scheduled_.push_back(m);
  Wake();
}

bool Loop::Run(const std::function<void()>& f) {
  Task task{&f};
  MutexLock lock(mutex_);
  if (!open_) return false;
  tasks_.push_back(&task);
  Wake();
  while (!task.done) task_done_.Wait(mutex_);
  return true;
}

void Loop::Leave(Member* m) {
  std::erase(members_, m);
  std::replace(current_.begin(), current_.end(), m, static_cast<Member*>(nullptr));
  MutexLock lock(mutex_);
  std::erase(scheduled_, m);
}

void Loop::HurryTick(uint64_t ms) { next_tick_ns_ = std::min(next_tick_ns_, now_ns_ + ms * kMsNs); }

void Loop::TakeCmEvents() {
  for (int i = 0; i < kCmEventsPerRound; ++i) {
    rdma_cm_event* event = nullptr;
    if (verbs_.get_cm_event(cm_, &event) != 0) return;
    CmEvent e;
    e.type = event->event;
    e.status = event->status;
    e.id = event->id;
    e.conn = event->param.conn;
    static_assert(sizeof(e.bytes) >= 255, "what a length of one byte can say");
    if (e.conn.private_data != nullptr) {
      e.private_bytes = e.conn.private_data_len;
      std::memcpy(e.bytes, e.conn.private_data, e.private_bytes);
    }
    e.conn.private_data = e.bytes;
    auto* handler = static_cast<CmHandler*>(event->id->context);
    verbs_.ack_cm_event(event);
    if (handler != nullptr) handler->OnCmEvent(e);
  }
}

void Loop::TakeDeviceEvents(Device* device) {
  ibv_async_event event{};
  while (verbs_.get_async_event(device->context(), &event) == 0) {
    // What it names may be destroyed only after it was acknowledged.
    const ibv_async_event copy = event;
    verbs_.ack_async_event(&event);
    on_device_event_(device, copy);
  }
}

void Loop::RunQueued() {
  std::vector<Task*> tasks;
  {
    MutexLock lock(mutex_);
    current_.swap(scheduled_);
    tasks.swap(tasks_);
  }
  for (size_t i = 0; i < current_.size(); ++i) {
    if (current_[i] == nullptr) continue;
    current_[i]->scheduled_.store(false);
    current_[i]->OnScheduled();
  }
  current_.clear();
  for (Task* task : tasks) {
    (*task->f)();
    MutexLock lock(mutex_);
    task->done = true;
    task_done_.NotifyAll();
  }
}

void Loop::Tick() {
  next_tick_ns_ = now_ns_ + tick_ms_ * kMsNs;
  current_ = members_;
  for (size_t i = 0; i < current_.size(); ++i) {
    if (current_[i] != nullptr) current_[i]->OnTick(now_ns_);
  }
  current_.clear();
}

void Loop::Wait() {
  epoll_event events[kEventsMax];
  int wait_ms = members_.empty() && !busy_ ? -1 : 0;
  if (!busy_ && !members_.empty()) {
    const uint64_t now = host_.NowNs();
    wait_ms = next_tick_ns_ <= now ? 0 : static_cast<int>((next_tick_ns_ - now + kMsNs - 1) / kMsNs);
  }
  const int n = epoll_wait(epoll_fd_, events, kEventsMax, wait_ms);
  now_ns_ = host_.NowNs();
  for (int i = 0; i < n; ++i) {
    void* tag = events[i].data.ptr;
    if (tag == cm_) {
      TakeCmEvents();
    } else if (tag == &wake_fd_) {
      // Cleared before the queue is taken: what comes later wakes again.
      uint64_t count;
      [[maybe_unused]] const ssize_t r = read(wake_fd_, &count, sizeof(count));
      wake_pending_.store(false);
      RunQueued();
    } else {
      TakeDeviceEvents(static_cast<Device*>(tag));
    }
  }
}

void Loop::Main() {
  while (!stop_.load()) {
    Wait();
    if (busy_) busy_();
    if (!members_.empty() && now_ns_ >= next_tick_ns_) Tick();
  }
  RunQueued();  // whoever waits for a task is not left waiting
}

}  // namespace slipway::rdma

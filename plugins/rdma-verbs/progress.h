// The thread on which connections are made, watched and taken down. Transfers do not pass through it.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_PROGRESS_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_PROGRESS_H_

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "plugins/rdma-verbs/device.h"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::rdma {

// An event of the connection manager, copied, so that the original is given back before anything is done about it.
struct CmEvent {
  rdma_cm_event_type type = RDMA_CM_EVENT_ADDR_ERROR;
  int status = 0;
  rdma_cm_id* id = nullptr;  // of a connect request: the new one
  rdma_conn_param conn{};    // its private_data points to `bytes`
  size_t private_bytes = 0;
  char bytes[256] = {};

  std::string_view private_data() const { return {bytes, private_bytes}; }
};

// What the context of an rdma_cm_id points to. Called on the loop's thread.
class CmHandler {
 public:
  virtual ~CmHandler() = default;
  virtual void OnCmEvent(const CmEvent& event) = 0;
};

// Somebody who is looked after regularly, and on request. Called on the loop's thread.
class Member {
 public:
  virtual ~Member() = default;
  virtual void OnTick(uint64_t now_ns) = 0;
  virtual void OnScheduled() {}

 private:
  friend class Loop;
  std::atomic<bool> scheduled_{false};
};

class Loop {
 public:
  using OnDeviceEvent = std::function<void(Device*, const ibv_async_event&)>;

  // `tick_ms`: how often OnTick is called.
  Loop(sdk::Host host, const Verbs& verbs, uint32_t tick_ms) : host_(host), verbs_(verbs), tick_ms_(tick_ms) {}
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // `busy`: called over and over, where it is set; the thread never sleeps then. Fails with nothing left behind.
  slipway_status Start(const std::vector<std::unique_ptr<Device>>& devices, OnDeviceEvent on_device_event,
                       std::function<void()> busy, sdk::Error& err);
  // Joins the thread. Idempotent. Not from the loop's thread. What connections need to be taken down stays until the
  // loop is destroyed.
  void Stop();
  bool running() const { return running_.load(std::memory_order_acquire); }

  // [any] Has m->OnScheduled called soon; calls coalesce. Does nothing once the loop has stopped.
  void Schedule(Member* m) SLIPWAY_EXCLUDES(mutex_);
  // [any but the loop's thread] Runs `f` on the loop's thread and waits for it. False: the loop does not run.
  bool Run(const std::function<void()>& f) SLIPWAY_EXCLUDES(mutex_);

  // Below: on the loop's thread.
  void Enter(Member* m) { members_.push_back(m); }
  void Leave(Member* m) SLIPWAY_EXCLUDES(mutex_);
  // The next tick comes this soon.
  void HurryTick(uint64_t ms);

  rdma_event_channel* cm_channel() const { return cm_; }
  uint64_t now_ns() const { return now_ns_; }  // as of the current round
  const sdk::Host& host() const { return host_; }

 private:
  struct Task {
    const std::function<void()>* f;
    bool done = false;
  };

  int Watch(int fd, void* tag);
  void Main();
  void Wait();
  void TakeCmEvents();
  void TakeDeviceEvents(Device* device);
  void RunQueued() SLIPWAY_EXCLUDES(mutex_);
  void Tick();
  void Wake();

  const sdk::Host host_;
  const Verbs& verbs_;
  const uint32_t tick_ms_;

  // Constant while the thread runs.
  OnDeviceEvent on_device_event_;
  std::function<void()> busy_;
  rdma_event_channel* cm_ = nullptr;
  int epoll_fd_ = -1, wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> running_{false}, stop_{false}, wake_pending_{false};

  Mutex mutex_;
  CondVar task_done_;
  std::vector<Member*> scheduled_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<Task*> tasks_ SLIPWAY_GUARDED_BY(mutex_);
  bool open_ SLIPWAY_GUARDED_BY(mutex_) = false;

  // The loop's thread only.
  std::vector<Member*> members_, current_;
  uint64_t now_ns_ = 0, next_tick_ns_ = 0;
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_PROGRESS_H_

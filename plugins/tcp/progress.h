// The threads that make progress: each owns an epoll set, and everything in it is touched by that thread alone unless
// its class says otherwise.
#ifndef SLIPWAY_PLUGINS_TCP_PROGRESS_H_
#define SLIPWAY_PLUGINS_TCP_PROGRESS_H_

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "plugins/tcp/patience.h"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::tcp {

// Something with a descriptor in a loop. All functions are called on the loop's thread.
class Pollable {
 public:
  virtual ~Pollable() = default;
  virtual void OnEvents(uint32_t epoll_events) = 0;
  // Whether something came that no event has told of yet; then it has been dealt with. Asked of the last that had an
  // event while the loop looks for more before it sleeps.
  virtual bool Look() { return false; }
  virtual void OnScheduled() {}                // after IoLoop::Schedule
  virtual void OnAdopted() {}                  // after IoLoop::Adopt
  virtual void OnTick(uint64_t /*now_ns*/) {}  // every tick_ms

 private:
  friend class IoLoop;
  std::atomic<bool> scheduled_{false};
  bool dead_ = false;  // told to the loop by Discard
};

class IoLoop {
 public:
  // `tick_ms`: how often OnTick is called while there is anything in the loop. `busy_poll_us`: how long the thread at
  // most goes on looking after the last event before it sleeps.
  IoLoop(sdk::Host host, uint32_t tick_ms, uint32_t busy_poll_us)
      : host_(host), tick_ms_(tick_ms), patience_(uint64_t{busy_poll_us} * 1000) {}
  ~IoLoop() { Stop(); }
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  // 0, or errno: then nothing is left behind.
  int Start();
  // Joins the thread and deletes what the loop owns. Idempotent. Not from the loop's thread.
  void Stop();

  // [any] Has p->OnScheduled called soon; calls coalesce. `p` is in the loop, or about to be.
  void Schedule(Pollable* p);
  // [any but the loop's thread] Runs `f` on the loop's thread and waits for it.
  void Run(const std::function<void()>& f);

  // [any] Takes `p` over; p->OnAdopted is called on the loop's thread.
  void Adopt(Pollable* p);

  // Below: on the loop's thread.
  // What the loop owns, by value: visiting may discard.
  std::vector<Pollable*> owned() const { return owned_; }
  // Takes part in ticks. The loop does not own it.
  void Enter(Pollable* p);
  void Leave(Pollable* p);
  // 0, or errno. Edge-triggered: the caller reads and writes until it would block, or Schedules itself.
  int Watch(int fd, Pollable* p, uint32_t epoll_events);
  // Other events from now on; those that are due already come again. 0, or errno.
  int Rewatch(int fd, Pollable* p, uint32_t epoll_events);
  // Before the descriptor is closed: a forked child's copy would keep it in the set.
  void Unwatch(int fd);
  // Enters, and is the loop's to delete: after Discard, or when it stops.
  void Own(Pollable* p);
  // Leaves, and is deleted once no event of the current round can name it.
  void Discard(Pollable* p);

  // Bytes were moved; many of them take long enough that it does not matter how soon the next event is seen.
  void OnMoved(uint64_t bytes) {
    if (bytes > kFewBytes) patience_.OnMuchToDo();
  }
  // As initiator: who waits for short answers receives them, or looks for them as well.
  void OnAnswers() { patience_.OnMuchToDo(); }
  uint64_t now_ns() const { return now_ns_; }  // as of the current round
  const sdk::Host& host() const { return host_; }

 private:
  struct Task {
    const std::function<void()>* f;
    bool done = false;
  };

  static constexpr uint64_t kFewBytes = 64 << 10;
  static constexpr uint32_t kFewLooks = 8, kManyLooks = 64;  // at the last, to one at all
  static constexpr uint64_t kLooksNs = 100'000;              // and at most so long between two at all

  void Main();
  bool LookAtLast();
  void RunQueued();
  void Wake();

  const sdk::Host host_;
  const uint32_t tick_ms_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> wake_pending_{false};
  std::atomic<bool> stop_{false};

  Mutex mutex_;
  CondVar task_done_;
  std::vector<Pollable*> scheduled_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<Pollable*> adopted_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<Task*> tasks_ SLIPWAY_GUARDED_BY(mutex_);

  // The loop's thread only.
  std::vector<Pollable*> running_;
  std::vector<Pollable*> members_;    // that tick
  std::vector<Pollable*> owned_;      // of those, the loop's to delete
  std::vector<Pollable*> graveyard_;  // to be deleted at the end of the round
  Patience patience_;
  Pollable* last_ = nullptr;                    // that had an event
  uint32_t looks_ = 0, looks_max_ = kFewLooks;  // at the last since one at all, and how many it may be
  uint64_t now_ns_ = 0, asked_ns_ = 0;          // the latter: at all
};

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_PROGRESS_H_

// The dispatcher's part about what is pinned on demand: who waits for it, and for how long.
#include <algorithm>

#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

// More than these are not kept waiting, since each change is looked at by all of them: they are staged.
constexpr uint64_t kPinWaitersMax = 1024;

}  // namespace

LeaseQuery Dispatcher::PinQuery(const Lane& lane, const WorkItem& item, uint64_t now_ns) const {
  LeaseQuery query;
  query.who = lane.source.who;
  query.now_ns = now_ns;
  query.must_pin = !lane.pool_ready;
  query.deadline_ns = item.pin_deadline_ns;
  if (query.deadline_ns == 0 && pin_waiters_ < kPinWaitersMax) {
    const uint64_t batch_ns = item.request->batch->deadline_ns;
    query.deadline_ns = query.must_pin ? batch_ns : std::min(batch_ns, DeadlineAfter(now_ns, pin_wait_ns_));
  }
  return query;
}

void Dispatcher::WaitForPin(WorkItem* item, const LeaseQuery& query) {
  item->pin_deadline_ns = query.deadline_ns;
  pin_wake_ns_ = std::min(pin_wake_ns_, query.deadline_ns);
  pin_queue_.PushBack(item);
  ++pin_waiters_;
}

// Lets those ask again who wait for something to be pinned: something was, or it takes too long.
void Dispatcher::ServePinQueue() {
  // Told of again, should it change from here on.
  pins_changed_.store(false);
  pin_wake_ns_ = kNoDeadline;
  pin_waiters_ = 0;
  WorkQueue waiting;  // the youngest first, so that the oldest ends up first in its link's queue
  while (!pin_queue_.empty()) waiting.PushFront(pin_queue_.PopFront());
  while (!waiting.empty()) {
    WorkItem* item = waiting.PopFront();
    RequestState* request = item->request;
    if (request->failure != SLIPWAY_OK) {
      DropItem(item);
      continue;
    }
    Link* link = request->segment->routes[item->transport].link;
    (request->bulk ? link->bulk : link->small).PushFront(item);
    ListLink(link);
  }
}

}  // namespace slipway

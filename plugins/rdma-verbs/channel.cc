#include "plugins/rdma-verbs/channel.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "plugins/rdma-verbs/peer.h"
#include "plugins/rdma-verbs/transport.h"

namespace slipway::rdma {
namespace {

constexpr int kPollMax = 16;
constexpr unsigned kAcknowledgeAfter = 64;
// With so many slices under way, and so many bytes (10 us at 400 Gbit/s), fewer than kTogether more are not posted yet.
constexpr uint32_t kPlenty = 8, kTogether = 4;
constexpr uint64_t kPlentyBytes = 512 << 10;

}  // namespace

// ---- a device's completion queue -----------------------------------------------------------------------------------

slipway_status CompletionQueue::Make(const Device& device, uint32_t entries, bool events,
                                     std::unique_ptr<CompletionQueue>* out, sdk::Error& err) {
  const Verbs& v = device.verbs();
  std::unique_ptr<CompletionQueue> made(new CompletionQueue(device));
  const auto fail = [&](const char* what) {
    const int error = errno;
    return err.FailRetryable(SLIPWAY_E_NOMEM, std::string(what) + ErrnoText(error), device.name(), error);
  };
  if (events) {
    made->events_ = v.create_comp_channel(device.context());
    if (made->events_ == nullptr) return fail("no completion channel: ");
    const int flags = fcntl(made->events_->fd, F_GETFL);
    if (flags < 0 || fcntl(made->events_->fd, F_SETFL, flags | O_NONBLOCK) != 0) return fail("completion channel: ");
  }
  const auto n = std::min(entries, static_cast<uint32_t>(device.attr().max_cqe));
  made->cq_ = v.create_cq(device.context(), static_cast<int>(n), nullptr, made->events_, 0);
  if (made->cq_ == nullptr) return fail("no completion queue: ");
  if (events) {
    if (ibv_req_notify_cq(made->cq_, 0) != 0) return fail("completion events: ");
    made->armed_ = true;
  }
  *out = std::move(made);
  return SLIPWAY_OK;
}

CompletionQueue::~CompletionQueue() {
  if (cq_ != nullptr) {
    if (unacknowledged_ > 0) device_.verbs().ack_cq_events(cq_, unacknowledged_);
    device_.verbs().destroy_cq(cq_);
  }
  if (events_ != nullptr) device_.verbs().destroy_comp_channel(events_);
}

int CompletionQueue::Poll(ibv_wc* out, int max) {
  const int n = ibv_poll_cq(cq_, max, out);
  if (n > 0) {
    dirty_ = true;
    dirty_ns_ = 0;
  }
  return n;
}

bool CompletionQueue::Rearm(uint64_t now_ns, uint64_t delay_ns, Stats& stats) {
  if (events_ == nullptr) return false;
  if (armed_) {
    if (!dirty_) return false;
    if (dirty_ns_ == 0) dirty_ns_ = now_ns;
    if (now_ns - dirty_ns_ < delay_ns) return false;
    // What was polled has caused the event, will cause it, or came before the queue was armed: then it is still armed.
    ibv_cq* cq = nullptr;
    void* context = nullptr;
    if (device_.verbs().get_cq_event(events_, &cq, &context) != 0) return false;
    stats.Add(Counter::completion_events);
    if (++unacknowledged_ >= kAcknowledgeAfter) {
      device_.verbs().ack_cq_events(cq_, unacknowledged_);
      unacknowledged_ = 0;
    }
  }
  armed_ = ibv_req_notify_cq(cq_, 0) == 0;
  dirty_ = false;
  dirty_ns_ = 0;
  return armed_;
}

// ---- life ----------------------------------------------------------------------------------------------------------

RdmaChannel::RdmaChannel(RdmaInstance* owner, uint32_t index)
    : owner_(owner), index_(index), ops_(owner->attrs().max_inflight_per_channel) {
  MutexLock lock(mutex_);
  for (Op& op : ops_) free_.PushBack(&op);
}

slipway_status RdmaChannel::Make(RdmaInstance* owner, uint32_t index, std::unique_ptr<RdmaChannel>* out,
                                 sdk::Error& err) {
  std::unique_ptr<RdmaChannel> made(new RdmaChannel(owner, index));
  made->event_fd_ = epoll_create1(EPOLL_CLOEXEC);
  made->software_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const auto watch = [&](int fd) {
    epoll_event ev{};
    ev.events = EPOLLIN;
    return epoll_ctl(made->event_fd_, EPOLL_CTL_ADD, fd, &ev) == 0;
  };
  bool ok = made->event_fd_ >= 0 && made->software_fd_ >= 0 && watch(made->software_fd_);
  for (const auto& device : owner->devices()) {
    if (!ok) break;
    made->queues_.emplace_back();
    // Room for the completions of queue pairs that are gone, too, until they are polled.
    const slipway_status s =
        CompletionQueue::Make(*device, 2 * owner->attrs().max_inflight_per_channel,
                              owner->config().completion == Config::Completion::kEvent, &made->queues_.back(), err);
    if (s != SLIPWAY_OK) return s;
    if (made->queues_.back()->fd() >= 0) ok = watch(made->queues_.back()->fd());
  }
  if (!ok) return err.FailRetryable(SLIPWAY_E_NOMEM, "no descriptors for a channel: " + ErrnoText(errno), {}, errno);
  *out = std::move(made);
  return SLIPWAY_OK;
}

RdmaChannel::~RdmaChannel() {
  owner_->ForgetChannel(this);
  if (event_fd_ >= 0) close(event_fd_);
  if (software_fd_ >= 0) close(software_fd_);
}

// ---- submission ----------------------------------------------------------------------------------------------------

slipway_status RdmaChannel::Accept(const slipway_slice& slice) {
  auto* remote = static_cast<RdmaRemote*>(sdk::AsRemote(slice.remote));
  RdmaPeer* peer = remote->peer;
  if (peer->failed()) return peer->status();
  if (remote->stale.load(std::memory_order_relaxed)) return SLIPWAY_E_STALE_REMOTE;
  if (slice.length > peer->slice_bytes_max()) return SLIPWAY_E_INVALID;
  if (free_.empty()) return SLIPWAY_E_AGAIN;
  Op* op = free_.PopFront();
  op->token = slice.token;
  op->remote = remote;
  op->mr = static_cast<Registration*>(sdk::AsRegistration(slice.local_mr));
  op->outbox = peer->outbox(index_);
  op->local = static_cast<uint8_t*>(slice.local_addr);
  op->length = slice.length;
  op->remote_offset = slice.remote_offset;
  op->bytes = 0;
  op->native = 0;
  op->write = slice.op == SLIPWAY_OP_WRITE;
  op->canceled = false;
  op->flushes = 0;
  op->state = Op::State::kWaiting;
  op->remote->Use();
  op->mr->Use();
  op->outbox->waiting.PushBack(op);
  LookAt(op->outbox);
  return SLIPWAY_OK;
}

slipway_status RdmaChannel::Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) {
  slipway_status status = SLIPWAY_OK;
  const uint64_t now_ns = owner_->host().NowNs();
  {
    MutexLock lock(mutex_);
    for (accepted = 0; accepted < slices.size(); ++accepted) {
      status = Accept(slices[accepted]);
      if (status != SLIPWAY_OK) break;
    }
    PumpDirty(now_ns);
    if (!done_.empty()) Signal();
  }
  switch (status) {
    case SLIPWAY_OK:
    case SLIPWAY_E_AGAIN:
      return status;
    case SLIPWAY_E_INVALID:
      return err.Fail(status, "submit: longer than the peer's device takes: lower max_slice_bytes to the peer's");
    case SLIPWAY_E_STALE_REMOTE:
      if (auto* remote = static_cast<RdmaRemote*>(sdk::AsRemote(slices[accepted].remote)); remote->stale.load()) {
        return err.Fail(status, "submit: the peer has deregistered this memory: open the segment again");
      }
      [[fallthrough]];
    default:
      return static_cast<RdmaRemote*>(sdk::AsRemote(slices[accepted].remote))->peer->Ready(err);
  }
}

void RdmaChannel::LookAt(Outbox* box) {
  if (std::exchange(box->dirty, true)) return;
  box->next_dirty = dirty_;
  dirty_ = box;
}

void RdmaChannel::PumpDirty(uint64_t now_ns) {
  while (dirty_ != nullptr) {
    Outbox* box = std::exchange(dirty_, dirty_->next_dirty);
    box->dirty = false;
    Pump(box, now_ns);
  }
}

// Whether the device is busy for a while with what it has, so that what waits may wait for more to share its system
// call or doorbell. A completion, of which there is one to come, looks at it again.
bool RdmaChannel::Holds(const Outbox* box) {
  uint32_t outstanding = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < box->queue_count; ++i) {
    outstanding += box->queues[i]->outstanding();
    bytes += box->queues[i]->outstanding_bytes();
  }
  if (outstanding < kPlenty || bytes < kPlentyBytes) return false;
  uint32_t waiting = 0;
  for (const Op* op = box->waiting.first; op != nullptr && waiting < kTogether; op = op->next) ++waiting;
  return waiting < kTogether;
}

// Hands what waits to the queue pairs, by ascending load.
void RdmaChannel::Pump(Outbox* box, uint64_t now_ns) {
  if (Holds(box)) return;
  // Queue pairs are told apart by what they hold only beyond this: small slices stay together and share a doorbell.
  constexpr int kGranularityLog2 = 18;
  while (!box->waiting.empty()) {
    SendQueue* best = nullptr;
    for (uint32_t i = 0; i < box->queue_count; ++i) {
      SendQueue* q = box->queues[i];
      if (!q->open() || q->full()) continue;
      if (best == nullptr || q->outstanding_bytes() >> kGranularityLog2 < best->outstanding_bytes() >> kGranularityLog2)
        best = q;
    }
    if (best == nullptr) break;
    Op* op = box->waiting.PopFront();
    if (op->remote->stale.load(std::memory_order_relaxed)) {
      Finish(op, SLIPWAY_E_STALE_REMOTE, 0);
    } else {
      best->Add(op, now_ns);
    }
  }
  for (uint32_t i = 0; i < box->queue_count; ++i) {
    SendQueue* q = box->queues[i];
    if (!q->Post() && q->fault() != SendQueue::Fault::kNone) q->lane()->LookSoon();
  }
  if (box->queue_count == 0 && !box->waiting.empty() && !std::exchange(box->lanes_wanted, true)) {
    box->peer->WantLanes(index_);
  }
}

// ---- completion ----------------------------------------------------------------------------------------------------

Stats& RdmaChannel::stats() { return owner_->stats(); }

void RdmaChannel::Finish(Op* op, slipway_status status, int32_t native) {
  op->state = Op::State::kDone;
  op->status = status;
  op->native = native;
  if (status != SLIPWAY_OK) {
    owner_->stats().Add(status == SLIPWAY_E_CANCELED ? Counter::slices_canceled : Counter::slices_failed);
  }
  op->remote->Unuse();
  op->mr->Unuse();
  done_.PushBack(op);
  ++done_count_;
}

void RdmaChannel::SendAgain(Op* op) {
  op->state = Op::State::kWaiting;
  op->outbox->waiting.PushBack(op);
  LookAt(op->outbox);
}

void RdmaChannel::OnCompletion(const ibv_wc& wc, uint64_t now_ns) {
  const uint16_t slot = SendQueue::SlotOf(wc.wr_id);
  if (slot >= slots_.size()) return;
  const Slot& s = slots_[slot];
  if (s.queue == nullptr || s.generation != SendQueue::GenerationOf(wc.wr_id)) return;  // of one that is gone
  RdmaPeer* peer = s.box->peer;
  const slipway_status peer_status = peer->failed() ? peer->status() : static_cast<slipway_status>(SLIPWAY_OK);
  const SendQueue::Fault fault = s.queue->OnCompletion(wc, peer_status, now_ns);
  if (!s.box->waiting.empty()) LookAt(s.box);
  switch (fault) {
    case SendQueue::Fault::kNone:
      return;
    case SendQueue::Fault::kSlice:
      return s.queue->lane()->LookSoon();
    case SendQueue::Fault::kPeer:
    case SendQueue::Fault::kDevice:
      peer->Fail(SLIPWAY_E_PEER,
                 "the peer does not answer: " + std::string(owner_->verbs().wc_status_str(wc.status)) +
                     "; see that it runs and that the network between is up",
                 static_cast<int>(wc.status));
  }
}

bool RdmaChannel::PollDevices(uint32_t enough, uint64_t& now_ns) {
  bool empty = true;
  for (const auto& queue : queues_) {
    ibv_wc wc[kPollMax];
    int n = kPollMax;
    while (n == kPollMax && done_count_ < enough) {
      n = queue->Poll(wc, kPollMax);
      if (n < 0) {
        owner_->DeviceFailed("a completion queue cannot be polled");
        break;
      }
      if (n > 0 && now_ns == 0) now_ns = owner_->host().NowNs();
      for (int i = 0; i < n; ++i) OnCompletion(wc[i], now_ns);
    }
    empty = empty && n < kPollMax;
  }
  if (now_ns != 0) PumpDirty(now_ns);
  return empty;
}

bool RdmaChannel::Rearm(uint64_t now_ns) {
  bool more = false;
  for (const auto& queue : queues_) {
    if (!queue->wants_rearm()) continue;
    if (now_ns == 0) now_ns = owner_->host().NowNs();
    more = queue->Rearm(now_ns, uint64_t{owner_->config().event_delay_us} * 1000, owner_->stats()) || more;
  }
  return more;
}

void RdmaChannel::Emit(sdk::Completions& out) {
  while (!out.full() && !done_.empty()) {
    Op* op = done_.PopFront();
    --done_count_;
    out.Put(op->token, op->status, op->bytes, op->native);
    op->state = Op::State::kFree;
    free_.PushBack(op);
  }
}

slipway_status RdmaChannel::Poll(sdk::Completions& out) {
  MutexLock lock(mutex_);
  Emit(out);
  while (!out.full()) {
    // Nothing may be left unseen when fewer than asked for are given: the core may go to sleep then.
    uint64_t now_ns = 0;
    const bool empty = PollDevices(out.room(), now_ns);
    Emit(out);
    if (empty && !out.full() && !Rearm(now_ns)) break;
  }
  if (done_.empty()) {
    Unsignal();
  } else {
    Signal();
  }
  return SLIPWAY_OK;
}

void RdmaChannel::Signal() {
  if (signaled_) return;
  const uint64_t one = 1;
  signaled_ = write(software_fd_, &one, sizeof(one)) == sizeof(one);
}

void RdmaChannel::Unsignal() {
  if (!signaled_) return;
  uint64_t count;
  [[maybe_unused]] const ssize_t r = read(software_fd_, &count, sizeof(count));
  signaled_ = false;
}

slipway_status RdmaChannel::Cancel(uint64_t token) {
  MutexLock lock(mutex_);
  for (Op& op : ops_) {
    if (op.token != token) continue;
    if (op.state == Op::State::kPosted) op.canceled = true;  // ends as it ends; it is not sent again
    if (op.state != Op::State::kWaiting || !op.outbox->waiting.Remove(&op)) continue;
    Finish(&op, SLIPWAY_E_CANCELED, 0);
    Signal();
  }
  return SLIPWAY_OK;
}

// ---- by the loop ---------------------------------------------------------------------------------------------------

void RdmaChannel::Attach(Outbox* box, SendQueue* queue, ibv_qp* qp, uint32_t depth, uint32_t inline_bytes) {
  const uint64_t now_ns = owner_->host().NowNs();
  MutexLock lock(mutex_);
  size_t slot = 0;
  while (slot < slots_.size() && slots_[slot].queue != nullptr) ++slot;
  if (slot == slots_.size()) slots_.emplace_back();
  Slot& s = slots_[slot];
  s.queue = queue;
  s.box = box;
  ++s.generation;
  queue->Open(qp, depth, inline_bytes, static_cast<uint16_t>(slot), s.generation, now_ns);
  box->queues[box->queue_count++] = queue;
  Pump(box, now_ns);
  if (!done_.empty()) Signal();
}

void RdmaChannel::Close(SendQueue* queue) {
  MutexLock lock(mutex_);
  queue->Close();
}

void RdmaChannel::Detach(Outbox* box, SendQueue* queue, slipway_status status) {
  const uint64_t now_ns = owner_->host().NowNs();
  MutexLock lock(mutex_);
  queue->Abandon(status);
  slots_[queue->slot()].queue = nullptr;
  const auto end = box->queues.begin() + box->queue_count;
  const auto at = std::find(box->queues.begin(), end, queue);
  if (at != end) {
    std::move(at + 1, end, at);
    --box->queue_count;
  }
  PumpDirty(now_ns);
  if (!done_.empty()) Signal();
}

void RdmaChannel::FailWaiting(Outbox* box, slipway_status status) {
  MutexLock lock(mutex_);
  while (!box->waiting.empty()) Finish(box->waiting.PopFront(), status, 0);
  if (!done_.empty()) Signal();
}

uint32_t RdmaChannel::Drain(const SendQueue* queue) {
  MutexLock lock(mutex_);
  uint64_t now_ns = 0;
  PollDevices(~0u, now_ns);
  if (!done_.empty()) Signal();
  return queue == nullptr ? 0 : queue->outstanding();
}

void RdmaChannel::DrainIfFree() {
  if (!mutex_.TryLock()) return;
  uint64_t now_ns = 0;
  PollDevices(~0u, now_ns);
  const bool tell = !done_.empty() && !signaled_;
  if (tell) Signal();
  mutex_.Unlock();
}

RdmaChannel::Pulse RdmaChannel::PulseOf(const SendQueue* queue) {
  MutexLock lock(mutex_);
  return {queue->outstanding(), queue->next_bytes(), queue->progress_ns(), queue->fault()};
}

}  // namespace slipway::rdma

#include "plugins/local-memcpy/progress.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>

#include "plugins/local-memcpy/copy.h"
#include "plugins/local-memcpy/device_copies.h"
#include "plugins/local-memcpy/process_copy.h"
#include "plugins/local-memcpy/transport.h"

namespace slipway::local_memcpy {
namespace {

// One submit() copies at most this many times inline_bytes itself, since it must not keep its caller waiting.
constexpr uint64_t kInlinePerSubmit = 16;
constexpr uint64_t kLine = 64;

bool Overlap(const char* a, const char* b, uint64_t length) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y ? y - x < length : x - y < length;
}

// Where the bytes are, once it is known how the remote is reached.
void Aim(Op& op, uint64_t streaming_bytes) {
  const LocalRemote& remote = *op.remote;
  char* const base = remote.base();
  char* const there = base == nullptr ? nullptr : base + op.remote_offset;
  op.to = op.read ? op.local : there;
  op.from = op.read ? there : op.local;
  // Another process's memory is mapped where nobody here has a buffer.
  op.overlaps = remote.in_this_process() && Overlap(op.local, there, op.length);
  op.streaming = !op.overlaps && op.length >= streaming_bytes;
}

// Sets status and native where it did not work, and returns how many bytes were copied.
uint64_t CopyRange(Op& op, uint64_t offset, uint64_t length, slipway_status& status, int32_t& native) {
  if (op.to == nullptr || op.from == nullptr) {
    const LocalRemote& remote = *op.remote;
    const uint64_t there = remote.address() + op.remote_offset + offset;
    uint64_t moved = 0;
    status = op.read ? ReadProcess(remote.pid(), there, op.to + offset, length, moved, native)
                     : WriteProcess(remote.pid(), there, op.from + offset, length, moved, native);
    return moved;
  }
  if (op.streaming) {
    CopyStreaming(op.to + offset, op.from + offset, length, BestStreaming());
  } else {
    CopyCached(op.to + offset, op.from + offset, length);
  }
  return length;
}

}  // namespace

// ---- OpList ----------------------------------------------------------------------------------------------------

void OpList::PushBack(Op& op) {
  op.prev = tail_;
  op.next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = &op;
  tail_ = &op;
}
void OpList::Remove(Op& op) {
  (op.prev != nullptr ? op.prev->next : head_) = op.next;
  (op.next != nullptr ? op.next->prev : tail_) = op.prev;
  op.prev = op.next = nullptr;
}
Op* OpList::PopFront() {
  Op* const op = head_;
  if (op != nullptr) Remove(*op);
  return op;
}
void OpList::Append(OpList& other) {
  if (other.empty()) return;
  other.head_->prev = tail_;
  (tail_ != nullptr ? tail_->next : head_) = other.head_;
  tail_ = other.tail_;
  other.head_ = other.tail_ = nullptr;
}

// ---- Pool ------------------------------------------------------------------------------------------------------

Pool::Pool(const Config& config, const sdk::Host& host, Counters& counters)
    : config_(config), host_(host), counters_(counters) {}

void Pool::Start() {
  // The application's signals are not for these threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    threads_.reserve(config_.threads);
    for (uint32_t i = 0; i < config_.threads; ++i) threads_.emplace_back(&Pool::Run, this, kChannelLanes + i);
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.NotifyAll();
  }
  for (std::thread& t : threads_) t.join();
  threads_.clear();
}

void Pool::Put(OpList& list, Op& op) {
  op.list = &list;
  list.PushBack(op);
}

void Pool::LookAtWaiting() {
  MutexLock lock(mutex_);
  for (Op *op = waiting_.front(), *next = nullptr; op != nullptr; op = next) {
    next = op->next;
    if (op->remote->pending()) continue;
    waiting_.Remove(*op);
    Aim(*op, config_.streaming_bytes);
    Put(queue_, *op);
  }
  work_.NotifyAll();
}

bool Pool::Enqueue(OpList& ops) {
  MutexLock lock(mutex_);
  if (closed_.load(std::memory_order_relaxed)) return false;
  bool shared = false;
  while (Op* const op = ops.PopFront()) {
    ++outstanding_;
    if (op->remote->pending()) {
      Put(waiting_, *op);
      continue;
    }
    Aim(*op, config_.streaming_bytes);
    shared = shared || !queue_.empty() || PieceLength(*op) < op->length;
    Put(queue_, *op);
  }
  if (shared) {
    work_.NotifyAll();
  } else {
    work_.NotifyOne();
  }
  return true;
}

// What the next thread takes of the op: whole cache lines of the destination, and all of it where pieces would not add
// up to the whole.
uint64_t Pool::PieceLength(const Op& op) const {
  const uint64_t left = op.length - op.claimed;
  if (op.overlaps || left <= config_.split_bytes + config_.split_bytes / 2) return left;
  const uint64_t end = reinterpret_cast<uintptr_t>(op.to) + op.claimed + config_.split_bytes;
  return config_.split_bytes - end % kLine;
}

// Nothing more of the op is copied; it ends when the threads that copy a piece of it are done.
void Pool::EndEarly(Op& op, slipway_status status) {
  if (op.status == SLIPWAY_OK) op.status = status;
  op.claimed = op.length;
  if (op.list != nullptr) {
    op.list->Remove(op);
    op.list = nullptr;
  }
}

void Pool::CopyPiece(Op& op, uint64_t offset, uint64_t length, uint32_t lane) {
  ++op.running;
  mutex_.Unlock();
  const bool granted = op.remote->Enter(lane);
  slipway_status status = SLIPWAY_OK;
  int32_t native = 0;
  uint64_t copied = 0;
  if (granted) {
    copied = CopyRange(op, offset, length, status, native);
    op.remote->Leave(lane);
    counters_.pieces.fetch_add(1, std::memory_order_relaxed);
  } else {
    status = op.remote->WhyGone();
  }
  mutex_.Lock();
  --op.running;
  op.copied += copied;
  if (status == SLIPWAY_OK) return;
  if (op.status == SLIPWAY_OK) op.native = native;
  EndEarly(op, status);
}

void Pool::Run(uint32_t lane) {
  pthread_setname_np(pthread_self(), "slipway-copy");
  MutexLock lock(mutex_);
  for (;;) {
    while (queue_.empty() && !stopping_) work_.Wait(mutex_);
    if (stopping_) return;
    Op& op = *queue_.front();
    const uint64_t offset = op.claimed;
    const uint64_t length = PieceLength(op);
    op.claimed += length;
    queue_.Remove(op);
    op.list = nullptr;
    if (op.claimed < op.length) Put(queue_, op);  // to the end: every slice gets its turn
    CopyPiece(op, offset, length, lane);
    if (op.running > 0 || op.claimed < op.length) continue;
    lock.Unlock();
    OpList done;
    LocalChannel& channel = *op.channel;
    done.PushBack(op);
    channel.Complete(done);
    lock.Lock();
    --outstanding_;
  }
}

void Pool::CancelIn(OpList& list, const LocalChannel* channel, const uint64_t* token, OpList& done) {
  for (Op *op = list.front(), *next = nullptr; op != nullptr; op = next) {
    next = op->next;
    if ((channel != nullptr && op->channel != channel) || (token != nullptr && op->token != *token)) continue;
    EndEarly(*op, SLIPWAY_E_CANCELED);
    if (op->running == 0) done.PushBack(*op);  // else the last of the threads that copy it completes it
  }
}

void Pool::Cancel(const LocalChannel* channel, const uint64_t* token) {
  OpList done;
  uint64_t count = 0;
  {
    MutexLock lock(mutex_);
    CancelIn(queue_, channel, token, done);
    CancelIn(waiting_, channel, token, done);
  }
  while (Op* const op = done.PopFront()) {
    OpList one;
    one.PushBack(*op);
    ++count;
    op->channel->Complete(one);
  }
  MutexLock lock(mutex_);
  outstanding_ -= count;
}

bool Pool::Close(uint64_t timeout_ns) {
  {
    MutexLock lock(mutex_);
    closed_.store(true, std::memory_order_release);
  }
  Cancel(nullptr, nullptr);
  const uint64_t begin_ns = host_.NowNs();
  MutexLock lock(mutex_);
  while (outstanding_ > 0) {
    if (host_.NowNs() - begin_ns > timeout_ns) return false;
    lock.Unlock();
    std::this_thread::yield();  // a piece takes microseconds
    lock.Lock();
  }
  return true;
}

// ---- LocalChannel ----------------------------------------------------------------------------------------------

LocalChannel::LocalChannel(LocalInstance& owner, void* cookie, uint32_t lane, std::unique_ptr<DeviceCopies> devices)
    : owner_(owner),
      cookie_(cookie),
      lane_(lane),
      devices_(std::move(devices)),
      ops_(owner.attrs().max_inflight_per_channel) {
  MutexLock lock(mutex_);
  for (Op& op : ops_) free_.PushBack(op);
}

LocalChannel::~LocalChannel() {
  owner_.Forget(*this);
  MutexLock lock(mutex_);
  for (LocalRemote* remote : held_) remote->Leave(lane_);  // nobody is left to do it
  while (waking_ > 0) woken_.Wait(mutex_);
}

void LocalChannel::Prepare(Op& op, const slipway_slice& s) {
  op = Op{};
  op.channel = this;
  op.remote = static_cast<LocalRemote*>(sdk::AsRemote(s.remote));
  op.token = s.token;
  op.length = s.length;
  op.read = s.op == SLIPWAY_OP_READ;
  op.local = static_cast<char*>(s.local_addr);
  op.remote_offset = s.remote_offset;
  const LocalRemote& remote = *op.remote;
  const uint64_t kind_here = uint64_t{1} << (s.flags & SLIPWAY_SLICE_KIND_MASK);
  const uint64_t kind_there = remote.in_this_process() ? remote.grant().mem_kind : SLIPWAY_MEM_HOST;
  op.to_kind = op.read ? kind_here : kind_there;
  op.from_kind = op.read ? kind_there : kind_here;
}

// Copies the whole slice on this thread.
void LocalChannel::CopyNow(Op& op) const {
  if (!op.remote->Enter(lane_)) {
    op.status = op.remote->WhyGone();
    return;
  }
  Aim(op, owner_.config.streaming_bytes);
  op.copied = CopyRange(op, 0, op.length, op.status, op.native);
  op.remote->Leave(lane_);
}

slipway_status LocalChannel::Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) {
  MutexLock submitting(submit_mutex_);
  if (owner_.pool.closed()) return err.Fail(SLIPWAY_E_CANCELED, "submit: the instance was quiesced");
  OpList fresh, done, queued, devices;
  {
    MutexLock lock(mutex_);
    while (accepted < slices.size() && !free_.empty()) {
      fresh.PushBack(*free_.PopFront());
      ++accepted;
    }
  }
  uint64_t inline_left = owner_.config.inline_bytes * kInlinePerSubmit;
  // A slice that comes alone has nothing to gain from several threads, and to wake one takes as long as 1 MiB.
  const uint64_t inline_max = accepted == 1 ? inline_left : owner_.config.inline_bytes;
  uint64_t inline_slices = 0, device_slices = 0;
  for (uint32_t i = 0; i < accepted; ++i) {
    Op& op = *fresh.PopFront();
    Prepare(op, slices[i]);
    op.remote->Use();
    if (((op.to_kind | op.from_kind) & ~SLIPWAY_MEM_HOST) != 0) {
      ++device_slices;
      if (op.remote->in_this_process()) {
        Aim(op, owner_.config.streaming_bytes);
        devices.PushBack(op);
      } else {
        op.status = SLIPWAY_E_UNSUPPORTED;  // a copy that nobody could revoke: another transport does it
        done.PushBack(op);
      }
    } else if (op.length <= inline_max && op.length <= inline_left && !op.remote->pending()) {
      inline_left -= op.length;
      ++inline_slices;
      CopyNow(op);
      done.PushBack(op);
    } else {
      queued.PushBack(op);
    }
  }
  owner_.counters.slices.fetch_add(accepted, std::memory_order_relaxed);
  owner_.counters.inline_slices.fetch_add(inline_slices, std::memory_order_relaxed);
  if (!devices.empty()) {
    owner_.counters.device_slices.fetch_add(device_slices, std::memory_order_relaxed);
    devices_->Submit(devices, done);
  }
  if (!queued.empty() && !owner_.pool.Enqueue(queued)) {  // quiesced meanwhile: they complete all the same
    for (Op* op = queued.front(); op != nullptr; op = op->next) op->status = SLIPWAY_E_CANCELED;
    done.Append(queued);
  }
  if (!done.empty()) Complete(done);
  return SLIPWAY_OK;
}

void LocalChannel::Account(const OpList& ops) {
  Counters& counters = owner_.counters;
  for (Op* op = ops.front(); op != nullptr; op = op->next) {
    if (op->status == SLIPWAY_OK) {
      (op->read ? counters.bytes_read : counters.bytes_written).fetch_add(op->length, std::memory_order_relaxed);
    } else {
      (op->status == SLIPWAY_E_CANCELED ? counters.canceled : counters.failed).fetch_add(1, std::memory_order_relaxed);
    }
    op->remote->Unuse();  // before the core can see the completion and let go of the remote
  }
}

void LocalChannel::Complete(OpList& ops) {
  Account(ops);
  {
    MutexLock lock(mutex_);
    const bool wake = done_.empty();
    done_.Append(ops);
    if (!wake) return;
    ++waking_;
  }
  owner_.host().Wake(cookie_);
  MutexLock lock(mutex_);
  if (--waking_ == 0) woken_.NotifyAll();
}

slipway_status LocalChannel::Poll(sdk::Completions& out) {
  OpList copied;
  if (devices_ != nullptr) devices_->Poll(copied);
  Account(copied);
  MutexLock lock(mutex_);
  done_.Append(copied);
  while (!out.full() && !done_.empty()) {
    Op& op = *done_.PopFront();
    out.Put(op.token, op.status, op.copied, op.native);
    free_.PushBack(op);
  }
  return SLIPWAY_OK;
}

slipway_status LocalChannel::Cancel(uint64_t token) {
  owner_.pool.Cancel(this, &token);
  if (devices_ == nullptr) return SLIPWAY_OK;
  OpList canceled;
  devices_->Cancel(&token, canceled);
  if (!canceled.empty()) Complete(canceled);
  return SLIPWAY_OK;
}

slipway_status LocalChannel::Enter(LocalRemote& remote, bool hold, slipway_direct_view& out) {
  // Counted before it is looked whether the instance is closed: who closes it looks at the count afterwards. Counts are
  // changed by the calls of this channel alone, which the core serialises.
  const uint32_t entered = entered_.load(std::memory_order_relaxed);
  entered_.store(entered + 1);
  slipway_status status = SLIPWAY_OK;
  if (fork_guard_.forked()) {
    status = SLIPWAY_E_FORKED;
  } else if (owner_.pool.closed()) {
    status = SLIPWAY_E_CANCELED;
  } else if (remote.pending()) {
    status = SLIPWAY_E_AGAIN;
  } else if (remote.base() == nullptr || (hold && !remote.in_this_process())) {
    status = SLIPWAY_E_UNSUPPORTED;  // a lane tells of one registration, and only while its thread is copying
  } else if (!remote.Enter(lane_)) {
    status = remote.WhyGone();
  }
  if (status != SLIPWAY_OK) {
    entered_.store(entered, std::memory_order_release);
    return status;
  }
  if (hold) {
    MutexLock lock(mutex_);
    held_.push_back(&remote);
    remote.Use();
  }
  out.access = remote.access();
  out.base = remote.base();
  out.length = remote.length();
  out.mem_kind = remote.in_this_process() ? remote.grant().mem_kind : uint64_t{SLIPWAY_MEM_HOST};
  out.brief_bytes = owner_.config.inline_bytes;
  return SLIPWAY_OK;
}

void LocalChannel::Leave(LocalRemote& remote, bool hold, const slipway_direct_use& use) {
  if (hold) {
    MutexLock lock(mutex_);
    const auto at = std::find(held_.begin(), held_.end(), &remote);
    if (at == held_.end()) return;  // was given up
    *at = held_.back();
    held_.pop_back();
  }
  const auto count = [](std::atomic<uint64_t>& counter, uint64_t n) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  };
  count(hold ? direct.held : direct.brief, use.copies);
  count(direct.bytes_read, use.bytes_read);
  count(direct.bytes_written, use.bytes_written);
  remote.Leave(lane_);
  if (hold) remote.Unuse();
  entered_.store(entered_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

bool LocalChannel::FinishDevices(uint64_t deadline_ns) {
  OpList done;
  if (devices_ != nullptr) devices_->Cancel(nullptr, done);
  for (;;) {
    if (devices_ != nullptr) devices_->Poll(done);
    if (!done.empty()) Complete(done);
    if (entered_.load() == 0 && (devices_ == nullptr || devices_->idle())) return true;
    if (owner_.host().NowNs() > deadline_ns) return false;
    std::this_thread::yield();  // a copy takes microseconds to milliseconds
  }
}

void LocalChannel::AbandonDevices(uint64_t deadline_ns) {
  if (FinishDevices(deadline_ns)) return;
  if (devices_ != nullptr) devices_->Abandon();
  MutexLock lock(mutex_);
  for (LocalRemote* remote : held_) remote->Leave(lane_);
  held_.clear();
}

}  // namespace slipway::local_memcpy

// The io thread's half of a lane: connecting, receiving, time limits, the end.
#include "plugins/tcp/lane.h"

#include <sys/epoll.h>

#include <bit>
#include <cstring>
#include <thread>

#include "plugins/tcp/peer.h"
#include "plugins/tcp/transport.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway::tcp {
namespace {

constexpr uint64_t kReceiveBudget = 1 << 20;
constexpr uint64_t kDirectBudget = 128 << 10;  // the core may hold a lock while it polls
constexpr int kReceiveRounds = 16;
constexpr uint64_t kSendBudget = 16 << 20;

// What a peer may make a slice complete with. Anything else would make the core draw conclusions about this instance.
slipway_status StatusFromPeer(int32_t status) {
  return status == SLIPWAY_E_STALE_REMOTE || status == SLIPWAY_E_ACCESS || status == SLIPWAY_E_PROTOCOL
             ? status
             : SLIPWAY_E_PEER;
}

}  // namespace

Lane::Lane(TcpPeer* peer, IoLoop* loop, uint32_t index, uint32_t capacity)
    : peer_(peer),
      instance_(peer->owner()),
      loop_(loop),
      index_(index),
      mask_(std::bit_ceil(capacity) - 1),
      ring_(size_t{mask_} + 1) {}

Lane::~Lane() = default;

// ---- connecting ----------------------------------------------------------------------------------------------------

void Lane::Connect(size_t first_address) {
  if (state_ != State::kIdle) return;
  state_ = State::kConnecting;
  address_ = first_address;
  rx_ = std::make_unique<ReceiveState>(instance_->config().max_slice_bytes);
  TryNextAddress();
}

void Lane::TryNextAddress() {
  while (state_ != State::kEnded) {
    if (address_ >= peer_->address_count()) {
      const std::string why = "cannot reach the peer: " + last_error_;
      const slipway_status status = last_status_;
      peer_->OnLaneLost(this, status, why, last_errno_);
      return;
    }
    const SocketAddress& to = peer_->address(address_++);
    sockaddr_storage storage;
    const socklen_t len = ToSockaddr(to, &storage);
    socket_ = Socket(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    int error = socket_.open() ? 0 : errno;
    if (error == 0) {
      ApplyOptions(socket_.fd(), instance_->config(), instance_->networks().Near(to));
      instance_->stats().Add(Counter::connects_started);
      if (connect(socket_.fd(), reinterpret_cast<sockaddr*>(&storage), len) != 0 && errno != EINPROGRESS) error = errno;
    }
    if (error == 0) error = loop_->Watch(socket_.fd(), this, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    if (error == 0) {
      state_ = State::kConnecting;
      // Every address gets its share of the time, so that a silent one does not cost the others theirs.
      deadline_ns_ =
          loop_->now_ns() + uint64_t{instance_->config().connect_timeout_ms} * 1'000'000 / peer_->address_count();
      return;
    }
    instance_->stats().Add(Counter::connects_failed);
    socket_.Close();
    last_error_ = to.ToString() + ": " + ErrnoText(error);
    last_errno_ = error;
  }
}

void Lane::AttemptFailed(const std::string& why, int error, slipway_status status) {
  instance_->stats().Add(Counter::connects_failed);
  last_error_ = peer_->address(address_ - 1).ToString() + ": " + why;
  last_errno_ = error;
  last_status_ = status;
  loop_->Unwatch(socket_.fd());
  socket_.Close();
  rx_ = std::make_unique<ReceiveState>(instance_->config().max_slice_bytes);
  TryNextAddress();
}

void Lane::OnConnected() {
  state_ = State::kHello;
  deadline_ns_ = loop_->now_ns() + uint64_t{instance_->config().handshake_timeout_ms} * 1'000'000;
  Frame hello;
  hello.op = Op::kHello;
  hello.key = peer_->instance_id();
  hello.id = uint64_t{kProtocolVersion} | uint64_t{kProtocolVersion} << 32;
  hello.offset = instance_->config().max_requests_per_connection;
  uint8_t header[kHeaderBytes];
  EncodeHeader(hello, header);
  // A fresh connection has room for it.
  if (send(socket_.fd(), header, sizeof(header), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(header))) {
    AttemptFailed(ErrnoText(errno), errno, SLIPWAY_E_PEER);
  }
}

bool Lane::OnHelloAck(const Frame& frame) {
  if (frame.op != Op::kHelloAck && frame.op != Op::kGoodbye) {
    return Refuse(SLIPWAY_E_PROTOCOL, "expected an answer to HELLO");
  }
  if (frame.status != SLIPWAY_OK || frame.op == Op::kGoodbye) {
    const slipway_status status = StatusFromPeer(frame.status);
    return Refuse(status, status == SLIPWAY_E_STALE_REMOTE
                              ? "another instance listens there now: get the peer's address again"
                              : "the peer refused the connection; it may have as many as its max_connections allows");
  }
  if (frame.id != kProtocolVersion || !EqualConstantTime(frame.key, peer_->instance_id()) || frame.offset == 0 ||
      frame.length == 0) {
    return Refuse(SLIPWAY_E_PROTOCOL, "the answer to HELLO makes no sense");
  }
  state_ = State::kReady;
  {
    MutexLock lock(mutex_);
    window_ = std::min<uint64_t>(frame.offset, instance_->config().max_requests_per_connection);
  }
  if (instance_->config().splice_bytes != 0 && instance_->networks().Near(peer_->address(address_ - 1)) &&
      PeerIsSameUser(socket_.fd()) && pipe_.Open()) {
    headers_.resize((size_t{mask_} + 1) * kHeaderBytes);
    splicing_.store(true, std::memory_order_relaxed);
  }
  progress_ns_.store(loop_->now_ns(), std::memory_order_relaxed);
  ready_.store(true, std::memory_order_release);
  peer_->OnLaneReady(this, address_ - 1, frame.length);
  return true;
}

// ---- events --------------------------------------------------------------------------------------------------------

void Lane::OnEvents(uint32_t events) {
  if (direct_ && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
    TakeBack();
    if (state_ == State::kEnded) return;
  }
  if (state_ == State::kConnecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(socket_.fd(), SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) return AttemptFailed(ErrnoText(error), error, SLIPWAY_E_PEER);
    OnConnected();
  }
  if (rx_ != nullptr && (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) rx_->ending = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) ReceiveAll();
  if (state_ == State::kReady && (events & EPOLLOUT)) Send(kSendBudget, true);
}

void Lane::OnScheduled() {
  if (peer_->failed()) return End(peer_->status());
  if (state_ == State::kIdle) return Connect(peer_->first_address());
  if (direct_ && take_back_.load()) TakeBack();
  if (receive_more_) ReceiveAll();
  if (state_ == State::kReady) Send(kSendBudget, true);
}

void Lane::OnTick(uint64_t now_ns) {
  if (peer_->failed()) return End(peer_->status());
  if (state_ == State::kConnecting || state_ == State::kHello) {
    if (now_ns >= deadline_ns_) {
      AttemptFailed(state_ == State::kHello ? "connected, but no answer to HELLO in time" : "no answer in time", 0,
                    SLIPWAY_E_PEER);
    }
    return;
  }
  if (state_ != State::kReady) return;
  if (direct_ && take_back_.load()) TakeBack();
  const uint64_t limit_ns = uint64_t{instance_->config().peer_timeout_ms} * 1'000'000;
  const uint64_t since = progress_ns_.load(std::memory_order_relaxed);
  const uint64_t silent_ns = now_ns > since ? now_ns - since : 0;
  bool ping = false, late_cancel = false, work = false, idle = false;
  {
    MutexLock lock(mutex_);
    // Nobody polls for what is not outstanding, so what comes on an idle connection is for the loop.
    idle = std::exchange(idle_, true) && head_ == tail_;
    if (idle) short_run_ = 0;
    work = head_ != tail_;
    ping = work && !direct_ && silent_ns > limit_ns / 4 && !ping_out_ && !ping_wanted_;
    ping_wanted_ = ping_wanted_ || ping;
    late_cancel = CancelOverdue(now_ns);
  }
  // Perhaps nobody polls, or this process was stopped: what has come is looked at before the peer is judged by it.
  if (work && direct_ && silent_ns > limit_ns / 4) return TakeBack();
  // Earlier than the limit by what the ticks are apart and some more, so that completions are within it.
  if (work && silent_ns > limit_ns / 4 * 3) {
    instance_->stats().Add(Counter::peers_timed_out);
    peer_->Fail(SLIPWAY_E_PEER, "the peer has been silent for longer than peer_timeout_ms allows", 0);
    return End(peer_->status());
  }
  if (late_cancel) {
    peer_->Fail(SLIPWAY_E_PEER, "a canceled write did not end within peer_timeout_ms", 0);
    return End(peer_->status());
  }
  if (idle && direct_) TakeBack();
  if (ping) instance_->stats().Add(Counter::pings_sent);
  // Also without a ping: a send may have failed for want of memory, of which no event tells that it is over.
  if (work) Send(kSendBudget, true);
}

// ---- receiving -----------------------------------------------------------------------------------------------------

void Lane::ReceiveAll() {
  receive_more_ = false;
  for (int round = 0;; ++round) {
    if (state_ != State::kReady && state_ != State::kHello) return;
    if (round == kReceiveRounds) {
      receive_more_ = true;
      return loop_->Schedule(this);
    }
    const uint64_t before = rx_->received, calls = rx_->calls;
    const Received r = Receive(socket_.fd(), *rx_, *this, kReceiveBudget);
    instance_->stats().Add(Counter::receive_calls, rx_->calls - calls);
    if (rx_->received != before) progress_ns_.store(loop_->now_ns(), std::memory_order_relaxed);
    loop_->OnAnswers();
    instance_->Wake(&wakes_);
    if (r == Received::kBudget) continue;
    if (r == Received::kDrained) break;
    return OnConnectionLost(r);
  }
  // Answers make room in the window.
  if (state_ == State::kReady) Send(kSendBudget, true);
  if (state_ == State::kReady && !rx_->ending && NothingLarge()) LeaveToPollers();
}

void Lane::OnConnectionLost(Received r) {
  std::string why;
  slipway_status status = SLIPWAY_E_PEER;
  if (r == Received::kProtocol) {
    const DecodeError error = rx_->reader.error();
    if (error != DecodeError::kNone) Refuse(SLIPWAY_E_PROTOCOL, DecodeErrorName(error));
    why = refused_;
    status = refused_status_;
    if (status == SLIPWAY_E_PROTOCOL) instance_->stats().Add(Counter::protocol_errors);
  } else {
    why = r == Received::kClosed ? "the peer closed the connection" : ErrnoText(rx_->error);
  }
  if (state_ == State::kHello) return AttemptFailed(why, r == Received::kFailed ? rx_->error : 0, status);
  peer_->Fail(status, why, r == Received::kFailed ? rx_->error : 0);
  return End(peer_->status());
}

bool Lane::NothingLarge() {
  MutexLock lock(mutex_);
  return large_.load(std::memory_order_relaxed) == 0 && short_run_ >= kShortRun;
}

void Lane::LeaveToPollers() {
  if (direct_ || !instance_->config().poll_receives) return;
  take_back_.store(false);
  // Looked at after that: a large request or a cancel that came meanwhile is seen here, or has the loop take the lane
  // back.
  if (!NothingLarge()) return;
  if (loop_->Rewatch(socket_.fd(), this, EPOLLOUT | EPOLLRDHUP) != 0) return;
  direct_ = instance_->direct().Add(this, socket_.fd());
  if (!direct_) loop_->Rewatch(socket_.fd(), this, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

void Lane::TakeBack() {
  direct_ = false;
  instance_->direct().Remove(this, socket_.fd());
  {
    MutexLock lock(mutex_);
    short_run_ = 0;
  }
  if (outcome_ != Received::kDrained) return OnConnectionLost(outcome_);
  // What has come already is an event of the new watch.
  if (const int error = loop_->Rewatch(socket_.fd(), this, EPOLLIN | EPOLLOUT | EPOLLRDHUP); error != 0) {
    peer_->Fail(SLIPWAY_E_PEER, "the system does not watch the connection: " + ErrnoText(error), error);
    End(peer_->status());
  }
}

bool Lane::ReceiveDirect(const TcpChannel* poller) {
  if (outcome_ != Received::kDrained) return true;
  const uint64_t before = rx_->received, calls = rx_->calls;
  const Received r = Receive(socket_.fd(), *rx_, *this, kDirectBudget);
  const bool lost = r != Received::kDrained && r != Received::kBudget;
  if (rx_->received != before) {
    instance_->stats().Add(Counter::receive_calls, rx_->calls - calls);
    progress_ns_.store(instance_->host().NowNs(), std::memory_order_relaxed);
    instance_->Wake(&wakes_, poller);
    // Who queues more sends it, so this is about what the window held back, and about READ_DONE.
    if (!lost && more_to_send_) SendInline(instance_->config().inline_send_bytes);
  }
  if (!lost) return true;
  outcome_ = r;
  take_back_.store(true);
  loop_->Schedule(this);
  return false;
}

bool Lane::Refuse(slipway_status status, const std::string& why) {
  refused_ = why;
  refused_status_ = status;
  return false;
}

bool Lane::OnFrame(const Frame& frame) {
  if (state_ == State::kHello) return OnHelloAck(frame);
  switch (frame.op) {
    case Op::kWriteAck:
    case Op::kReadData:
      return OnAnswer(frame);
    case Op::kPong:
      return OnPong(frame);
    case Op::kGoodbye:
      return Refuse(StatusFromPeer(frame.status), "the peer said goodbye");
    default:
      return Refuse(SLIPWAY_E_PROTOCOL, "the peer sent what only initiators send");
  }
}

bool Lane::OnAnswer(const Frame& frame) {
  MutexLock lock(mutex_);
  SkipCanceled(&wakes_);
  if (received_ >= handed_out() || frame.id != received_) {
    return Refuse(SLIPWAY_E_PROTOCOL, "the peer answered what it was not asked");
  }
  Request& r = At(received_);
  if (r.write != (frame.op == Op::kWriteAck)) return Refuse(SLIPWAY_E_PROTOCOL, "the answer is of another operation");
  if (frame.op == Op::kReadData && frame.status == SLIPWAY_OK) {
    if (frame.length != r.length) return Refuse(SLIPWAY_E_PROTOCOL, "the answer is of another length");
    body_done_ = 0;
    body_lent_ = frame.offset == kLent;
    return true;
  }
  const slipway_status status = frame.status == SLIPWAY_OK ? SLIPWAY_OK : StatusFromPeer(frame.status);
  do {
    At(received_).answered = true;
    At(received_).status = status;
    ++received_;
  } while (received_ < handed_out() && At(received_).joined);
  PopAnswered(&wakes_);
  more_to_send_ = AnyUnsent();
  return true;
}

bool Lane::OnPong(const Frame&) {
  MutexLock lock(mutex_);
  SkipCanceled(&wakes_);
  // Pongs take their turn among the answers, so one that comes early shows a peer that answers nothing else.
  if (!ping_out_ || control_begin_ < ping_end_ || received_ < ping_after_) {
    return Refuse(SLIPWAY_E_PROTOCOL, "the peer sent PONG out of turn");
  }
  ping_out_ = false;
  more_to_send_ = AnyUnsent();
  return true;
}

uint8_t* Lane::BodyBegin() {
  MutexLock lock(mutex_);
  Request& r = At(received_);
  if (r.completed) return nullptr;
  body_busy_ = true;
  // Pages that are lent keep their bytes where they were in them, and registrations mostly begin with a page.
  body_detours_ = body_lent_ && sdk::MindsLyingBadly() &&
                  sdk::LieBadly(reinterpret_cast<uintptr_t>(r.local), static_cast<uintptr_t>(r.offset));
  return r.local + body_done_;
}

bool Lane::BodyEnd(uint64_t n) {
  MutexLock lock(mutex_);
  body_busy_ = false;
  body_done_ += n;
  Request& r = At(received_);
  const bool whole = rx_->reader.body_left() == 0;
  if (whole && body_lent_) {
    // The peer resets the connection before it takes lent pages back: bytes read after that may be others.
    if (ConnectionBroken(socket_.fd())) return Refuse(SLIPWAY_E_PEER, "the peer broke the connection");
    done_wanted_ = true;
    done_id_ = received_;
  }
  if (r.canceled && !r.completed && !whole) Complete(&r, SLIPWAY_E_CANCELED, &wakes_);
  if (whole) {
    r.answered = true;
    r.status = SLIPWAY_OK;
    ++received_;
    PopAnswered(&wakes_);
  }
  more_to_send_ = AnyUnsent();
  return true;
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Lane::End(slipway_status status) {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  if (std::exchange(direct_, false)) instance_->direct().Remove(this, socket_.fd());
  ready_.store(false, std::memory_order_release);
  bool outstanding = false;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    outstanding = head_ != tail_;
  }
  // Taken for good: a sender that is in a system call finishes it, and none comes after.
  while (sending_.exchange(true)) std::this_thread::yield();
  if (socket_.open()) {
    loop_->Unwatch(socket_.fd());
    // What completes now with a failure may not be written later, and its pages are the caller's again.
    outstanding ? socket_.Abort() : socket_.Close();
  }
  pipe_.Close();
  {
    MutexLock lock(mutex_);
    for (uint64_t i = head_; i < tail_; ++i) {
      Request& r = At(i);
      if (!r.completed) Complete(&r, r.canceled ? SLIPWAY_E_CANCELED : status, &wakes_);
    }
    head_ = received_ = sent_ = tail_;
    sent_part_ = in_call_ = joined_ = 0;
    frame_end_ = sent_;
    queued_bytes_.store(0, std::memory_order_relaxed);
  }
  instance_->Wake(&wakes_);
}

}  // namespace slipway::tcp

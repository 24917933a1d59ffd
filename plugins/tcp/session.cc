#include "plugins/tcp/session.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "plugins/tcp/transport.h"

namespace slipway::tcp {
namespace {

constexpr uint64_t kReceiveBudget = 1 << 20;
constexpr int kRounds = 16;
constexpr uint32_t kPingsMax = 4;  // answers beyond the window: pongs and the greeting

}  // namespace

Session::Session(TcpInstance* instance, IoLoop* loop, Socket socket, std::string peer_name)
    : instance_(instance),
      loop_(loop),
      socket_(std::move(socket)),
      peer_name_(std::move(peer_name)),
      rx_(instance->config().max_slice_bytes),
      accepted_ns_(instance->host().NowNs()),
      received_ns_(accepted_ns_),
      sent_ns_(accepted_ns_) {}

Session::~Session() {
  if (!lent_.empty()) socket_.Abort();
  ReleaseAll();
  instance_->OnSessionGone(greeted_);
}

void Session::OnAdopted() {
  if (loop_->Watch(socket_.fd(), this, EPOLLIN | EPOLLOUT | EPOLLRDHUP) == 0) return;
  Close(Counter::accept_errors, "the system does not watch another connection", SLIPWAY_E_PEER);
}

void Session::ReleaseAll() {
  if (write_to_ != nullptr) instance_->table().Release(std::exchange(write_to_, nullptr));
  body_to_ = nullptr;
  for (; first_ < last_; ++first_) {
    if (Registration* r = std::exchange(At(first_).registration, nullptr)) instance_->table().Release(r);
  }
  for (const Lent& lent : lent_) instance_->table().Release(lent.registration);
  lent_.clear();
}

void Session::Close(Counter counter, const std::string& why, slipway_status tell) {
  if (std::exchange(closed_, true)) return;
  instance_->stats().Add(counter);
  const bool ordinary = counter == Counter::connections_closed;
  instance_->LogOnce(ordinary ? SLIPWAY_LOG_DEBUG : SLIPWAY_LOG_WARNING, counter,
                     "connection from " + peer_name_ + " closed: " + why);
  loop_->Unwatch(socket_.fd());
  // The peer completes nothing with lent pages once it sees the reset, so they may be taken back.
  const bool lent = !lent_.empty() || sent_part_ > kHeaderBytes;
  if (lent) socket_.Abort();
  if (!lent && sent_part_ == 0) {
    Frame goodbye;
    goodbye.op = Op::kGoodbye;
    goodbye.status = tell;
    uint8_t header[kHeaderBytes];
    EncodeHeader(goodbye, header);
    // A courtesy: when the socket is full the peer sees the end of the connection all the same.
    [[maybe_unused]] const ssize_t n = send(socket_.fd(), header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  socket_.Close();
  pipe_.Close();
  ReleaseAll();
  loop_->Discard(this);
}

bool Session::Uses(const Registration* r) const {
  if (write_to_ == r) return true;
  for (uint64_t i = first_; i < last_; ++i) {
    if (answers_[i % answers_.size()].registration == r) return true;
  }
  return std::any_of(lent_.begin(), lent_.end(), [r](const Lent& lent) { return lent.registration == r; });
}

// ---- events --------------------------------------------------------------------------------------------------------

void Session::OnEvents(uint32_t events) {
  // An initiator that resets has completed what was on its way as failed, and may use the source again: what still lies
  // in the socket is not applied.
  if ((events & EPOLLERR) != 0) return Close(Counter::connections_closed, "the peer reset it", SLIPWAY_E_PEER);
  if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) rx_.ending = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) ReceiveAll();
  if (!closed_ && unsent()) SendAll();
}

bool Session::Look() {
  if (closed_) return false;
  const uint64_t before = rx_.received;
  ReceiveAll();
  if (!closed_ && unsent()) SendAll();
  return rx_.received != before;
}

void Session::OnScheduled() {
  if (closed_) return;
  if (std::exchange(more_, false)) ReceiveAll();
  if (!closed_ && unsent()) SendAll();
}

void Session::OnTick(uint64_t now_ns) {
  if (closed_) return;
  const Config& config = instance_->config();
  if (!greeted_) {
    if (now_ns - accepted_ns_ > uint64_t{config.handshake_timeout_ms} * 1'000'000) {
      Close(Counter::handshakes_timed_out, "no HELLO within handshake_timeout_ms", SLIPWAY_E_PEER);
    }
    return;
  }
  const uint64_t limit_ns = uint64_t{config.peer_timeout_ms} * 1'000'000;
  const bool receive_stalled = !rx_.reader.between_frames() && now_ns > received_ns_ + limit_ns;
  const bool send_stalled = (first_ != last_ || !lent_.empty()) && now_ns > sent_ns_ + limit_ns;
  if (receive_stalled || send_stalled) {
    Close(Counter::connections_stalled, "it stalled in the middle of a frame for peer_timeout_ms", SLIPWAY_E_PEER);
  } else if (unsent()) {
    SendAll();  // a send may have failed for want of memory, of which no event tells that it is over
  }
}

// ---- receiving -----------------------------------------------------------------------------------------------------

void Session::ReceiveAll() {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t before = rx_.received, calls = rx_.calls;
    const Received r = Receive(socket_.fd(), rx_, *this, kReceiveBudget);
    instance_->stats().Add(Counter::receive_calls, rx_.calls - calls);
    if (rx_.received != before) received_ns_ = loop_->now_ns();
    loop_->OnMoved(rx_.received - before);
    switch (r) {
      case Received::kBudget:
        // Answers leave before more is read, so that they do not wait for the end of a long stream.
        if (first_ != last_) SendAll();
        if (closed_) return;
        continue;
      case Received::kDrained:
        return;
      case Received::kClosed:
        return Close(Counter::connections_closed, "the peer closed it", SLIPWAY_OK);
      case Received::kFailed:
        return Close(Counter::connections_closed, ErrnoText(rx_.error), SLIPWAY_E_PEER);
      case Received::kProtocol:
        if (rx_.reader.error() != DecodeError::kNone) {
          Refuse(Counter::protocol_errors, DecodeErrorName(rx_.reader.error()));
        }
        return Close(refusal_, refused_, tell_);
    }
  }
  more_ = true;
  loop_->Schedule(this);
}

bool Session::Refuse(Counter counter, const std::string& why) {
  refusal_ = counter;
  refused_ = why;
  tell_ = counter == Counter::refused_stale_instance ? SLIPWAY_E_STALE_REMOTE : SLIPWAY_E_PROTOCOL;
  return false;
}

bool Session::OnFrame(const Frame& frame) {
  if (!greeted_) return OnHello(frame);
  switch (frame.op) {
    case Op::kWrite:
    case Op::kRead:
      return OnRequest(frame);
    case Op::kReadDone:
      return OnReadDone(frame.id);
    case Op::kPing:
      return Push(Op::kPong, frame.id, SLIPWAY_OK, 0, nullptr, nullptr);
    case Op::kGoodbye:
      return Refuse(Counter::connections_closed, "the peer said goodbye");
    default:
      return Refuse(Counter::protocol_errors, "the peer sent what only targets send");
  }
}

bool Session::OnHello(const Frame& frame) {
  if (frame.op != Op::kHello) return Refuse(Counter::protocol_errors, "the first frame is not HELLO");
  if (!EqualConstantTime(frame.key, instance_->id())) {
    return Refuse(Counter::refused_stale_instance, "it means another instance, which may have listened here before");
  }
  const uint32_t version_min = static_cast<uint32_t>(frame.id), version_max = static_cast<uint32_t>(frame.id >> 32);
  if (version_min > kProtocolVersion || version_max < kProtocolVersion || frame.offset == 0) {
    return Refuse(Counter::handshakes_refused, "no protocol version in common");
  }
  greeted_ = true;
  SocketAddress from;
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(storage);
  lending_ = instance_->config().splice_bytes != 0 &&
             getpeername(socket_.fd(), reinterpret_cast<sockaddr*>(&storage), &bytes) == 0 &&
             FromSockaddr(storage, &from) && instance_->networks().Near(from) && PeerIsSameUser(socket_.fd()) &&
             pipe_.Open();
  instance_->OnSessionGreeted();
  const uint64_t window = std::min<uint64_t>(frame.offset, instance_->config().max_requests_per_connection);
  answers_.resize(window + kPingsMax);
  if (lending_) headers_.resize(answers_.size() * kHeaderBytes);
  if (!Push(Op::kHelloAck, kProtocolVersion, SLIPWAY_OK, instance_->config().max_slice_bytes, nullptr, nullptr)) {
    return false;
  }
  At(last_ - 1).frame.key = instance_->id();
  At(last_ - 1).frame.offset = window;
  return true;
}

bool Session::OnRequest(const Frame& frame) {
  if (last_ - first_ >= answers_.size() - kPingsMax) {
    return Refuse(Counter::protocol_errors, "more requests than the window that was granted");
  }
  const RegistrationTable::Grant grant = instance_->table().Acquire(frame);
  if (grant.status != SLIPWAY_OK) {
    instance_->stats().Add(grant.refusal);
    instance_->LogOnce(SLIPWAY_LOG_WARNING, grant.refusal,
                       "a request from " + peer_name_ +
                           " was refused: it names a registration, a key, an access or a "
                           "range that was not granted");
  }
  if (frame.op == Op::kRead) {
    instance_->stats().Add(Counter::target_reads);
    return Push(Op::kReadData, frame.id, grant.status, grant.status == SLIPWAY_OK ? frame.length : 0,
                grant.registration, grant.addr);
  }
  instance_->stats().Add(Counter::target_writes);
  write_ = frame;
  write_status_ = grant.status;
  write_to_ = grant.registration;
  body_to_ = grant.addr;
  return true;
}

bool Session::OnReadDone(uint64_t id) {
  const auto known = std::find_if(lent_.begin(), lent_.end(), [id](const Lent& lent) { return lent.id == id; });
  if (known == lent_.end()) return Refuse(Counter::protocol_errors, "READ_DONE for what was not lent");
  for (auto lent = lent_.begin(); lent <= known; ++lent) instance_->table().Release(lent->registration);
  lent_.erase(lent_.begin(), known + 1);
  sent_ns_ = loop_->now_ns();
  return true;
}

uint8_t* Session::BodyBegin() {
  // Asked for each piece of a long body, because this process may have been stopped for longer than the peer waited.
  if (body_to_ != nullptr && rx_.reader.body_left() >= ReceiveState::kLongBody && !broken_) {
    broken_ = ConnectionBroken(socket_.fd());
  }
  return broken_ ? nullptr : body_to_;
}

bool Session::BodyEnd(uint64_t n) {
  if (broken_) return Refuse(Counter::connections_closed, "the peer reset it");
  if (body_to_ != nullptr) {
    body_to_ += n;
    instance_->stats().Add(Counter::target_bytes_in, n);
  }
  if (rx_.reader.body_left() != 0) return true;
  body_to_ = nullptr;
  if (write_to_ != nullptr) instance_->table().Release(std::exchange(write_to_, nullptr));
  return Push(Op::kWriteAck, write_.id, write_status_, 0, nullptr, nullptr);
}

}  // namespace slipway::tcp

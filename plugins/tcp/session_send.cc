// The sending half of a session: answers, in the order of their requests.
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "plugins/tcp/session.h"
#include "plugins/tcp/transport.h"

namespace slipway::tcp {
namespace {

constexpr int kRounds = 16;
constexpr size_t kFramesPerCall = 32;
constexpr uint64_t kBytesPerCall = 1 << 20;
constexpr uint64_t kLentReads = 4;  // times splice_bytes

}  // namespace

bool Session::MayLend(uint64_t length) const {
  // A lent body costs READ_DONE, and the peer a look at the connection, so that copying shorter ones is quicker.
  // A peer that does not say READ_DONE is sent copies once a window's worth of answers is lent.
  return lending_ && length / kLentReads >= instance_->config().splice_bytes &&
         lent_.size() + static_cast<size_t>(last_ - first_) < answers_.size();
}

bool Session::Push(Op op, uint64_t id, slipway_status status, uint64_t length, Registration* r, const uint8_t* body) {
  if (last_ - first_ >= answers_.size()) {
    if (r != nullptr) instance_->table().Release(r);
    return Refuse(Counter::protocol_errors, "more requests than the window that was granted");
  }
  if (first_ == last_) sent_ns_ = loop_->now_ns();
  Answer& a = At(last_++);
  a.frame = Frame{};
  a.frame.op = op;
  a.frame.id = id;
  a.frame.status = status;
  a.frame.length = length;
  a.registration = r;
  a.body = body;
  a.lent = body != nullptr && MayLend(length);
  if (a.lent) {
    a.frame.offset = kLent;
    a.number = lent_in_all_++;
  }
  return true;
}

void Session::SendAll() {
  if (pipe_.held() != 0) {
    // What the pipe holds counts as sent; the socket takes it before anything else.
    int error = 0;
    const uint64_t moved = pipe_.Flush(socket_.fd(), &error);
    instance_->stats().Add(Counter::send_calls);
    if (moved != 0) sent_ns_ = loop_->now_ns();
    if (error == EAGAIN) return;
    if (error != 0) return Close(Counter::connections_closed, ErrnoText(error), SLIPWAY_E_PEER);
  }
  for (int round = 0; first_ != last_; ++round) {
    if (round == kRounds) return loop_->Schedule(this);
    const SendResult result = At(first_).lent && lending_ ? SendLent() : SendFrames();
    if (result == SendResult::kBlocked || closed_) return;
  }
}

// Answers that are not lent, up to the next that is.
Session::SendResult Session::SendFrames() {
  uint8_t headers[kFramesPerCall][kHeaderBytes];
  iovec iov[2 * kFramesPerCall];
  size_t parts = 0, frames = 0;
  uint64_t bytes = 0, part = sent_part_;
  bool more_follows = false;
  for (uint64_t i = first_; i < last_ && frames < kFramesPerCall && bytes < kBytesPerCall; ++i) {
    const Answer& a = At(i);
    more_follows = a.lent && lending_;
    if (more_follows) break;
    uint8_t* header = headers[frames++];
    if (part < kHeaderBytes) {
      EncodeHeader(a.frame, header);
      iov[parts++] = {header + part, kHeaderBytes - static_cast<size_t>(part)};
      bytes += kHeaderBytes - part;
      part = kHeaderBytes;
    }
    if (a.body != nullptr) {
      const uint64_t from = part - kHeaderBytes;
      iov[parts++] = {const_cast<uint8_t*>(a.body) + from, static_cast<size_t>(a.frame.length - from)};
      bytes += a.frame.length - from;
    }
    part = 0;
  }
  ssize_t n;
  do {
    n = SendParts(socket_.fd(), iov, parts, more_follows);
  } while (n < 0 && errno == EINTR);
  instance_->stats().Add(Counter::send_calls);
  if (n < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS && errno != ENOMEM) {
      Close(Counter::connections_closed, ErrnoText(errno), SLIPWAY_E_PEER);
    }
    return SendResult::kBlocked;
  }
  Advance(static_cast<uint64_t>(n));
  return static_cast<uint64_t>(n) < bytes ? SendResult::kBlocked : SendResult::kMore;  // full: its event comes
}

// Answers that are lent, up to the next that is not, with their headers: one call for many.
Session::SendResult Session::SendLent() {
  iovec iov[2 * kFramesPerCall];
  size_t parts = 0;
  uint64_t bytes = 0, part = sent_part_;
  for (uint64_t i = first_; i < last_ && parts < 2 * kFramesPerCall && bytes < kPipedBytesPerCall && At(i).lent; ++i) {
    const Answer& a = At(i);
    if (part < kHeaderBytes) {
      uint8_t* const header = &headers_[a.number % answers_.size() * kHeaderBytes];
      EncodeHeader(a.frame, header);
      iov[parts++] = {header + part, kHeaderBytes - static_cast<size_t>(part)};
      bytes += kHeaderBytes - part;
      part = kHeaderBytes;
    }
    const uint64_t from = part - kHeaderBytes, n = std::min(a.frame.length - from, kPipedBytesPerCall - bytes);
    iov[parts++] = {const_cast<uint8_t*>(a.body) + from, static_cast<size_t>(n)};
    bytes += n;
    part = 0;
    if (from + n < a.frame.length) break;
  }
  const SplicePipe::Sent sent = pipe_.Send(socket_.fd(), iov, parts);
  instance_->stats().Add(Counter::send_calls);
  instance_->stats().Add(Counter::bytes_spliced, sent.bytes);
  if (sent.bytes != 0) Advance(sent.bytes);
  if (sent.refused) {
    // Memory whose pages cannot be lent, such as a device's: it is copied, and so is all that follows.
    instance_->stats().Add(Counter::splice_refused);
    lending_ = false;
  }
  if (sent.error == 0) return SendResult::kMore;
  if (sent.error != EAGAIN) Close(Counter::connections_closed, ErrnoText(sent.error), SLIPWAY_E_PEER);
  return SendResult::kBlocked;
}

void Session::Advance(uint64_t sent) {
  loop_->OnMoved(sent);
  sent_ns_ = loop_->now_ns();
  while (first_ != last_) {
    Answer& a = At(first_);
    const uint64_t take = std::min(sent, a.bytes() - sent_part_);
    sent -= take;
    sent_part_ += take;
    if (sent_part_ < a.bytes()) return;
    if (a.body != nullptr) instance_->stats().Add(Counter::target_bytes_out, a.frame.length);
    Registration* r = std::exchange(a.registration, nullptr);
    if (a.lent) {
      lent_.push_back({a.frame.id, r});
    } else if (r != nullptr) {
      instance_->table().Release(r);
    }
    sent_part_ = 0;
    ++first_;
  }
}

}  // namespace slipway::tcp

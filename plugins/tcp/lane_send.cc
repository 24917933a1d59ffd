// The sending half of a lane: the queue, and whoever empties it into the socket.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "plugins/tcp/lane.h"
#include "plugins/tcp/peer.h"
#include "plugins/tcp/transport.h"

namespace slipway::tcp {
namespace {

constexpr size_t kFramesPerCall = 32;
constexpr size_t kPartsPerCall = 2 * kFramesPerCall + 1;
// A frame of several requests is no longer than this part of what is queued, within these bounds: all of them wait for
// its end, and so do those that are submitted when they are complete.
constexpr uint64_t kJoinedPart = 8, kJoinedLeast = 256 << 10, kJoinedMost = 1 << 20;
// More in one call would hold the lane's other senders up for longer than a system call is worth.
constexpr uint64_t kBytesPerCall = 1 << 20;
constexpr uint64_t kLarge = 32 << 10;  // of a request
// Who submits copies a shorter body than this into the socket itself; the loop need not be woken for it.
constexpr uint64_t kCopiedInline = 256 << 10;

}  // namespace

// What is sent at once. The headers are made anew every time, so a request needs no room for one, unless it is lent.
struct Lane::Batch {
  static constexpr size_t kFewSlots = 4;  // of a header's size

  iovec iov[kPartsPerCall];
  uint8_t headers[kFramesPerCall][kHeaderBytes];
  size_t parts = 0, frames = 0;  // the latter: what is used of `headers`
  uint64_t bytes = 0;
  bool piped = false;         // all of it is lent, through the pipe
  bool more_follows = false;  // the next frame goes another way
  bool left_to_loop = false;  // the next frame is not this thread's to send

  void Add(const void* data, uint64_t n) {
    bytes += n;
    if (parts != 0 && static_cast<const uint8_t*>(iov[parts - 1].iov_base) + iov[parts - 1].iov_len == data) {
      iov[parts - 1].iov_len += static_cast<size_t>(n);
      return;
    }
    iov[parts++] = {const_cast<void*>(data), static_cast<size_t>(n)};
  }
  // A few bytes are copied behind their header, so that the kernel has one part to look at instead of two.
  void AddBody(const void* data, uint64_t n) {
    const size_t slots = (static_cast<size_t>(n) + kHeaderBytes - 1) / kHeaderBytes;
    if (slots > kFewSlots || frames + slots >= kFramesPerCall) return Add(data, n);
    std::memcpy(headers[frames], data, static_cast<size_t>(n));
    Add(headers[frames], n);
    frames += slots;
  }
};

bool Lane::Enqueue(const Request& request, bool* ended) {
  // Many bytes are the loop's: it moves them while the submitter and the poller do something else, as many to a system
  // call as there are. One request alone gains nothing by waiting for it, and is sent by its submitter.
  const bool large = request.length >= kLarge;
  if (large && !take_back_.exchange(true)) loop_->Schedule(this);
  MutexLock lock(mutex_);
  *ended = ended_;
  if (ended_ || tail_ - head_ > mask_) return false;
  if (head_ == tail_) progress_ns_.store(instance_->host().NowNs(), std::memory_order_relaxed);
  idle_ = false;
  if (large) {
    large_.fetch_add(1, std::memory_order_relaxed);
    short_run_ = 0;
  } else {
    ++short_run_;
  }
  At(tail_++) = request;
  queued_bytes_.fetch_add(request.length, std::memory_order_relaxed);
  return true;
}

bool Lane::LeftToLoop() {
  if (large_.load(std::memory_order_relaxed) <= 1) return false;
  MutexLock lock(mutex_);
  return tail_ != sent_;
}

void Lane::SendInline(uint64_t budget) { LeftToLoop() ? loop_->Schedule(this) : Send(budget); }

void Lane::Send(uint64_t budget, bool on_loop) {
  wanted_.store(true);
  // Whoever finds the right to send taken leaves `wanted_` for its holder, who looks at it after giving it back.
  while (wanted_.load() && !sending_.exchange(true)) {
    wanted_.store(false);
    SendResult r;
    while ((r = SendSome(&budget, on_loop)) == SendResult::kMore) {
    }
    sending_.store(false);
    if (r == SendResult::kBudget) return loop_->Schedule(this);
  }
}

Frame Lane::FrameOf(uint64_t index) const {
  const Request& r = At(index);
  Frame f;
  f.op = r.write ? Op::kWrite : Op::kRead;
  f.id = index;
  f.registration = r.registration;
  f.key = r.key;
  f.offset = r.offset;
  f.length = r.length;
  for (uint64_t i = index + 1; i < frame_end_ && At(i).joined; ++i) f.length += At(i).length;
  return f;
}

bool Lane::MidFrame() const { return sent_part_ != 0 || (sent_ < frame_end_ && At(sent_).joined); }

bool Lane::ControlUnsent() const { return ping_wanted_ || done_wanted_ || control_begin_ != control_end_; }

// The peer bounds the frames that it has not answered. What shares one that has begun needs no more room.
bool Lane::MayBeSent(uint64_t index) const { return index < frame_end_ || index - head_ - joined_ < window_; }

uint64_t Lane::handed_out() const { return std::max({in_call_, frame_end_, sent_}); }

// Writes that follow one another in the peer's memory share a frame and its answer: most of what a short one costs,
// here and there, is about the frame.
void Lane::BeginFrame(uint64_t index) {
  Request& first = At(index);
  uint64_t bytes = first.length, end = index + 1;
  const uint64_t part = queued_bytes_.load(std::memory_order_relaxed) / kJoinedPart;
  const uint64_t limit = std::min(std::clamp(part, kJoinedLeast, kJoinedMost), peer_->slice_bytes_max());
  const bool joins = first.write && !first.skipped;
  for (; joins && end < tail_; ++end) {
    Request& r = At(end);
    if (!r.write || r.completed || r.remote != first.remote || r.offset != first.offset + bytes ||
        bytes + r.length > limit) {
      break;
    }
    r.joined = true;
    ++joined_;
    bytes += r.length;
  }
  frame_end_ = end;
}

void Lane::GatherControl(Batch* batch) {
  if (control_begin_ == control_end_ && !MidFrame()) {
    control_begin_ = control_end_ = ping_end_ = 0;
    const auto put = [this](Op op, uint64_t id) SLIPWAY_REQUIRES(mutex_) {
      Frame f;
      f.op = op;
      f.id = id;
      EncodeHeader(f, control_ + control_end_);
      control_end_ += kHeaderBytes;
    };
    if (std::exchange(done_wanted_, false)) put(Op::kReadDone, done_id_);
    if (std::exchange(ping_wanted_, false)) {
      put(Op::kPing, 0);
      ping_end_ = control_end_;
      ping_out_ = true;
      ping_after_ = sent_;
    }
  }
  if (control_begin_ != control_end_) batch->Add(control_ + control_begin_, control_end_ - control_begin_);
}

// What is left of the body of the frame that request `index` is in, `part` bytes into that request's part of it.
uint64_t Lane::BodyLeft(uint64_t index, uint64_t part) const {
  const Request& first = At(index);
  if (!first.write) return 0;
  const uint64_t header_bytes = first.joined ? 0 : kHeaderBytes;
  uint64_t left = first.length - (part > header_bytes ? part - header_bytes : 0);
  for (uint64_t i = index + 1; i < frame_end_ && At(i).joined; ++i) left += At(i).length;
  return left;
}

void Lane::Gather(Batch* batch, uint64_t budget, bool on_loop) {
  uint64_t limit = std::min(budget, kBytesPerCall);
  const uint64_t splice_bytes =
      splicing_.load(std::memory_order_relaxed) ? instance_->config().splice_bytes : ~uint64_t{0};
  GatherControl(batch);
  uint64_t index = sent_;
  uint64_t part = sent_part_;
  for (; index < tail_ && MayBeSent(index) && batch->frames < kFramesPerCall && batch->parts + 2 <= kPartsPerCall &&
         batch->bytes < limit;
       ++index) {
    Request& r = At(index);
    const bool begins = part == 0 && index >= frame_end_;
    if (begins) {
      if (r.completed) r.skipped = true;
      BeginFrame(index);
    }
    if (r.skipped) continue;
    if (begins || index == sent_) {
      const uint64_t left = BodyLeft(index, part);
      if (left >= splice_bytes && !on_loop && left >= kCopiedInline) {
        batch->left_to_loop = true;
        break;
      }
      if (left >= splice_bytes && on_loop && !batch->piped) {
        // What has been gathered so far may not stay as it is for as long as pages are lent.
        batch->more_follows = batch->parts != 0;
        if (batch->more_follows) break;
        batch->piped = true;
        limit = std::min(limit, kPipedBytesPerCall);
      }
    }
    const uint64_t header_bytes = r.joined ? 0 : kHeaderBytes;
    if (part < header_bytes) {
      uint8_t* header = batch->piped ? &headers_[(index & mask_) * kHeaderBytes] : batch->headers[batch->frames];
      ++batch->frames;
      EncodeHeader(FrameOf(index), header);
      batch->Add(header + part, kHeaderBytes - part);
      part = kHeaderBytes;
    }
    if (r.write) {
      const uint64_t from = part - header_bytes;
      const uint64_t n = std::min(r.length - from, limit > batch->bytes ? limit - batch->bytes : 1);
      batch->piped ? batch->Add(r.local + from, n) : batch->AddBody(r.local + from, n);
    }
    part = 0;
  }
  in_call_ = index;
}

void Lane::Advance(uint64_t sent, WakeSet* wakes) {
  const uint64_t control = std::min<uint64_t>(control_end_ - control_begin_, sent);
  control_begin_ += static_cast<uint32_t>(control);
  sent -= control;
  while (sent_ < in_call_) {
    Request& r = At(sent_);
    if (!r.skipped) {
      const uint64_t total = FrameBytes(r);
      const uint64_t n = std::min(sent, total - sent_part_);
      sent -= n;
      sent_part_ += n;
      if (sent_part_ < total) break;
    }
    sent_part_ = 0;
    ++sent_;
  }
  // Frames of which the kernel took nothing have not begun: they are made anew, of what is then left of their requests.
  uint64_t begun = sent_;
  if (MidFrame()) {
    do ++begun;
    while (begun < frame_end_ && At(begun).joined);
  }
  for (uint64_t i = begun; i < frame_end_; ++i) joined_ -= std::exchange(At(i).joined, false) ? 1 : 0;
  frame_end_ = begun;
  // Canceled while they were with the kernel, which then took nothing of them.
  for (uint64_t i = begun; i < in_call_; ++i) {
    Request& r = At(i);
    if (r.canceled && !r.completed) Complete(&r, SLIPWAY_E_CANCELED, wakes);
    if (r.completed) r.skipped = true;
  }
  in_call_ = 0;
  SkipCanceled(wakes);
}

Lane::SendResult Lane::SendSome(uint64_t* budget, bool on_loop) {
  if (pipe_.held() != 0) {
    // What the pipe holds counts as sent; the socket takes it before anything else.
    int error = 0;
    if (pipe_.Flush(socket_.fd(), &error) != 0) {
      progress_ns_.store(instance_->host().NowNs(), std::memory_order_relaxed);
    }
    if (error != 0) return Sent(0, 1, error);
  }
  Batch batch;
  {
    MutexLock lock(mutex_);
    if (ended_ || window_ == 0) return SendResult::kNothing;
    if (*budget == 0) {
      const bool more = ControlUnsent() || (sent_ < tail_ && MayBeSent(sent_));
      return more ? SendResult::kBudget : SendResult::kNothing;
    }
    Gather(&batch, *budget, on_loop);
    if (batch.parts == 0) {
      WakeSet none;
      Advance(0, &none);  // past skipped requests, whose completions are queued
      return batch.left_to_loop ? SendResult::kBudget : SendResult::kNothing;
    }
  }
  if (batch.piped) return SendPiped(&batch, budget);
  ssize_t n;
  do {
    n = SendParts(socket_.fd(), batch.iov, batch.parts, batch.more_follows);
  } while (n < 0 && errno == EINTR);
  const int error = n < 0 ? errno : 0;
  const uint64_t sent = n > 0 ? static_cast<uint64_t>(n) : 0;
  *budget -= std::min(*budget, sent);
  return Sent(sent, batch.bytes, error);
}

Lane::SendResult Lane::SendPiped(Batch* batch, uint64_t* budget) {
  const SplicePipe::Sent sent = pipe_.Send(socket_.fd(), batch->iov, batch->parts);
  instance_->stats().Add(Counter::bytes_spliced, sent.bytes);
  *budget -= std::min(*budget, sent.bytes);
  const SendResult result = Sent(sent.bytes, sent.refused ? sent.bytes : batch->bytes, sent.error);
  if (sent.refused) {
    // Memory whose pages cannot be lent, such as a device's: it is copied, and so is all that follows.
    instance_->stats().Add(Counter::splice_refused);
    splicing_.store(false, std::memory_order_relaxed);
  }
  return sent.error == EAGAIN ? SendResult::kWouldBlock : result;
}

// After a system call that sent so much.
Lane::SendResult Lane::Sent(uint64_t sent, uint64_t wanted, int error) {
  instance_->stats().Add(Counter::send_calls);
  if (sent != 0) progress_ns_.store(instance_->host().NowNs(), std::memory_order_relaxed);
  WakeSet wakes;
  bool answered_early;
  {
    MutexLock lock(mutex_);
    Advance(sent, &wakes);
    answered_early = received_ > sent_;
  }
  instance_->Wake(&wakes);
  if (answered_early) {
    peer_->Fail(SLIPWAY_E_PROTOCOL, "the peer answered a request before it had all of it", 0);
    return SendResult::kNothing;
  }
  if (error != 0 && error != EAGAIN && error != EWOULDBLOCK) {
    // What the peer said last may still be in the socket: let the io thread read it before it ends the lane.
    return SendResult::kWouldBlock;
  }
  return sent < wanted ? SendResult::kWouldBlock : SendResult::kMore;
}

bool Lane::Cancel(const TcpChannel* channel, uint64_t token, WakeSet* wakes) {
  MutexLock lock(mutex_);
  for (uint64_t i = head_; i < tail_; ++i) {
    Request& r = At(i);
    if (r.channel != channel || r.token != token || r.completed) continue;
    r.canceled = true;
    // Its answer may come when nobody has a reason to poll any more.
    short_run_ = 0;
    if (!take_back_.exchange(true)) loop_->Schedule(this);
    const bool sent = i < handed_out();
    const bool arriving = i == received_ && body_busy_;
    if (!sent || (!r.write && !arriving && !r.answered)) {
      Complete(&r, SLIPWAY_E_CANCELED, wakes);
    } else if (r.write && cancel_deadline_ns_ == 0) {
      // Its bytes are on their way and end with the answer, or with the lane.
      cancel_deadline_ns_ = instance_->host().NowNs() + uint64_t{instance_->config().peer_timeout_ms} * 1'000'000;
    }
    return true;
  }
  return false;
}

void Lane::Complete(Request* r, slipway_status status, WakeSet* wakes) {
  r->completed = true;
  const bool ok = status == SLIPWAY_OK;
  Stats& stats = instance_->stats();
  if (ok) {
    stats.Add(r->write ? Counter::writes_completed : Counter::reads_completed);
    stats.Add(r->write ? Counter::bytes_written : Counter::bytes_read, r->length);
  } else {
    stats.Add(status == SLIPWAY_E_CANCELED ? Counter::slices_canceled : Counter::slices_failed);
  }
  r->remote->Unuse();
  if (r->mr != nullptr) r->mr->Unuse();
  r->channel->Push(r->token, status, ok ? r->length : 0, 0, wakes);
}

void Lane::SkipCanceled(WakeSet* wakes) {
  while (received_ < handed_out() && At(received_).skipped) ++received_;
  PopAnswered(wakes);
}

bool Lane::CancelOverdue(uint64_t now_ns) {
  if (cancel_deadline_ns_ == 0) return false;
  for (uint64_t i = head_; i < tail_; ++i) {
    if (At(i).canceled && !At(i).completed) return now_ns > cancel_deadline_ns_;
  }
  cancel_deadline_ns_ = 0;
  return false;
}

void Lane::PopAnswered(WakeSet* wakes) {
  while (head_ < received_ && head_ < sent_) {
    Request& r = At(head_++);
    if (r.length >= kLarge) large_.fetch_sub(1, std::memory_order_relaxed);
    if (r.joined) --joined_;
    if (!r.completed) Complete(&r, r.status, wakes);
    queued_bytes_.fetch_sub(r.length, std::memory_order_relaxed);
  }
}

}  // namespace slipway::tcp

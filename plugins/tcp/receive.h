// Reading a connection: headers through a small buffer, bodies straight to where they belong.
//
// A system call that waits for the end of a long body also takes the next header; short frames come many at a time
// through the buffer, and their bodies are copied from there (at most kBufferBytes of a body ever are).
#ifndef SLIPWAY_PLUGINS_TCP_RECEIVE_H_
#define SLIPWAY_PLUGINS_TCP_RECEIVE_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "plugins/tcp/splice.h"
#include "plugins/tcp/wire.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway::tcp {

enum class Received {
  kDrained,   // nothing more to read now
  kBudget,    // there may be more: come back
  kClosed,    // the peer closed, between frames or not
  kFailed,    // errno in ReceiveState::error
  kProtocol,  // a malformed header (FrameReader::error), or the handler refused
};

struct ReceiveState {
  static constexpr size_t kBufferBytes = 64 << 10;
  // From here on a body is long: its header is read alone, so that all of the body goes straight to its place.
  static constexpr uint64_t kLongBody = 16 << 10;

  explicit ReceiveState(uint64_t length_max)
      : reader(length_max), buffer(std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes)) {}

  FrameReader reader;
  std::unique_ptr<uint8_t[]> buffer;
  size_t begin = 0, end = 0;  // of what is in the buffer and not looked at
  uint64_t last_body = 0;
  uint64_t received = 0;  // bytes, ever
  uint64_t calls = 0;     // system calls, ever
  // The other side has closed, or the connection broke: no further event may come, so it is read to the end. Without
  // it, a short read means that there was no more, and the next event tells when there is.
  bool ending = false;
  int error = 0;
};

// Handler:
//   bool OnFrame(const Frame&)            a header; false: not acceptable
//   uint8_t* BodyBegin()                  where the next bytes of the body go, for as long as until BodyEnd; NULL: drop
//   bool BodyDetours()                    after that: they had better go through the buffer
//   bool BodyEnd(uint64_t n)              n of them are there; the body is complete when reader.body_left() is 0
template <typename Handler>
bool ConsumeBuffer(ReceiveState& s, Handler& h) {
  while (s.begin < s.end) {
    if (const uint64_t left = s.reader.body_left(); left != 0) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(s.end - s.begin, left));
      if (uint8_t* to = h.BodyBegin()) sdk::CopyBytes(to, s.buffer.get() + s.begin, n);
      s.begin += n;
      s.reader.Body(n);
      if (!h.BodyEnd(n)) return false;
      continue;
    }
    Frame frame;
    bool complete = false;
    s.begin += s.reader.Header(s.buffer.get() + s.begin, s.end - s.begin, &frame, &complete);
    if (s.reader.error() != DecodeError::kNone) return false;
    if (!complete) continue;
    s.last_body = frame.body_bytes();
    if (!h.OnFrame(frame)) return false;
  }
  s.begin = s.end = 0;
  return true;
}

// One system call; *short_read says that the socket had no more.
template <typename Handler>
Received ReceiveOnce(int fd, ReceiveState& s, Handler& h, bool* short_read) {
  const uint64_t left = s.reader.body_left();
  const size_t header_room = kHeaderBytes - s.reader.header_bytes();
  iovec iov[2];
  int parts = 0;
  bool direct = false;
  uint8_t* to = nullptr;
  if (left != 0) {
    to = h.BodyBegin();
    direct = to != nullptr && !h.BodyDetours();
    const uint64_t room = direct ? left : std::min<uint64_t>(left, ReceiveState::kBufferBytes);
    iov[parts++] = {direct ? to : s.buffer.get(), static_cast<size_t>(room)};
    if (direct)
      iov[parts++] = {s.buffer.get(),
                      s.last_body >= ReceiveState::kLongBody ? kHeaderBytes : ReceiveState::kBufferBytes};
  } else {
    iov[parts++] = {s.buffer.get(), s.last_body >= ReceiveState::kLongBody ? header_room : ReceiveState::kBufferBytes};
  }
  size_t asked = 0;
  for (int i = 0; i < parts; ++i) asked += iov[i].iov_len;
  ssize_t n;
  do {
    n = parts == 1 ? recv(fd, iov[0].iov_base, iov[0].iov_len, 0) : readv(fd, iov, parts);  // the former is cheaper
    ++s.calls;
  } while (n < 0 && errno == EINTR);
  const int error = errno;
  SpliceOrder::Received();
  const uint64_t got = n > 0 ? static_cast<uint64_t>(n) : 0;
  const uint64_t body = left != 0 ? std::min(got, left) : 0;
  s.received += got;
  if (left != 0) {
    if (to != nullptr && !direct) sdk::CopyBytes(to, s.buffer.get(), body);
    s.reader.Body(body);
    s.begin = 0;
    s.end = direct ? got - body : 0;
    if (!h.BodyEnd(body)) return Received::kProtocol;
  } else {
    s.begin = 0;
    s.end = got;
  }
  *short_read = got < asked;
  if (n == 0) return Received::kClosed;
  if (n < 0) {
    s.error = error;
    return error == EAGAIN || error == EWOULDBLOCK ? Received::kDrained : Received::kFailed;
  }
  return ConsumeBuffer(s, h) ? Received::kBudget : Received::kProtocol;
}

// Reads until the socket has no more, or about `budget` bytes were read.
template <typename Handler>
Received Receive(int fd, ReceiveState& s, Handler& h, uint64_t budget) {
  const uint64_t limit = s.received + budget;
  while (s.received < limit) {
    bool short_read = false;
    const Received r = ReceiveOnce(fd, s, h, &short_read);
    if (r != Received::kBudget) return r;
    if (short_read && !s.ending) return Received::kDrained;
  }
  return Received::kBudget;
}

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_RECEIVE_H_

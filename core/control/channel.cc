#include "core/control/channel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace slipway {
namespace {

// The longest a wait goes without looking at the clock again, which need not be the system's.
constexpr uint64_t kClockLook_ms = 500;
constexpr uint64_t kLingerNs = 500'000'000;
constexpr size_t kLingerBytes = 1u << 20;

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

Channel::Channel(UniqueFd fd, const Clock& clock) : fd_(std::move(fd)), clock_(clock) {}

Channel::~Channel() {
  if (ssl_ != nullptr && !tls_broken_ && SSL_is_init_finished(ssl_.get())) {
    ERR_clear_error();
    (void)SSL_shutdown(ssl_.get());  // one attempt: the peer learns that nothing was cut off
    ERR_clear_error();
  }
}

IoOutcome Channel::Wait(short events) {
  for (;;) {
    const uint64_t now_ns = clock_.NowNs();
    if (now_ns >= deadline_ns_) return IoOutcome::kTimedOut;
    const uint64_t left_ms = (deadline_ns_ - now_ns) / 1'000'000 + 1;
    pollfd entry{fd_.get(), events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::min(left_ms, kClockLook_ms)));
    if (ready > 0) return IoOutcome::kOk;
    if (ready < 0 && errno != EINTR) return IoOutcome::kFailed;
  }
}

// What to do about `result` of an operation on ssl_: kOk means to try it again.
IoOutcome Channel::WaitForTls(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait(POLLIN);
    case SSL_ERROR_WANT_WRITE:
      return Wait(POLLOUT);
    case SSL_ERROR_ZERO_RETURN:
      return IoOutcome::kClosed;
    default:
      tls_broken_ = true;
      return IoOutcome::kFailed;
  }
}

Status Channel::StartTls(const TlsContext& context, const std::string& host) {
  ssl_ = context.NewSession(fd_.get(), host);
  if (ssl_ == nullptr) return Status(SLIPWAY_E_TLS, "no TLS session: " + TakeTlsErrors());
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) return Status::Ok();
    const IoOutcome outcome = WaitForTls(result);
    if (outcome == IoOutcome::kOk) continue;
    tls_broken_ = true;
    if (outcome == IoOutcome::kTimedOut) {
      return Status(SLIPWAY_E_UNREACHABLE, "the TLS handshake was not answered in time");
    }
    return HandshakeError(context, ssl_.get());
  }
}

IoResult Channel::Read(char* data, size_t size) {
  for (;;) {
    // A peer that never stops sending keeps the socket readable, and Wait would never look at the clock.
    if (clock_.NowNs() >= deadline_ns_) return {IoOutcome::kTimedOut, 0};
    if (ssl_ == nullptr) {
      const ssize_t got = recv(fd_.get(), data, size, 0);
      if (got > 0) return {IoOutcome::kOk, static_cast<size_t>(got)};
      if (got == 0) return {IoOutcome::kClosed, 0};
      if (errno == EINTR) continue;
      if (!WouldBlock()) return {IoOutcome::kFailed, 0};
      const IoOutcome outcome = Wait(POLLIN);
      if (outcome != IoOutcome::kOk) return {outcome, 0};
      continue;
    }
    if (tls_broken_) return {IoOutcome::kFailed, 0};
    ERR_clear_error();
    size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), data, size, &got);
    if (result == 1) return {IoOutcome::kOk, got};
    const IoOutcome outcome = WaitForTls(result);
    if (outcome != IoOutcome::kOk) return {outcome, 0};
  }
}

IoResult Channel::Write(std::string_view data) {
  size_t done = 0;
  while (done < data.size()) {
    IoOutcome outcome = IoOutcome::kOk;
    if (ssl_ == nullptr) {
      const ssize_t sent = send(fd_.get(), data.data() + done, data.size() - done, MSG_NOSIGNAL);
      if (sent >= 0) {
        done += static_cast<size_t>(sent);
      } else if (errno != EINTR) {
        outcome = WouldBlock() ? Wait(POLLOUT) : IoOutcome::kFailed;
      }
    } else {
      if (tls_broken_) return {IoOutcome::kFailed, done};
      ERR_clear_error();
      size_t sent = 0;
      const int result = SSL_write_ex(ssl_.get(), data.data() + done, data.size() - done, &sent);
      done += sent;
      if (result != 1) outcome = WaitForTls(result);
    }
    if (outcome != IoOutcome::kOk) return {outcome, done};
    if (done < data.size() && clock_.NowNs() >= deadline_ns_) return {IoOutcome::kTimedOut, done};
  }
  return {IoOutcome::kOk, done};
}

bool Channel::HasBuffered() const { return ssl_ != nullptr && SSL_pending(ssl_.get()) > 0; }

IoResult Channel::Peek(unsigned char* byte) {
  for (;;) {
    const ssize_t got = recv(fd_.get(), byte, 1, MSG_PEEK);
    if (got == 1) return {IoOutcome::kOk, 1};
    if (got == 0) return {IoOutcome::kClosed, 0};
    if (errno == EINTR) continue;
    if (!WouldBlock()) return {IoOutcome::kFailed, 0};
    const IoOutcome outcome = Wait(POLLIN);
    if (outcome != IoOutcome::kOk) return {outcome, 0};
  }
}

void Channel::Linger() {
  if (ssl_ != nullptr && !tls_broken_) {
    ERR_clear_error();
    (void)SSL_shutdown(ssl_.get());
    tls_broken_ = true;  // said once; what follows is dropped unread
  }
  shutdown(fd_.get(), SHUT_WR);
  deadline_ns_ = std::min(deadline_ns_, DeadlineAfter(clock_.NowNs(), kLingerNs));
  std::array<char, 16384> dropped;
  size_t total = 0;
  while (total < kLingerBytes && clock_.NowNs() < deadline_ns_) {
    const ssize_t got = recv(fd_.get(), dropped.data(), dropped.size(), 0);
    if (got > 0) {
      total += static_cast<size_t>(got);
    } else if (got == 0 || (errno != EINTR && (!WouldBlock() || Wait(POLLIN) != IoOutcome::kOk))) {
      return;
    }
  }
}

bool Channel::IsQuiet() const {
  if (HasBuffered() || tls_broken_) return false;
  char byte = 0;
  return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && WouldBlock();
}

void Channel::Interrupt() { shutdown(fd_.get(), SHUT_RDWR); }

}  // namespace slipway

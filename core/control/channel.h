// One connected socket, plain or TLS, whose every wait ends at an absolute deadline.
#ifndef SLIPWAY_CORE_CONTROL_CHANNEL_H_
#define SLIPWAY_CORE_CONTROL_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/control/tls.h"
#include "core/control/unique_fd.h"
#include "slipway/status.hpp"

namespace slipway {

enum class IoOutcome { kOk, kClosed, kTimedOut, kFailed };

struct IoResult {
  IoOutcome outcome = IoOutcome::kOk;
  size_t bytes = 0;
};

// One thread at a time, except Interrupt.
class Channel {
 public:
  // `fd` is connected and non-blocking.
  Channel(UniqueFd fd, const Clock& clock);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int fd() const { return fd_.get(); }
  void set_deadline_ns(uint64_t deadline_ns) { deadline_ns_ = deadline_ns; }

  // TLS from here on. For a client `host` is what the certificate must name. E_TLS, or E_UNREACHABLE past the deadline.
  Status StartTls(const TlsContext& context, const std::string& host);
  bool has_tls() const { return ssl_ != nullptr; }

  // At least one byte, unless the outcome says otherwise.
  IoResult Read(char* data, size_t size);
  // All of `data`, or an outcome that says otherwise.
  IoResult Write(std::string_view data);

  // Bytes that were received but not yet read, so that waiting for the socket to be readable would be wrong.
  bool HasBuffered() const;
  // The next byte without taking it, from the socket itself; before TLS.
  IoResult Peek(unsigned char* byte);
  // Tells the peer that nothing more comes, then takes and drops what it still sends, so that closing does not
  // destroy what was just written to it. Bounded in time and bytes.
  void Linger();

  // Whether an idle connection is still good: nothing arrived, not even its end.
  bool IsQuiet() const;

  // Ends reads and writes that are under way, and all later ones. Any thread, while the channel lives.
  void Interrupt();

 private:
  IoOutcome Wait(short events);
  IoOutcome WaitForTls(int result);

  const UniqueFd fd_;
  const Clock& clock_;
  uint64_t deadline_ns_ = kNoDeadline;
  SslPtr ssl_;
  bool tls_broken_ = false;  // no closing message may be sent any more
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_CHANNEL_H_

// One HTTP message as the HTTP library's stream. For this folder's .cc files.
#ifndef SLIPWAY_CORE_CONTROL_HTTP_STREAM_H_
#define SLIPWAY_CORE_CONTROL_HTTP_STREAM_H_

#include <httplib.h>

#include <string>

#include "core/control/http_head.h"

namespace slipway {

// Reads give the head that Expect was told, then at most body_bytes from inbox and channel, and then the end: whatever
// the library believes of a message's length, it cannot touch the next one. Writes go to the channel.
class MessageStream : public httplib::Stream {
 public:
  MessageStream(Channel& channel, Inbox& inbox) : channel_(channel), inbox_(inbox) {}

  void Expect(std::string head, uint64_t body_bytes) {
    head_ = std::move(head);
    body_left_bytes_ = body_bytes;
  }
  bool all_read() const { return head_read_ == head_.size() && body_left_bytes_ == 0; }
  bool failed() const { return last_failure_ != IoOutcome::kOk; }
  IoOutcome last_failure() const { return last_failure_; }  // kOk: none

  bool is_readable() const override { return !all_read(); }
  bool is_writable() const override { return !failed(); }
  ssize_t read(char* data, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  // The library asks only in order to refuse descriptors that select(2) cannot take; the channel has no such limit.
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  Channel& channel_;
  Inbox& inbox_;
  std::string head_;
  size_t head_read_ = 0;
  uint64_t body_left_bytes_ = 0;
  IoOutcome last_failure_ = IoOutcome::kOk;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_HTTP_STREAM_H_

#include "core/control/http_stream.h"

#include <algorithm>
#include <cstring>

namespace slipway {
namespace {

constexpr size_t kReadAheadBytes = 64u << 10;  // the library asks for 4 KiB at a time

}  // namespace

ssize_t MessageStream::read(char* data, size_t size) {
  if (head_read_ < head_.size()) {
    const size_t bytes = std::min(size, head_.size() - head_read_);
    std::memcpy(data, head_.data() + head_read_, bytes);
    head_read_ += bytes;
    return static_cast<ssize_t>(bytes);
  }
  if (body_left_bytes_ == 0) return 0;
  if (inbox_.empty()) {
    std::string buffer(std::min<uint64_t>(kReadAheadBytes, body_left_bytes_), '\0');
    const IoResult got = channel_.Read(buffer.data(), buffer.size());
    if (got.outcome != IoOutcome::kOk) {
      last_failure_ = got.outcome;
      return -1;
    }
    inbox_.Append(std::string_view(buffer).substr(0, got.bytes));
  }
  const std::string_view have = inbox_.view();
  const size_t bytes = std::min({size, have.size(), static_cast<size_t>(body_left_bytes_)});
  std::memcpy(data, have.data(), bytes);
  inbox_.Consume(bytes);
  body_left_bytes_ -= bytes;
  return static_cast<ssize_t>(bytes);
}

ssize_t MessageStream::write(const char* data, size_t size) {
  if (failed()) return -1;
  const IoResult put = channel_.Write(std::string_view(data, size));
  if (put.outcome == IoOutcome::kOk) return static_cast<ssize_t>(size);
  last_failure_ = put.outcome;
  return -1;
}

void MessageStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

void MessageStream::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace slipway

// The head of an HTTP/1.1 message, read under a bound and vetted before the HTTP library sees it.
//
// The library keeps lines of any length, follows chunked bodies of any size, unpacks compressed ones, and matches
// regular expressions recursively against a peer's text. Therefore it is only ever given a head that this file wrote
// itself from the few fields that matter, and a body of known length.
#ifndef SLIPWAY_CORE_CONTROL_HTTP_HEAD_H_
#define SLIPWAY_CORE_CONTROL_HTTP_HEAD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/control/channel.h"
#include "slipway/status.hpp"

namespace slipway {

inline constexpr size_t kMaxHeadBytes = 16u << 10;
inline constexpr size_t kMaxHeadLines = 100;

// Why a request is not served: what the peer is told, and as which HTTP status. http_status 0: it is served.
struct Refusal {
  int http_status = 0;
  Status status;

  explicit operator bool() const { return http_status != 0; }
};

// Header lines in order, names in lower case, values without white space around them.
class HttpHeaders {
 public:
  // Nothing when there is none; of several the first.
  const std::string* Find(std::string_view name) const;
  size_t Count(std::string_view name) const;
  void Add(std::string name, std::string value) { lines_.emplace_back(std::move(name), std::move(value)); }
  size_t size() const { return lines_.size(); }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

struct RequestHead {
  std::string method;  // GET, HEAD or POST
  std::string target;  // begins with '/'
  HttpHeaders headers;
  uint64_t body_bytes = 0;
  bool keep_alive = true;

  std::string Canonical() const;  // what the library is given
};

// `text` ends with the empty line. Refuses what is not plain HTTP/1.1 with a body of a length known beforehand.
Refusal ParseRequestHead(std::string_view text, uint64_t max_body_bytes, RequestHead* head);

struct ReplyHead {
  int http_status = 0;
  std::string content_type;
  uint64_t body_bytes = 0;
  bool keep_alive = true;

  std::string Canonical() const;
};

// E_BAD_REPLY, or E_TOO_LARGE for a body beyond the limit.
Status ParseReplyHead(std::string_view text, uint64_t max_body_bytes, ReplyHead* head);

// Bytes that were received and not yet used.
class Inbox {
 public:
  std::string_view view() const { return std::string_view(data_).substr(begin_); }
  void Append(std::string_view more) { data_.append(more); }
  void Consume(size_t bytes);
  bool empty() const { return begin_ == data_.size(); }

 private:
  std::string data_;
  size_t begin_ = 0;
};

enum class HeadOutcome { kOk, kNothing, kCut, kTimedOut, kTooLong, kIsTls };

// Reads until `inbox` begins with a whole head, whose size goes to `head_bytes`. kNothing: the peer closed before the
// first byte; kCut: in the middle; kIsTls: what arrives is a TLS handshake.
HeadOutcome ReadHead(Channel& channel, Inbox& inbox, size_t* head_bytes);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_HTTP_HEAD_H_

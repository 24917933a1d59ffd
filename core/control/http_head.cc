#include "core/control/http_head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace slipway {
namespace {

constexpr std::string_view kBlankLine = "\r\n\r\n";
constexpr unsigned char kTlsHandshakeRecord = 0x16;

bool IsTokenCharacter(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110, section 5.6.2
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kMarks.find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter); }

bool IsVisible(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view Trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

// The first line goes to `start`. What is wrong, or nothing.
std::optional<std::string> SplitHead(std::string_view text, std::string_view* start, HttpHeaders* headers) {
  if (text.size() < kBlankLine.size() || text.substr(text.size() - kBlankLine.size()) != kBlankLine) {
    return "the head does not end with an empty line";
  }
  text.remove_suffix(2);
  for (bool first = true; !text.empty(); first = false) {
    const size_t end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    const bool clean =
        std::all_of(line.begin(), line.end(), [](unsigned char c) { return (c >= 0x20 && c != 0x7f) || c == '\t'; });
    if (!clean) return "a line holds control characters";
    if (first) {
      *start = line;
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return "a header line is not name: value";
    if (headers->size() >= kMaxHeadLines) return "more than " + std::to_string(kMaxHeadLines) + " header lines";
    headers->Add(Lower(line.substr(0, colon)), std::string(Trimmed(line.substr(colon + 1))));
  }
  return std::nullopt;
}

// Nothing where it is missing twice over: repeated, signed, spaced, or too large for 64 bits.
std::optional<uint64_t> ContentLength(const HttpHeaders& headers) {
  const std::string* text = headers.Find("content-length");
  if (text == nullptr) return 0;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (headers.Count("content-length") != 1 || text->empty() || error != std::errc() ||
      end != text->data() + text->size()) {
    return std::nullopt;
  }
  return value;
}

bool KeepAlive(const HttpHeaders& headers, bool http_1_0) {
  const std::string* connection = headers.Find("connection");
  const std::string value = connection == nullptr ? "" : Lower(*connection);
  if (http_1_0) return value == "keep-alive";
  return value.find("close") == std::string::npos;
}

Refusal Bad(int http_status, const std::string& message) {
  slipway_status code = SLIPWAY_E_INVALID;
  if (http_status == 413) code = SLIPWAY_E_TOO_LARGE;
  if (http_status == 405) code = SLIPWAY_E_UNSUPPORTED;
  return {http_status, Status(code, message)};
}

Refusal VetBody(RequestHead* head, uint64_t max_body_bytes) {
  const HttpHeaders& headers = head->headers;
  if (headers.Find("transfer-encoding") != nullptr) {
    return Bad(411, "send the body with a Content-Length, not with a Transfer-Encoding");
  }
  const std::string* encoding = headers.Find("content-encoding");
  if (encoding != nullptr && Lower(*encoding) != "identity")
    return Bad(415, "send the body without a Content-Encoding");
  const std::optional<uint64_t> length = ContentLength(headers);
  if (!length) return Bad(400, "Content-Length is not one number");
  if (*length > max_body_bytes) {
    return Bad(413, "the body has " + std::to_string(*length) + " bytes; control.max_body_bytes allows " +
                        std::to_string(max_body_bytes));
  }
  if (head->method == "POST") {
    if (headers.Find("content-length") == nullptr) return Bad(411, "POST needs a Content-Length");
    const std::string* type = headers.Find("content-type");
    const std::string media = type == nullptr ? "" : Lower(Trimmed(std::string_view(*type).substr(0, type->find(';'))));
    // Not for the parser's sake: a web page can make a browser send other types without asking this server first.
    if (media != "application/json") return Bad(415, "send the body as Content-Type: application/json");
  } else if (*length != 0) {
    return Bad(400, head->method + " takes no body");
  }
  head->body_bytes = *length;
  return {};
}

}  // namespace

const std::string* HttpHeaders::Find(std::string_view name) const {
  for (const auto& [key, value] : lines_) {
    if (key == name) return &value;
  }
  return nullptr;
}

size_t HttpHeaders::Count(std::string_view name) const {
  return static_cast<size_t>(
      std::count_if(lines_.begin(), lines_.end(), [&](const auto& line) { return line.first == name; }));
}

Refusal ParseRequestHead(std::string_view text, uint64_t max_body_bytes, RequestHead* head) {
  std::string_view start;
  if (const auto problem = SplitHead(text, &start, &head->headers)) return Bad(400, *problem);
  const size_t first = start.find(' ');
  const size_t second = first == std::string_view::npos ? first : start.find(' ', first + 1);
  if (second == std::string_view::npos) return Bad(400, "the first line is not METHOD /path HTTP/1.1");
  head->method = start.substr(0, first);
  head->target = start.substr(first + 1, second - first - 1);
  const std::string_view version = start.substr(second + 1);
  if (!IsToken(head->method) || !IsVisible(head->target) || head->target.front() != '/') {
    return Bad(400, "the first line is not METHOD /path HTTP/1.1");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Bad(505, "speak HTTP/1.1");
  if (head->method != "GET" && head->method != "HEAD" && head->method != "POST") {
    return Bad(405, "methods are GET, HEAD and POST");
  }
  head->keep_alive = KeepAlive(head->headers, version == "HTTP/1.0");
  return VetBody(head, max_body_bytes);
}

std::string RequestHead::Canonical() const {
  std::string out = method + " " + target + " HTTP/1.1\r\n";
  if (method == "POST") {
    out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n";
  }
  const std::string* expect = headers.Find("expect");
  if (expect != nullptr && Lower(*expect) == "100-continue" && body_bytes > 0) out += "Expect: 100-continue\r\n";
  if (!keep_alive) out += "Connection: close\r\n";
  return out + "\r\n";
}

Status ParseReplyHead(std::string_view text, uint64_t max_body_bytes, ReplyHead* head) {
  std::string_view start;
  HttpHeaders headers;
  if (const auto problem = SplitHead(text, &start, &headers)) return Status(SLIPWAY_E_BAD_REPLY, *problem);
  const bool http_1_0 = start.substr(0, 9) == "HTTP/1.0 ";
  const std::string_view code = start.substr(std::min<size_t>(9, start.size()), 3);
  const auto [end, error] = std::from_chars(code.data(), code.data() + code.size(), head->http_status);
  if ((!http_1_0 && start.substr(0, 9) != "HTTP/1.1 ") || code.size() != 3 || error != std::errc() ||
      end != code.data() + 3 || head->http_status < 200 || head->http_status > 599) {
    return Status(SLIPWAY_E_BAD_REPLY, "what answers is not an HTTP/1.1 server");
  }
  const std::optional<uint64_t> length = ContentLength(headers);
  const std::string* encoding = headers.Find("content-encoding");
  if (!length || headers.Find("content-length") == nullptr || headers.Find("transfer-encoding") != nullptr ||
      (encoding != nullptr && Lower(*encoding) != "identity")) {
    return Status(SLIPWAY_E_BAD_REPLY, "the reply is not a plain body of known length");
  }
  if (*length > max_body_bytes) {
    return Status(SLIPWAY_E_TOO_LARGE, "the reply has " + std::to_string(*length) +
                                           " bytes; raise control.max_body_bytes here, now " +
                                           std::to_string(max_body_bytes));
  }
  const std::string* type = headers.Find("content-type");
  head->content_type = type == nullptr ? "" : *type;
  head->body_bytes = *length;
  head->keep_alive = KeepAlive(headers, http_1_0);
  return Status::Ok();
}

std::string ReplyHead::Canonical() const {
  return "HTTP/1.1 " + std::to_string(http_status) + " -\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n\r\n";
}

void Inbox::Consume(size_t bytes) {
  begin_ += bytes;
  if (begin_ == data_.size()) {
    data_.clear();
    begin_ = 0;
  }
}

HeadOutcome ReadHead(Channel& channel, Inbox& inbox, size_t* head_bytes) {
  std::array<char, 4096> buffer;
  size_t searched = 0;
  for (;;) {
    const std::string_view have = inbox.view();
    if (!have.empty() && !channel.has_tls() && static_cast<unsigned char>(have[0]) == kTlsHandshakeRecord) {
      return HeadOutcome::kIsTls;
    }
    const size_t found = have.find(kBlankLine, searched);
    if (found != std::string_view::npos && found + kBlankLine.size() <= kMaxHeadBytes) {
      *head_bytes = found + kBlankLine.size();
      return HeadOutcome::kOk;
    }
    if (found != std::string_view::npos || have.size() >= kMaxHeadBytes) return HeadOutcome::kTooLong;
    searched = have.size() < kBlankLine.size() ? 0 : have.size() - (kBlankLine.size() - 1);
    const IoResult got = channel.Read(buffer.data(), buffer.size());
    if (got.outcome == IoOutcome::kTimedOut) return HeadOutcome::kTimedOut;
    if (got.outcome != IoOutcome::kOk) return have.empty() ? HeadOutcome::kNothing : HeadOutcome::kCut;
    inbox.Append(std::string_view(buffer.data(), got.bytes));
  }
}

}  // namespace slipway

#include <cstdlib>
#include <string>
#include <string_view>

#include "core/control/gate.h"
#include "core/control/http_head.h"
#include "tests/fuzz/control/targets.h"

namespace slipway {
namespace {

constexpr uint64_t kMaxBodyBytes = 1000;

void CheckRequest(std::string_view text) {
  RequestHead head;
  const Refusal refusal = ParseRequestHead(text, kMaxBodyBytes, &head);
  if (refusal) {
    if (refusal.status.ok() || refusal.http_status < 400) std::abort();
    return;
  }
  if (head.body_bytes > kMaxBodyBytes || (head.method != "POST" && head.body_bytes != 0)) std::abort();
  const Refusal entry = Gate("secret", "host", /*loopback=*/true).Admit(head);
  if (!entry && text.find("secret") == std::string_view::npos) std::abort();
  // What the library is given says the same, and parses as one head.
  const std::string canonical = head.Canonical();
  if (canonical.find("\r\n\r\n") != canonical.size() - 4) std::abort();
  RequestHead again;
  if (ParseRequestHead(canonical, kMaxBodyBytes, &again) || again.method != head.method ||
      again.target != head.target || again.body_bytes != head.body_bytes || again.keep_alive != head.keep_alive) {
    std::abort();
  }
}

}  // namespace

void FuzzHead(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckRequest(text);
  ReplyHead reply;
  if (!ParseReplyHead(text, kMaxBodyBytes, &reply).ok()) return;
  if (reply.body_bytes > kMaxBodyBytes || reply.http_status < 200 || reply.http_status > 599) std::abort();
}

}  // namespace slipway

#include "core/control/gate.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <strings.h>

#include <algorithm>

#include "core/control/address.h"

namespace slipway {
namespace {

constexpr size_t kMaxSecretBytes = 4096;
constexpr std::string_view kScheme = "Bearer ";

}  // namespace

Status CheckSecret(const std::string& secret) {
  const bool visible = std::all_of(secret.begin(), secret.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (visible && secret.size() <= kMaxSecretBytes) return Status::Ok();
  return Status(SLIPWAY_E_CONFIG_VALUE,
                "the control secret must be visible ASCII without spaces, at most 4096 bytes; make one with "
                "\"openssl rand -hex 32\" and put it into control.secret_file");
}

Gate::Gate(const std::string& secret, std::string host, bool loopback)
    : has_secret_(!secret.empty()), host_(std::move(host)), loopback_(loopback) {
  digest_ok_ = Hash(secret, &digest_);
}

bool Gate::Hash(std::string_view text, Digest* digest) {
  return EVP_Digest(text.data(), text.size(), digest->data(), nullptr, EVP_sha256(), nullptr) == 1;
}

Refusal Gate::Admit(const RequestHead& head) const {
  const HttpHeaders& headers = head.headers;
  if (headers.Count("host") != 1) {
    return {400, Status(SLIPWAY_E_INVALID, "a request has exactly one Host header")};
  }
  if (headers.Find("origin") != nullptr) {
    return {403, Status(SLIPWAY_E_ACCESS, "requests from web pages (with an Origin header) are refused")};
  }
  if (loopback_ && !HostAllowed(*headers.Find("host"))) {
    return {403, Status(SLIPWAY_E_ACCESS, "this Host is not a name of this server; use its address, or localhost")};
  }
  if (has_secret_ && !SecretMatches(headers)) {
    return {401, Status(SLIPWAY_E_UNAUTHENTICATED,
                        "the shared secret is missing or wrong: give both nodes the same control.secret_file")};
  }
  return {};
}

bool Gate::HostAllowed(const std::string& header) const {
  Result<HostPort> with_port = ParseHostPort(header);
  if (!with_port.ok()) with_port = ParseHostPort(header + ":80");
  if (!with_port.ok()) return false;
  const std::string& host = with_port->host;
  return IsIpLiteral(host) || strcasecmp(host.c_str(), "localhost") == 0 ||
         strcasecmp(host.c_str(), host_.c_str()) == 0;
}

bool Gate::SecretMatches(const HttpHeaders& headers) const {
  const std::string* line = headers.Find("authorization");
  if (line == nullptr || headers.Count("authorization") != 1) return false;
  if (strncasecmp(line->c_str(), kScheme.data(), kScheme.size()) != 0) return false;
  // Digests have one length and no structure, so that the time of the comparison tells nothing about the secret.
  Digest presented{};
  return digest_ok_ && Hash(std::string_view(*line).substr(kScheme.size()), &presented) &&
         CRYPTO_memcmp(presented.data(), digest_.data(), digest_.size()) == 0;
}

}  // namespace slipway

// SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104), for the proofs that travel in connection requests. A few hundred
// bytes a connection: plainness matters here, speed does not.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_DIGEST_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_DIGEST_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace slipway::rdma {

using Digest = std::array<uint8_t, 32>;

Digest Sha256(std::string_view data);
// `key`: at most 64 bytes.
Digest HmacSha256(std::string_view key, std::string_view message);

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_DIGEST_H_

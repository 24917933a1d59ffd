// What travels outside of the transfers themselves: exported addresses and registrations, and the private data of
// connection requests and replies. Pure; everything that is decoded here may come from an enemy.
//
// A connection request proves that whoever sends it holds the target's exported address: the address carries a secret,
// and the request a keyed digest over itself. Without it no queue pair is made. README.md says what that protects.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_WIRE_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_WIRE_H_

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/rdma-verbs/config.h"

namespace slipway::rdma {

inline constexpr uint32_t kProtocolVersion = 1;

using Key = std::array<uint8_t, 16>;  // 128 random bits

// Takes the same time wherever the two differ.
bool EqualConstantTime(const Key& a, const Key& b);
// False when the system has no randomness to give.
bool RandomBytes(void* out, size_t bytes);

struct SocketAddress {
  uint8_t family = 4;  // 4 or 6
  uint16_t port = 0;   // host order
  std::array<uint8_t, 16> bytes{};

  bool operator==(const SocketAddress&) const = default;
  std::string ToString() const;
};
void ToSockaddr(const SocketAddress& in, sockaddr_storage* out);
// How many leading bits two addresses of one family share; -1 where the families differ.
int CommonPrefixBits(const SocketAddress& a, const SocketAddress& b);

// ---- names ---------------------------------------------------------------------------------------------------------

struct InstanceAddress {
  Key instance{};  // its epoch: another one after every start
  Key secret{};    // whoever knows it may connect
  uint32_t protocol_min = kProtocolVersion, protocol_max = kProtocolVersion;
  std::vector<SocketAddress> endpoints;  // one a device, in the order of the registrations' keys; 1 .. kDevicesMax
};
inline constexpr size_t kAddressBlobBytesMax = 56 + kDevicesMax * 20;

struct RemoteRegistration {
  Key instance{};
  uint64_t base = 0;            // what offset 0 is called on the wire
  uint64_t length = 0;          // bytes
  uint32_t access = 0;          // SLIPWAY_ACCESS_*
  std::vector<uint32_t> rkeys;  // one a device
};
inline constexpr size_t kRegistrationBlobBytesMax = 56 + kDevicesMax * 4;

std::string EncodeAddress(const InstanceAddress& address);
std::optional<InstanceAddress> DecodeAddress(std::string_view blob);
std::string EncodeRegistration(const RemoteRegistration& registration);
std::optional<RemoteRegistration> DecodeRegistration(std::string_view blob);

// ---- connecting ----------------------------------------------------------------------------------------------------

// The connection manager carries at most 56 bytes of ours in a request, and pads them with zeros.
inline constexpr size_t kRequestBytes = 56;
inline constexpr size_t kReplyBytes = 32;
inline constexpr size_t kRefusalBytes = 8;

struct ConnectRequest {
  uint8_t version_min = kProtocolVersion, version_max = kProtocolVersion;
  uint8_t mtu = 0;     // ibv_mtu: the most that this side's port takes
  uint64_t epoch = 0;  // EpochOf the instance that is meant
  Key initiator{};     // the instance that asks
  uint64_t nonce = 0;  // random
};
struct ConnectReply {
  uint8_t version = kProtocolVersion;
  uint8_t mtu = 0;               // ibv_mtu of the connection
  uint64_t slice_bytes_max = 0;  // the longest message the target's device takes
};
enum class Refusal : uint8_t { kVersion = 1, kEpoch = 2, kProof = 3, kFull = 4, kResources = 5, kMalformed = 6 };

uint64_t EpochOf(const Key& instance);

std::array<uint8_t, kRequestBytes> EncodeRequest(const ConnectRequest& request, const Key& secret);
// What is wrong with it, or nullopt: *out is genuine. `secret` and `instance` are those of the target that looks.
std::optional<Refusal> CheckRequest(std::string_view private_data, const Key& instance, const Key& secret,
                                    ConnectRequest* out);
// `request`: the bytes that are answered. Only who knows the secret can make the answer.
std::array<uint8_t, kReplyBytes> EncodeReply(const ConnectReply& reply, std::string_view request, const Key& secret);
std::optional<ConnectReply> DecodeReply(std::string_view private_data, std::string_view request, const Key& secret);
std::array<uint8_t, kRefusalBytes> EncodeRefusal(Refusal why);
std::optional<Refusal> DecodeRefusal(std::string_view private_data);

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_WIRE_H_

#include "plugins/rdma-verbs/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "plugins/rdma-verbs/digest.h"
#include "slipway/abi/memory.h"

namespace slipway::rdma {
namespace {

constexpr uint32_t kAddressMagic = 0x41525753;       // "SWRA"
constexpr uint32_t kRegistrationMagic = 0x52525753;  // "SWRR"
constexpr uint16_t kRequestMagic = 0x5152;           // "RQ"
constexpr uint16_t kReplyMagic = 0x5052;             // "RP"
constexpr uint16_t kRefusalMagic = 0x4652;           // "RF"
constexpr size_t kRequestSignedBytes = kRequestBytes - sizeof(Key);
constexpr size_t kReplySignedBytes = kReplyBytes - sizeof(Key);
constexpr uint8_t kMtuMin = 1, kMtuMax = 5;  // IBV_MTU_256 .. IBV_MTU_4096

static_assert(std::endian::native == std::endian::little, "the wire is little endian and so far every target is too");

template <typename T>
void Put(char* at, const T& value) {
  std::memcpy(at, &value, sizeof(value));
}
template <typename T>
T Get(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
char* Chars(uint8_t* bytes) { return reinterpret_cast<char*>(bytes); }
std::string_view View(const Key& key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }

// The last eight bytes of a blob are a digest of the others: damage is noticed, intent is not.
uint64_t Sum(std::string_view data) { return Get<uint64_t>(reinterpret_cast<const char*>(Sha256(data).data())); }
void Seal(std::string* blob) {
  const uint64_t sum = Sum(*blob);
  blob->append(reinterpret_cast<const char*>(&sum), sizeof(sum));
}
bool Sealed(std::string_view blob) {
  return blob.size() > 8 && Sum(blob.substr(0, blob.size() - 8)) == Get<uint64_t>(blob.data() + blob.size() - 8);
}

Key Proof(const Key& secret, std::string_view what, std::string_view first, std::string_view second) {
  std::string message("slipway-rdma-verbs ");
  message.append(what);
  message.append(first);
  message.append(second);
  const Digest digest = HmacSha256(View(secret), message);
  Key out;
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

bool KnownMtu(uint8_t mtu) { return mtu >= kMtuMin && mtu <= kMtuMax; }

}  // namespace

bool EqualConstantTime(const Key& a, const Key& b) {
  uint8_t differ = 0;
  for (size_t i = 0; i < a.size(); ++i) differ = static_cast<uint8_t>(differ | (a[i] ^ b[i]));
  return differ == 0;
}

bool RandomBytes(void* out, size_t bytes) { return getrandom(out, bytes, 0) == static_cast<ssize_t>(bytes); }

std::string SocketAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "?";
  inet_ntop(family == 6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof(text));
  return (family == 6 ? "[" + std::string(text) + "]:" : std::string(text) + ":") + std::to_string(port);
}

void ToSockaddr(const SocketAddress& in, sockaddr_storage* out) {
  std::memset(out, 0, sizeof(*out));
  if (in.family == 6) {
    auto* a = reinterpret_cast<sockaddr_in6*>(out);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(in.port);
    std::memcpy(&a->sin6_addr, in.bytes.data(), 16);
    return;
  }
  auto* a = reinterpret_cast<sockaddr_in*>(out);
  a->sin_family = AF_INET;
  a->sin_port = htons(in.port);
  std::memcpy(&a->sin_addr, in.bytes.data(), 4);
}

int CommonPrefixBits(const SocketAddress& a, const SocketAddress& b) {
  if (a.family != b.family) return -1;
  const size_t bytes = a.family == 6 ? 16 : 4;
  for (size_t i = 0; i < bytes; ++i) {
    const auto differ = static_cast<uint8_t>(a.bytes[i] ^ b.bytes[i]);
    if (differ != 0) return static_cast<int>(i) * 8 + std::countl_zero(differ);
  }
  return static_cast<int>(bytes) * 8;
}

// ---- names ---------------------------------------------------------------------------------------------------------

std::string EncodeAddress(const InstanceAddress& address) {
  const size_t count = std::min<size_t>(address.endpoints.size(), kDevicesMax);
  std::string blob(48 + count * 20, '\0');
  Put(blob.data(), kAddressMagic);
  Put(blob.data() + 4, static_cast<uint32_t>(count));
  Put(blob.data() + 8, address.protocol_min);
  Put(blob.data() + 12, address.protocol_max);
  Put(blob.data() + 16, address.instance);
  Put(blob.data() + 32, address.secret);
  for (size_t i = 0; i < count; ++i) {
    char* at = blob.data() + 48 + i * 20;
    const SocketAddress& e = address.endpoints[i];
    at[0] = static_cast<char>(e.family);
    Put(at + 2, e.port);
    Put(at + 4, e.bytes);
  }
  Seal(&blob);
  return blob;
}

std::optional<InstanceAddress> DecodeAddress(std::string_view blob) {
  if (blob.size() < 56 || blob.size() > kAddressBlobBytesMax || !Sealed(blob)) return std::nullopt;
  const char* p = blob.data();
  const auto count = Get<uint32_t>(p + 4);
  if (Get<uint32_t>(p) != kAddressMagic || count == 0 || count > kDevicesMax) return std::nullopt;
  if (blob.size() != 56 + size_t{count} * 20) return std::nullopt;
  InstanceAddress out;
  out.protocol_min = Get<uint32_t>(p + 8);
  out.protocol_max = Get<uint32_t>(p + 12);
  if (out.protocol_min > out.protocol_max) return std::nullopt;
  out.instance = Get<Key>(p + 16);
  out.secret = Get<Key>(p + 32);
  for (uint32_t i = 0; i < count; ++i) {
    const char* at = p + 48 + size_t{i} * 20;
    SocketAddress e;
    e.family = static_cast<uint8_t>(at[0]);
    e.port = Get<uint16_t>(at + 2);
    e.bytes = Get<std::array<uint8_t, 16>>(at + 4);
    if ((e.family != 4 && e.family != 6) || at[1] != 0 || e.port == 0) return std::nullopt;
    if (e.family == 4 && std::any_of(e.bytes.begin() + 4, e.bytes.end(), [](uint8_t b) { return b != 0; })) {
      return std::nullopt;
    }
    out.endpoints.push_back(e);
  }
  return out;
}

std::string EncodeRegistration(const RemoteRegistration& r) {
  const size_t count = std::min<size_t>(r.rkeys.size(), kDevicesMax);
  std::string blob(48 + count * 4, '\0');
  Put(blob.data(), kRegistrationMagic);
  Put(blob.data() + 4, static_cast<uint32_t>(count));
  Put(blob.data() + 8, r.access);
  Put(blob.data() + 16, r.instance);
  Put(blob.data() + 32, r.base);
  Put(blob.data() + 40, r.length);
  for (size_t i = 0; i < count; ++i) Put(blob.data() + 48 + i * 4, r.rkeys[i]);
  Seal(&blob);
  return blob;
}

std::optional<RemoteRegistration> DecodeRegistration(std::string_view blob) {
  if (blob.size() < 56 || blob.size() > kRegistrationBlobBytesMax || !Sealed(blob)) return std::nullopt;
  const char* p = blob.data();
  const auto count = Get<uint32_t>(p + 4);
  if (Get<uint32_t>(p) != kRegistrationMagic || count == 0 || count > kDevicesMax) return std::nullopt;
  if (blob.size() != 56 + size_t{count} * 4 || Get<uint32_t>(p + 12) != 0) return std::nullopt;
  RemoteRegistration out;
  out.access = Get<uint32_t>(p + 8);
  out.instance = Get<Key>(p + 16);
  out.base = Get<uint64_t>(p + 32);
  out.length = Get<uint64_t>(p + 40);
  if ((out.access & ~SLIPWAY_ACCESS_ALL) != 0 || out.length == 0) return std::nullopt;
  if (out.base > std::numeric_limits<uint64_t>::max() - out.length) return std::nullopt;
  for (uint32_t i = 0; i < count; ++i) out.rkeys.push_back(Get<uint32_t>(p + 48 + size_t{i} * 4));
  return out;
}

// ---- connecting ----------------------------------------------------------------------------------------------------

uint64_t EpochOf(const Key& instance) { return Get<uint64_t>(reinterpret_cast<const char*>(instance.data())); }

std::array<uint8_t, kRequestBytes> EncodeRequest(const ConnectRequest& request, const Key& secret) {
  std::array<uint8_t, kRequestBytes> out{};
  char* p = Chars(out.data());
  Put(p, kRequestMagic);
  Put(p + 2, request.version_min);
  Put(p + 3, request.version_max);
  Put(p + 4, request.mtu);
  Put(p + 8, request.epoch);
  Put(p + 16, request.initiator);
  Put(p + 32, request.nonce);
  Put(p + kRequestSignedBytes, Proof(secret, "request", {p, kRequestSignedBytes}, {}));
  return out;
}

std::optional<Refusal> CheckRequest(std::string_view data, const Key& instance, const Key& secret,
                                    ConnectRequest* out) {
  if (data.size() < kRequestBytes) return Refusal::kMalformed;
  const char* p = data.data();
  if (Get<uint16_t>(p) != kRequestMagic) return Refusal::kMalformed;
  ConnectRequest r;
  r.version_min = Get<uint8_t>(p + 2);
  r.version_max = Get<uint8_t>(p + 3);
  r.mtu = Get<uint8_t>(p + 4);
  r.epoch = Get<uint64_t>(p + 8);
  r.initiator = Get<Key>(p + 16);
  r.nonce = Get<uint64_t>(p + 32);
  if (r.version_min > kProtocolVersion || r.version_max < kProtocolVersion) return Refusal::kVersion;
  // Before the proof: a restarted instance has another secret, and its peers should learn that it is another one.
  if (r.epoch != EpochOf(instance)) return Refusal::kEpoch;
  const Key expected = Proof(secret, "request", data.substr(0, kRequestSignedBytes), {});
  if (!EqualConstantTime(expected, Get<Key>(p + kRequestSignedBytes))) return Refusal::kProof;
  if (!KnownMtu(r.mtu)) return Refusal::kMalformed;
  *out = r;
  return std::nullopt;
}

std::array<uint8_t, kReplyBytes> EncodeReply(const ConnectReply& reply, std::string_view request, const Key& secret) {
  std::array<uint8_t, kReplyBytes> out{};
  char* p = Chars(out.data());
  Put(p, kReplyMagic);
  Put(p + 2, reply.version);
  Put(p + 3, reply.mtu);
  Put(p + 8, reply.slice_bytes_max);
  Put(p + kReplySignedBytes, Proof(secret, "reply", request, {p, kReplySignedBytes}));
  return out;
}

std::optional<ConnectReply> DecodeReply(std::string_view data, std::string_view request, const Key& secret) {
  if (data.size() < kReplyBytes) return std::nullopt;
  const char* p = data.data();
  const Key expected = Proof(secret, "reply", request, data.substr(0, kReplySignedBytes));
  if (!EqualConstantTime(expected, Get<Key>(p + kReplySignedBytes))) return std::nullopt;
  ConnectReply reply;
  reply.version = Get<uint8_t>(p + 2);
  reply.mtu = Get<uint8_t>(p + 3);
  reply.slice_bytes_max = Get<uint64_t>(p + 8);
  if (Get<uint16_t>(p) != kReplyMagic || reply.version != kProtocolVersion || !KnownMtu(reply.mtu) ||
      reply.slice_bytes_max == 0) {
    return std::nullopt;
  }
  return reply;
}

std::array<uint8_t, kRefusalBytes> EncodeRefusal(Refusal why) {
  std::array<uint8_t, kRefusalBytes> out{};
  Put(Chars(out.data()), kRefusalMagic);
  out[2] = static_cast<uint8_t>(why);
  return out;
}

std::optional<Refusal> DecodeRefusal(std::string_view data) {
  if (data.size() < kRefusalBytes || Get<uint16_t>(data.data()) != kRefusalMagic) return std::nullopt;
  const auto why = static_cast<uint8_t>(data[2]);
  if (why < static_cast<uint8_t>(Refusal::kVersion) || why > static_cast<uint8_t>(Refusal::kMalformed)) {
    return std::nullopt;
  }
  return static_cast<Refusal>(why);
}

}  // namespace slipway::rdma

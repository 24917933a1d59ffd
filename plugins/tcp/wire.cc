#include "plugins/tcp/wire.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "slipway/abi/memory.h"

namespace slipway::tcp {
namespace {

constexpr uint32_t kFrameMagic = 0x46545753;         // "SWTF"
constexpr uint32_t kAddressMagic = 0x41545753;       // "SWTA"
constexpr uint32_t kRegistrationMagic = 0x52545753;  // "SWTR"

static_assert(std::endian::native == std::endian::little, "the wire is little endian and so far every target is too");

template <typename T>
void Put(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof(value));
}
template <typename T>
T Get(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// Every step is a bijection of the state, so one changed word always changes the result: what TCP's own sum lets
// through is caught here. It keeps nobody out who can compute it.
inline uint64_t CheckSum(const uint8_t* data, size_t n) {
  uint64_t h = 0x9e3779b97f4a7c15ull ^ n, word = 0;
  const auto add = [&h, &word] {
    h = (h ^ word) * 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
  };
  size_t i = 0;
  for (; i + sizeof word <= n; i += sizeof word) {
    std::memcpy(&word, data + i, sizeof word);
    add();
  }
  if (i == n) return h;
  word = 0;
  std::memcpy(&word, data + i, n - i);
  add();
  return h;
}
inline uint32_t CheckSum32(const uint8_t* data, size_t n) {
  const uint64_t h = CheckSum(data, n) * 0xd6e8feb86659fd93ull;
  return static_cast<uint32_t>(h ^ (h >> 32));
}

const uint8_t* Bytes(std::string_view blob) { return reinterpret_cast<const uint8_t*>(blob.data()); }

// The last eight bytes of a blob are the sum of the others.
void Seal(std::string* blob) {
  const uint64_t sum = CheckSum(Bytes(*blob), blob->size());
  blob->append(reinterpret_cast<const char*>(&sum), sizeof(sum));
}
bool Sealed(std::string_view blob) {
  return blob.size() > 8 && CheckSum(Bytes(blob), blob.size() - 8) == Get<uint64_t>(Bytes(blob) + blob.size() - 8);
}

}  // namespace

bool EqualConstantTime(const Key& a, const Key& b) {
  uint8_t differ = 0;
  for (size_t i = 0; i < a.size(); ++i) differ = static_cast<uint8_t>(differ | (a[i] ^ b[i]));
  return differ == 0;
}

bool RandomKey(Key* out) { return getrandom(out->data(), out->size(), 0) == static_cast<ssize_t>(out->size()); }

void EncodeHeader(const Frame& frame, uint8_t out[kHeaderBytes]) {
  Put<uint32_t>(out, kFrameMagic);
  out[4] = static_cast<uint8_t>(kProtocolVersion);
  out[5] = static_cast<uint8_t>(frame.op);
  Put<uint16_t>(out + 6, 0);
  Put<uint64_t>(out + 8, frame.id);
  Put<uint64_t>(out + 16, frame.registration);
  std::memcpy(out + 24, frame.key.data(), frame.key.size());
  Put<uint64_t>(out + 40, frame.offset);
  Put<uint64_t>(out + 48, frame.length);
  Put<int32_t>(out + 56, frame.status);
  Put<uint32_t>(out + 60, CheckSum32(out, 60));
}

const char* DecodeErrorName(DecodeError error) {
  switch (error) {
    case DecodeError::kNone:
      return "none";
    case DecodeError::kMagic:
      return "bad magic";
    case DecodeError::kVersion:
      return "unknown version";
    case DecodeError::kChecksum:
      return "header check sum differs";
    case DecodeError::kOp:
      return "unknown operation";
    case DecodeError::kLength:
      return "length out of bounds";
    case DecodeError::kStatus:
      return "unknown status";
    case DecodeError::kReserved:
      return "reserved bits set";
  }
  return "unknown";
}

DecodeError DecodeHeader(const uint8_t in[kHeaderBytes], uint64_t length_max, Frame* out) {
  if (Get<uint32_t>(in) != kFrameMagic) return DecodeError::kMagic;
  if (in[4] != kProtocolVersion) return DecodeError::kVersion;
  if (Get<uint32_t>(in + 60) != CheckSum32(in, 60)) return DecodeError::kChecksum;
  if (in[5] == 0 || in[5] > kOpMax) return DecodeError::kOp;
  if (Get<uint16_t>(in + 6) != 0) return DecodeError::kReserved;
  Frame f;
  f.op = static_cast<Op>(in[5]);
  f.id = Get<uint64_t>(in + 8);
  f.registration = Get<uint64_t>(in + 16);
  std::memcpy(f.key.data(), in + 24, f.key.size());
  f.offset = Get<uint64_t>(in + 40);
  f.length = Get<uint64_t>(in + 48);
  f.status = Get<int32_t>(in + 56);
  if (f.status > 0 || f.status < SLIPWAY_E_INTERNAL) return DecodeError::kStatus;
  const bool request = f.op == Op::kWrite || f.op == Op::kRead;
  if (request && f.status != 0) return DecodeError::kStatus;
  if ((request || f.op == Op::kReadData) && f.length > length_max) return DecodeError::kLength;
  if ((request || (f.op == Op::kReadData && f.status == SLIPWAY_OK)) && f.length == 0) return DecodeError::kLength;
  if (f.op == Op::kReadData && f.offset > kLent) return DecodeError::kReserved;
  *out = f;
  return DecodeError::kNone;
}

size_t FrameReader::Header(const uint8_t* data, size_t n, Frame* frame, bool* complete) {
  *complete = false;
  if (error_ != DecodeError::kNone || body_left_ != 0) return 0;
  const size_t take = std::min(n, kHeaderBytes - have_);
  const uint8_t* whole = data;
  if (have_ != 0 || take < kHeaderBytes) {
    std::memcpy(partial_.data() + have_, data, take);
    have_ += take;
    if (have_ < kHeaderBytes) return take;
    whole = partial_.data();
  }
  error_ = DecodeHeader(whole, length_max_, frame);
  if (error_ != DecodeError::kNone) return take;
  have_ = 0;
  body_left_ = frame->body_bytes();
  *complete = true;
  return take;
}

std::string SocketAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "?";
  inet_ntop(family == 6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof(text));
  return family == 6 ? "[" + std::string(text) + "]:" + std::to_string(port)
                     : std::string(text) + ":" + std::to_string(port);
}

std::string EncodeAddress(const InstanceAddress& address) {
  const size_t count = std::min(address.addresses.size(), kAddressesMax);
  std::string blob(40 + count * 24, '\0');
  uint8_t* p = reinterpret_cast<uint8_t*>(blob.data());
  Put<uint32_t>(p, kAddressMagic);
  Put<uint32_t>(p + 4, static_cast<uint32_t>(count));
  Put<uint32_t>(p + 8, address.protocol_min);
  Put<uint32_t>(p + 12, address.protocol_max);
  std::memcpy(p + 16, address.instance.data(), address.instance.size());
  for (size_t i = 0; i < count; ++i) {
    uint8_t* at = p + 40 + i * 24;
    const SocketAddress& a = address.addresses[i];
    at[0] = a.family;
    Put<uint16_t>(at + 2, a.port);
    Put<uint32_t>(at + 4, a.scope);
    std::memcpy(at + 8, a.bytes.data(), a.bytes.size());
  }
  Seal(&blob);
  return blob;
}

std::optional<InstanceAddress> DecodeAddress(std::string_view blob) {
  if (blob.size() < 48 || blob.size() > kAddressBlobBytesMax || !Sealed(blob)) return std::nullopt;
  const uint8_t* p = Bytes(blob);
  const uint32_t count = Get<uint32_t>(p + 4);
  if (Get<uint32_t>(p) != kAddressMagic || count == 0 || count > kAddressesMax) return std::nullopt;
  if (blob.size() != 48 + size_t{count} * 24) return std::nullopt;
  InstanceAddress out;
  out.protocol_min = Get<uint32_t>(p + 8);
  out.protocol_max = Get<uint32_t>(p + 12);
  if (out.protocol_min > out.protocol_max) return std::nullopt;
  std::memcpy(out.instance.data(), p + 16, out.instance.size());
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t* at = p + 40 + size_t{i} * 24;
    SocketAddress a;
    a.family = at[0];
    a.port = Get<uint16_t>(at + 2);
    a.scope = Get<uint32_t>(at + 4);
    std::memcpy(a.bytes.data(), at + 8, a.bytes.size());
    if ((a.family != 4 && a.family != 6) || at[1] != 0 || a.port == 0) return std::nullopt;
    out.addresses.push_back(a);
  }
  return out;
}

std::string EncodeRegistration(const RemoteRegistration& r) {
  std::string blob(kRegistrationBlobBytes - 8, '\0');
  uint8_t* p = reinterpret_cast<uint8_t*>(blob.data());
  Put<uint32_t>(p, kRegistrationMagic);
  Put<uint32_t>(p + 4, r.access);
  std::memcpy(p + 8, r.instance.data(), r.instance.size());
  Put<uint64_t>(p + 24, r.id);
  std::memcpy(p + 32, r.key.data(), r.key.size());
  Put<uint64_t>(p + 48, r.length);
  Seal(&blob);
  return blob;
}

std::optional<RemoteRegistration> DecodeRegistration(std::string_view blob) {
  if (blob.size() != kRegistrationBlobBytes || !Sealed(blob)) return std::nullopt;
  const uint8_t* p = Bytes(blob);
  if (Get<uint32_t>(p) != kRegistrationMagic) return std::nullopt;
  RemoteRegistration r;
  r.access = Get<uint32_t>(p + 4);
  std::memcpy(r.instance.data(), p + 8, r.instance.size());
  r.id = Get<uint64_t>(p + 24);
  std::memcpy(r.key.data(), p + 32, r.key.size());
  r.length = Get<uint64_t>(p + 48);
  if (r.length == 0 || (r.access & ~SLIPWAY_ACCESS_ALL) != 0) return std::nullopt;
  return r;
}

}  // namespace slipway::tcp

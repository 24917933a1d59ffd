// The wire format: fixed frames, the names that travel (addresses and registrations), and a parser that turns bytes
// into frames with a bounded state. No I/O here: everything can be fuzzed and tested as a pure function.
//
// A connection carries requests one way and answers the other. Every frame begins with a header of 64 bytes, little
// endian, that ends in a check sum over the rest of it. WRITE and a successful READ_DATA are followed by `length`
// bytes. Answers come in the order of their requests. README.md has the table of frames.
#ifndef SLIPWAY_PLUGINS_TCP_WIRE_H_
#define SLIPWAY_PLUGINS_TCP_WIRE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/abi/status.h"

namespace slipway::tcp {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr size_t kHeaderBytes = 64;
inline constexpr size_t kAddressesMax = 16;

using Key = std::array<uint8_t, 16>;  // 128 unguessable bits: an instance's id, or a registration's key

// Takes the same time wherever the two differ.
bool EqualConstantTime(const Key& a, const Key& b);
// False when the system has no randomness to give.
bool RandomKey(Key* out);

enum class Op : uint8_t {
  kHello = 1,      // initiator: key = the instance it means to reach, id = protocol range, offset = window wanted
  kHelloAck = 2,   // target: key = its instance, id = version chosen, offset = window granted, length = longest slice
  kWrite = 3,      // initiator: followed by `length` bytes
  kWriteAck = 4,   // target: the bytes are in place (status 0), or why they are not
  kRead = 5,       // initiator: `length` bytes wanted
  kReadData = 6,   // target: status 0 and `length` bytes following, or why not and none
  kPing = 7,       // initiator, when it has heard nothing for a while
  kPong = 8,       // target, in turn with the answers
  kGoodbye = 9,    // either: the sender closes the connection, status says why
  kReadDone = 10,  // initiator: the body of the lent READ_DATA with this id, and of those before it, has been taken
};
inline constexpr uint8_t kOpMax = 10;

// READ_DATA's `offset`: the body lies in pages that the target keeps as they are until READ_DONE.
inline constexpr uint64_t kLent = 1;

struct Frame {
  Op op = Op::kPing;
  int32_t status = 0;
  uint64_t id = 0;            // of the request; answers repeat it
  uint64_t registration = 0;  // of the target
  Key key{};                  // that goes with the registration
  uint64_t offset = 0;        // bytes from the start of the registration
  uint64_t length = 0;        // bytes

  // Bytes that follow the header.
  uint64_t body_bytes() const { return op == Op::kWrite || (op == Op::kReadData && status == SLIPWAY_OK) ? length : 0; }
};

void EncodeHeader(const Frame& frame, uint8_t out[kHeaderBytes]);

enum class DecodeError : uint8_t { kNone, kMagic, kVersion, kChecksum, kOp, kLength, kStatus, kReserved };
const char* DecodeErrorName(DecodeError error);
// Accepts what EncodeHeader makes of a well-formed frame, and nothing else. `length_max` bounds bodies, in bytes.
DecodeError DecodeHeader(const uint8_t in[kHeaderBytes], uint64_t length_max, Frame* out);

// Turns a stream into frames. Holds at most one header; bodies pass through. Not thread-safe.
class FrameReader {
 public:
  explicit FrameReader(uint64_t length_max) : length_max_(length_max) {}

  void set_length_max(uint64_t length_max) { length_max_ = length_max; }
  uint64_t body_left() const { return body_left_; }
  size_t header_bytes() const { return have_; }  // of an incomplete header
  bool between_frames() const { return body_left_ == 0 && have_ == 0; }
  DecodeError error() const { return error_; }

  // While no body is due: takes header bytes from data[0, n) and returns how many it took; *complete says that *frame
  // is one. On a malformed header error() is set, *complete is false, and nothing more is taken, ever.
  size_t Header(const uint8_t* data, size_t n, Frame* frame, bool* complete);
  // `n` bytes of the body have arrived; n <= body_left().
  void Body(uint64_t n) { body_left_ -= n; }

 private:
  uint64_t length_max_;
  uint64_t body_left_ = 0;
  size_t have_ = 0;
  DecodeError error_ = DecodeError::kNone;
  std::array<uint8_t, kHeaderBytes> partial_{};
};

// Where an instance listens: numeric, resolved by whoever exports it.
struct SocketAddress {
  uint8_t family = 4;  // 4 or 6
  uint16_t port = 0;   // host order
  uint32_t scope = 0;  // of a link-local IPv6 address
  std::array<uint8_t, 16> bytes{};

  bool operator==(const SocketAddress&) const = default;
  std::string ToString() const;
};

struct InstanceAddress {
  Key instance{};
  uint32_t protocol_min = kProtocolVersion, protocol_max = kProtocolVersion;
  std::vector<SocketAddress> addresses;  // 1 .. kAddressesMax
};
inline constexpr size_t kAddressBlobBytesMax = 48 + kAddressesMax * 24;

struct RemoteRegistration {
  Key instance{};
  uint64_t id = 0;
  Key key{};
  uint64_t length = 0;  // bytes
  uint32_t access = 0;  // SLIPWAY_ACCESS_*
};
inline constexpr size_t kRegistrationBlobBytes = 72;

std::string EncodeAddress(const InstanceAddress& address);
std::optional<InstanceAddress> DecodeAddress(std::string_view blob);
std::string EncodeRegistration(const RemoteRegistration& registration);
std::optional<RemoteRegistration> DecodeRegistration(std::string_view blob);

}  // namespace slipway::tcp

#endif  // SLIPWAY_PLUGINS_TCP_WIRE_H_

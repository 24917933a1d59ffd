// What one node tells another about a segment, and the names by which segments are found.
#ifndef SLIPWAY_CORE_CONTROL_DESCRIPTOR_H_
#define SLIPWAY_CORE_CONTROL_DESCRIPTOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/status.hpp"

namespace slipway {

// Bounds of a descriptor. What exceeds one is refused as a whole.
inline constexpr size_t kMaxTransports = 32;
inline constexpr size_t kMaxRegistrations = 65536;    // of one transport
inline constexpr size_t kMaxBlobBytes = 64u << 10;    // of one registration
inline constexpr size_t kMaxAddressBytes = 4u << 10;  // of one transport
inline constexpr size_t kMaxSegmentNameBytes = 255;
inline constexpr size_t kMaxNodeNameBytes = 255;
inline constexpr size_t kMaxProtocolNameBytes = 31;

// Tells whether two engines share a machine, and a process. Equal only when both are the same process: a reused pid
// differs in start_time, another machine or container host in boot_id, and process_nonce cannot be guessed.
struct ProcessIdentity {
  std::string boot_id;  // empty: not known, and then equal to nothing
  uint64_t pid = 0;
  uint64_t start_time = 0;    // clock ticks since boot
  std::string process_nonce;  // 32 hex digits

  bool operator==(const ProcessIdentity&) const = default;
};

// Of the calling process; a forked child's differs from its parent's. Thread-safe.
ProcessIdentity CurrentProcess();

struct RegistrationOffer {
  uint64_t offset = 0, length = 0;  // bytes, within the segment
  std::string blob;                 // raw bytes; the transport's own

  bool operator==(const RegistrationOffer&) const = default;
};

struct TransportOffer {
  std::string protocol;  // [a-z0-9-]{1,31}
  uint32_t protocol_min = 0, protocol_max = 0;
  std::string address;                           // raw bytes; the transport's own
  std::vector<RegistrationOffer> registrations;  // by offset, not overlapping

  bool operator==(const TransportOffer&) const = default;
};

struct SegmentDescriptor {
  std::string name;  // IsSegmentName
  uint64_t length = 0;
  bool readable = false, writable = false;
  uint64_t mem_kind = 0;
  std::string instance_id;  // 32 lower-case hex digits: of the engine that owns the segment
  std::string epoch;        // 1 to 32 lower-case hex digits; another when the segment is published again
  std::string node_name;
  ProcessIdentity process;
  std::vector<TransportOffer> transports;

  bool operator==(const SegmentDescriptor&) const = default;
};

// One line of a node's list.
struct SegmentSummary {
  std::string name;
  uint64_t length = 0;
  bool readable = false, writable = false;
  uint64_t mem_kind = 0;

  bool operator==(const SegmentSummary&) const = default;
};

// A protocol that the opening side speaks. Two sides can talk when the ranges meet.
struct ProtocolRange {
  std::string name;
  uint32_t min = 0, max = 0;

  bool operator==(const ProtocolRange&) const = default;
};

// [A-Za-z0-9._-/]{1,255}
bool IsSegmentName(std::string_view name);
// [a-z0-9-]{1,31}
bool IsProtocolName(std::string_view name);

std::string DescriptorToJson(const SegmentDescriptor& descriptor);

// `text` is hostile: every type, count, string and range is checked, and the first that does not fit is named in
// E_BAD_REPLY by its JSON pointer. Keys that this version does not know are ignored. Never throws.
Result<SegmentDescriptor> DescriptorFromJson(std::string_view text);

struct SegmentUrl {
  std::string host;  // without brackets
  uint16_t port = 0;
  std::string name;

  bool operator==(const SegmentUrl&) const = default;
};

// "host:port/name" and "[::1]:port/name", either with "slipway://" before it. E_ADDRESS says what is wrong.
Result<SegmentUrl> ParseSegmentUrl(std::string_view text);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONTROL_DESCRIPTOR_H_

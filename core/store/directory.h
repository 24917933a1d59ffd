// Where objects are: the part of the store that knows keys. The bytes are moved by who asks (store.h).
//
// A write begins with a ticket for new space, fills it, and commits; until then nobody can see it. A read looks a key
// up and gets a ticket for the value as it is then, which stays readable until it is released.
#ifndef SLIPWAY_CORE_STORE_DIRECTORY_H_
#define SLIPWAY_CORE_STORE_DIRECTORY_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/store/data_plane.h"
#include "core/store/record.h"
#include "slipway/status.hpp"

namespace slipway {

// One replica as whoever moves the bytes sees it.
struct Place {
  char* address = nullptr;      // of its first byte, where it lies in this process
  uint64_t kind = 0;            // of that memory, one SLIPWAY_MEM_* bit
  OpenSegment* open = nullptr;  // the segment, for the engine; null where only host copies reach it
  uint64_t offset = 0;          // of its first byte in the segment
};

struct Ticket {
  slipway_status code = SLIPWAY_E_INVALID;  // OK: it holds space or a value
  std::string message;                      // where it failed
  uint64_t length = 0;
  uint64_t version = 0;
  uint64_t expires_ns = kNoDeadline;  // nothing may be moved after
  uint32_t chunk_bytes = 0;
  uint8_t place_count = 0;
  std::array<Place, kReplicasMax> places;
  // Of the chunks; empty: none. A writer fills it in before the commit.
  std::span<uint64_t> checksums;
  // A writer that cannot compute them: the directory does, from the bytes in the space.
  bool compute_checksums = false;

  // The directory's own.
  Record* record = nullptr;
  uint64_t id = 0;
  std::shared_ptr<void> hold;
  std::vector<uint64_t> own_checksums;

  bool ok() const { return code == SLIPWAY_OK; }
  void Fail(const Status& why) {
    code = why.code();
    message = why.message();
  }
  Status ToStatus() const { return code == SLIPWAY_OK ? Status() : Status(code, message); }
};

struct WriteIntent {
  std::string_view key;
  uint64_t length = 0;
};

struct WritePolicy {
  bool replace = false;  // upsert
  bool checksum = true;
  KeepClass keep = KeepClass::kEvictable;
  uint32_t replicas = 1;
  std::vector<std::string> preferred;  // segments, in order
  std::string group;                   // empty: none
  uint64_t deadline_ns = kNoDeadline;
  StreamOrder order;
};

struct ObjectStat {
  slipway_status code = SLIPWAY_E_NOT_FOUND;
  std::string key;  // of listed ones
  uint64_t length = 0, version = 0;
  KeepClass keep = KeepClass::kEvictable;
  uint32_t replicas = 0;
  bool checksummed = false;
};

// Thread-safe. Keys have been checked; spans that belong together have one length.
class Directory {
 public:
  virtual ~Directory() = default;

  // A ticket for each: space; EXISTS where the policy is not to replace and there is a value; E_NO_SPACE, E_TOO_LARGE.
  virtual void Begin(std::span<const WriteIntent> intents, const WritePolicy& policy, std::span<Ticket> tickets) = 0;
  // Makes what the OK tickets hold readable, and ends all of them. EXISTS: another writer was first.
  virtual void Commit(std::span<Ticket> tickets, const WritePolicy& policy) = 0;
  // Ends a ticket of Begin without trace. `may_be_written`: a transport broke its word; the space is never used again.
  virtual void Abort(Ticket& ticket, bool may_be_written) = 0;

  // A ticket for each: the value, or E_NOT_FOUND. To be released. `along`: a value may come along with the answer, in
  // memory that only host copies reach.
  virtual void Lookup(std::span<const std::string_view> keys, bool along, uint64_t deadline_ns,
                      std::span<Ticket> tickets) = 0;
  // Ends tickets of Lookup; those that are not OK, or were ended, are passed over.
  virtual void Release(std::span<Ticket> tickets) = 0;

  virtual Status Stat(std::span<const std::string_view> keys, std::span<ObjectStat> out) = 0;
  virtual Status Remove(std::span<const std::string_view> keys, std::span<slipway_status> out) = 0;
  virtual Result<uint64_t> RemoveAll(std::string_view prefix) = 0;
  // At most `most` objects whose keys begin with `prefix` and come after `after` in the order of bytes, in that order.
  virtual Result<std::vector<ObjectStat>> List(std::string_view prefix, std::string_view after, size_t most) = 0;
  // One JSON object.
  virtual Result<std::string> DescribeJson() = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_DIRECTORY_H_

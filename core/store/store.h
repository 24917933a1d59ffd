// The store's operations: takes requests apart, asks the directory where bytes go or lie, and moves them.
//
// Between host memory of this process a value is copied once, straight between the caller's buffers and the segment,
// with its checksums computed on the way; everything else is moved by the engine, which alone may touch what might be a
// device's. Nothing is locked while bytes move.
#ifndef SLIPWAY_CORE_STORE_STORE_H_
#define SLIPWAY_CORE_STORE_STORE_H_

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/metrics/counters.h"
#include "core/store/directory.h"
#include "core/store/host_copy.h"
#include "core/store/tensor.h"
#include "slipway/options.hpp"
#include "slipway/store.h"

namespace slipway {

// Bytes of the caller's that follow one another in a value.
struct Piece {
  char* address = nullptr;  // unless there is a layout
  uint64_t length = 0;
  const Layout* layout = nullptr;  // of a tensor whose elements do not lie side by side
  uint64_t kind = 0;               // one SLIPWAY_MEM_* bit; the store finds it out
};

struct Item {
  std::string_view key;
  std::vector<Piece> pieces;
  uint64_t length = 0;  // of all pieces; the store finds it out
};

// Host elements that do not lie side by side are brought together first where they go to, or come from, another
// process: a request for each run would cost more. Not where runs are as long as this.
inline constexpr uint64_t kLongRunBytes = uint64_t{64} << 10;
inline bool IsToBeBroughtTogether(const Piece& piece) {
  return piece.layout != nullptr && piece.kind == SLIPWAY_MEM_HOST && piece.length > 0 &&
         piece.layout->run_bytes() < kLongRunBytes;
}

struct RangeItem {
  char* address = nullptr;
  uint64_t length = 0;
  uint64_t offset = 0;
};

// A value, held as it is until this is destroyed.
class HeldValue {
 public:
  HeldValue(std::shared_ptr<Directory> directory, Ticket ticket);
  HeldValue(std::unique_ptr<char[]> copy, uint64_t length);
  ~HeldValue();
  HeldValue(const HeldValue&) = delete;
  HeldValue& operator=(const HeldValue&) = delete;

  const char* data() const { return data_; }
  uint64_t length() const { return length_; }
  bool is_copy() const { return directory_ == nullptr; }

 private:
  std::shared_ptr<Directory> directory_;
  Ticket ticket_;
  std::unique_ptr<char[]> copy_;
  const char* data_ = nullptr;
  uint64_t length_ = 0;
};

// Thread-safe.
class ObjectStore {
 public:
  using Statuses = std::vector<Status>;

  // The directory is shared with what is read and not released yet.
  ObjectStore(const StoreOptions& options, DataPlane& plane, std::shared_ptr<Directory> directory, Counters& counters,
              const Clock& clock);
  ~ObjectStore();

  // What a call as a whole may be refused for (E_INVALID) is returned, with nothing changed; otherwise `statuses` has
  // one for each item. Lengths and kinds are filled in.
  Status Write(std::span<Item> items, const WritePolicy& policy, bool exists_is_error, uint64_t timeout_ms,
               Statuses* statuses);
  // `lengths` (may be null) has one for each item.
  Status ReadInto(std::span<Item> items, const slipway_store_read_options& options, uint64_t* lengths,
                  Statuses* statuses);
  Status ReadRanges(std::string_view key, std::span<const RangeItem> ranges, const slipway_store_read_options& options);
  // `no_copy`: E_UNSUPPORTED where one would be needed.
  Status Get(std::span<const std::string_view> keys, const slipway_store_read_options& options, bool no_copy,
             std::vector<std::unique_ptr<HeldValue>>* values, Statuses* statuses);
  Status GetTensorInfo(std::string_view key, const slipway_store_read_options& options, slipway_tensor_info* info);
  Status GetTensorInto(std::string_view key, const slipway_tensor& target, const slipway_store_read_options& options);

  Directory& directory() { return *directory_; }
  Counters& counters() { return counters_; }

 private:
  struct Reading;  // store_read.cc

  uint64_t DeadlineFrom(uint64_t timeout_ms) const;
  Status CheckItems(std::span<Item> items);
  struct ReadCall {
    bool verify = false;
    uint64_t deadline_ns = 0;
    StreamOrder order;
  };
  ReadCall ToCall(const slipway_store_read_options& options) const;

  // store_write.cc
  void FillTickets(std::span<Item> items, const WritePolicy& policy, std::span<Ticket> tickets);
  static void ComputeChecksums(const Item& item, Ticket& ticket);
  // store_read.cc
  void ReadTickets(std::span<Item> items, std::span<Ticket> tickets, const ReadCall& call, Statuses* statuses);
  void ReadRound(std::span<Reading> readings, const ReadCall& call);
  Status ReadHeader(std::string_view key, Ticket& ticket, const ReadCall& call, std::string* header);
  Status Mismatch(std::string_view key);

  // store_ranges.cc
  struct RangeRound;
  Status ReadRangesOf(std::string_view key, Ticket& ticket, std::span<const RangeItem> ranges, const ReadCall& call);
  Status ReadRangesHere(std::string_view key, Ticket& ticket, std::span<const RangeItem> ranges, const ReadCall& call);
  Status FinishRound(std::string_view key, const Ticket& ticket, const ReadCall& call, RangeRound* round);

  // host_moves.cc: between host memory of this process
  void CopyIn(const Item& item, Ticket& ticket);
  Status CopyOut(const Item& item, const Ticket& ticket, const Place& place, bool verify);
  Status VerifyChunks(std::string_view key, const Ticket& ticket, const Place& place, uint64_t begin, uint64_t end);

  const StoreOptions options_;
  DataPlane& plane_;
  const std::shared_ptr<Directory> directory_;
  Counters& counters_;
  const Clock& clock_;
  CopyTeam team_;
};

// Releases what a look-up gave.
class Releaser {
 public:
  Releaser(Directory& directory, std::span<Ticket> tickets) : directory_(directory), tickets_(tickets) {}
  ~Releaser() { directory_.Release(tickets_); }
  Releaser(const Releaser&) = delete;
  Releaser& operator=(const Releaser&) = delete;

 private:
  Directory& directory_;
  const std::span<Ticket> tickets_;
};

Status DeadlinePassed();
// 1 to SLIPWAY_STORE_KEY_MAX bytes of UTF-8 without control characters. E_INVALID.
Status CheckKey(std::string_view key);
// A key for messages: shortened.
std::string Quoted(std::string_view key);

// Calls each(address, bytes) for the pieces that [begin, begin + length) of the value consists of, in order.
template <typename Each>
void ForEachSpan(std::span<const Piece> pieces, uint64_t begin, uint64_t length, Each each) {
  for (const Piece& piece : pieces) {
    if (length == 0) return;
    if (begin >= piece.length) {
      begin -= piece.length;
      continue;
    }
    const uint64_t bytes = std::min(length, piece.length - begin);
    if (piece.layout != nullptr) {
      piece.layout->ForEachRun(begin, bytes, each);
    } else {
      each(piece.address + begin, bytes);
    }
    length -= bytes;
    begin = 0;
  }
}

inline bool AllHost(const Item& item) {
  return std::all_of(item.pieces.begin(), item.pieces.end(),
                     [](const Piece& piece) { return piece.kind == SLIPWAY_MEM_HOST; });
}
inline bool IsHost(const Place& place) { return place.address != nullptr && place.kind == SLIPWAY_MEM_HOST; }

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_STORE_H_

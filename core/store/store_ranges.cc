// Reading parts of one value.
//
// A checksum is of a whole chunk. Where the value lies in this process the chunks that a range touches are looked at
// where they are. From elsewhere a chunk that a range has whole goes straight to where the caller wants it; one that a
// range cuts is brought as a whole to memory of ours, compared there, and the part copied out of it.
#include <algorithm>
#include <map>

#include "core/store/checksum.h"
#include "core/store/store.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {
namespace {

// Of chunks that are brought for the parts of them, at a time; one chunk may be longer.
constexpr uint64_t kCutBytes = uint64_t{16} << 20;

}  // namespace

// What one transfer brings.
struct ObjectStore::RangeRound {
  struct Whole {
    const char* at;
    uint64_t chunk;
  };
  struct Cut {
    char* to;
    const char* from;
    uint64_t length;
  };
  std::vector<Move> moves;
  std::vector<Whole> wholes;                               // to be compared where they arrive
  std::map<uint64_t, std::unique_ptr<char[]>> cut_chunks;  // by their numbers
  std::vector<Cut> cuts;
  uint64_t cut_bytes = 0;
};

Status ObjectStore::FinishRound(std::string_view key, const Ticket& ticket, const ReadCall& call, RangeRound* round) {
  if (round->moves.empty()) return {};
  const uint64_t deadline_ns = std::min(call.deadline_ns, ticket.expires_ns);
  const uint64_t now_ns = clock_.NowNs();
  if (now_ns >= deadline_ns) return DeadlinePassed();
  for (const Status& status : plane_.Transfer(round->moves, deadline_ns - now_ns, call.order)) {
    SLIPWAY_RETURN_IF_ERROR(status);
  }
  // The space may have been given to somebody else meanwhile, and the bytes may be theirs.
  if (clock_.NowNs() >= deadline_ns) return DeadlinePassed();
  const auto differs = [&](const char* at, uint64_t chunk) {
    const uint64_t bytes = std::min<uint64_t>(ticket.chunk_bytes, ticket.length - chunk * ticket.chunk_bytes);
    return HashBytes(at, bytes) != ticket.checksums[chunk];
  };
  for (const RangeRound::Whole& whole : round->wholes) {
    if (differs(whole.at, whole.chunk)) return Mismatch(key);
  }
  for (const auto& [chunk, bytes] : round->cut_chunks) {
    if (differs(bytes.get(), chunk)) return Mismatch(key);
  }
  for (const RangeRound::Cut& cut : round->cuts) {
    sdk::CopyBytes(cut.to, cut.from, cut.length);
    counters_.Add(Counter::kStoreHostCopies);
    counters_.Add(Counter::kStoreHostCopiedBytes, cut.length);
  }
  *round = RangeRound();
  return {};
}

// The value lies in host memory of this process.
Status ObjectStore::ReadRangesHere(std::string_view key, Ticket& ticket, std::span<const RangeItem> ranges,
                                   const ReadCall& call) {
  const Place& place = ticket.places[0];
  RangeRound round;
  for (const RangeItem& range : ranges) {
    if (range.length == 0) continue;
    if (call.verify) {
      SLIPWAY_RETURN_IF_ERROR(VerifyChunks(key, ticket, place, range.offset, range.offset + range.length));
    }
    const uint64_t kind = plane_.KindOf(range.address, range.length);
    if (kind != SLIPWAY_MEM_HOST) {
      round.moves.push_back({false, range.address, range.length, kind, place.open, place.offset + range.offset});
      continue;
    }
    if (clock_.NowNs() >= call.deadline_ns) return DeadlinePassed();
    sdk::CopyBytes(range.address, place.address + range.offset, range.length);
    counters_.Add(Counter::kStoreHostCopies);
    counters_.Add(Counter::kStoreHostCopiedBytes, range.length);
  }
  return FinishRound(key, ticket, call, &round);
}

Status ObjectStore::ReadRangesOf(std::string_view key, Ticket& ticket, std::span<const RangeItem> ranges,
                                 const ReadCall& call) {
  const Place& place = ticket.places[0];
  if (IsHost(place)) return ReadRangesHere(key, ticket, ranges, call);
  const bool compares = call.verify && !ticket.checksums.empty();
  const uint64_t step = ticket.chunk_bytes;
  RangeRound round;
  for (const RangeItem& range : ranges) {
    if (range.length == 0) continue;
    const uint64_t kind = plane_.KindOf(range.address, range.length);
    if (!compares || kind != SLIPWAY_MEM_HOST) {
      round.moves.push_back({false, range.address, range.length, kind, place.open, place.offset + range.offset});
      continue;
    }
    const uint64_t end = range.offset + range.length;
    for (uint64_t at = range.offset; at < end;) {
      const uint64_t chunk = at / step, begin = chunk * step;
      const uint64_t bytes = std::min(step, ticket.length - begin), length = std::min(begin + bytes, end) - at;
      char* const to = range.address + (at - range.offset);
      if (length == bytes) {
        round.moves.push_back({false, to, bytes, SLIPWAY_MEM_HOST, place.open, place.offset + begin});
        round.wholes.push_back({to, chunk});
      } else {
        std::unique_ptr<char[]>& brought = round.cut_chunks[chunk];
        if (brought == nullptr) {
          brought = std::make_unique_for_overwrite<char[]>(bytes);
          round.moves.push_back({false, brought.get(), bytes, SLIPWAY_MEM_HOST, place.open, place.offset + begin});
          round.cut_bytes += bytes;
        }
        round.cuts.push_back({to, brought.get() + (at - begin), length});
      }
      at += length;
      if (round.cut_bytes >= kCutBytes) SLIPWAY_RETURN_IF_ERROR(FinishRound(key, ticket, call, &round));
    }
  }
  return FinishRound(key, ticket, call, &round);
}

Status ObjectStore::ReadRanges(std::string_view key, std::span<const RangeItem> ranges,
                               const slipway_store_read_options& options) {
  for (size_t i = 0; i < ranges.size(); ++i) {
    const RangeItem& range = ranges[i];
    const auto begin = reinterpret_cast<uint64_t>(range.address);
    if (range.length > 0 && (range.address == nullptr || begin + range.length < begin)) {
      return Status(SLIPWAY_E_INVALID, "range " + std::to_string(i) +
                                           ": the address is null, or wraps around the address space with its length");
    }
  }
  const ReadCall call = ToCall(options);
  const bool host = std::all_of(ranges.begin(), ranges.end(), [&](const RangeItem& range) {
    return range.length == 0 || plane_.KindOf(range.address, range.length) == SLIPWAY_MEM_HOST;
  });
  std::vector<Ticket> tickets(1);
  directory_->Lookup({&key, 1}, host, call.deadline_ns, tickets);
  const Releaser releaser(*directory_, tickets);
  Ticket& ticket = tickets[0];
  if (!ticket.ok()) return Status(ticket.code, "key " + Quoted(key) + ": " + ticket.message);
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].offset <= ticket.length && ranges[i].length <= ticket.length - ranges[i].offset) continue;
    return Status(SLIPWAY_E_RANGE, "range " + std::to_string(i) + ": " + std::to_string(ranges[i].length) +
                                       " bytes from " + std::to_string(ranges[i].offset) + " on are not within the " +
                                       std::to_string(ticket.length) + " bytes of key " + Quoted(key));
  }
  if (ticket.length == 0) return {};
  for (;;) {
    Status status = ReadRangesOf(key, ticket, ranges, call);
    if (status.ok() || ticket.place_count < 2) return status;
    std::rotate(ticket.places.begin(), ticket.places.begin() + 1, ticket.places.begin() + ticket.place_count);
    --ticket.place_count;
  }
}

}  // namespace slipway

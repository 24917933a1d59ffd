// Between host memory of this process: one copy, chunk by chunk, with the checksum of each chunk while it is in the
// caches.
#include <atomic>

#include "core/store/checksum.h"
#include "core/store/store.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {
namespace {

struct OneSpan {
  const char* address = nullptr;
  bool only = false;  // the whole range lies there
};

OneSpan SpanOf(std::span<const Piece> pieces, uint64_t begin, uint64_t length) {
  OneSpan one;
  if (pieces.size() == 1 && pieces[0].layout == nullptr) return {pieces[0].address + begin, true};
  for (const Piece& piece : pieces) {
    if (begin >= piece.length) {
      begin -= piece.length;
      continue;
    }
    if (piece.layout == nullptr && length <= piece.length - begin) return {piece.address + begin, true};
    break;
  }
  return one;
}

}  // namespace

void ObjectStore::CopyIn(const Item& item, Ticket& ticket) {
  const bool sums = !ticket.checksums.empty();
  const uint64_t step = ticket.chunk_bytes;
  const uint64_t chunks = ChunkCount(item.length, step);
  const bool stream = item.length >= options_.parallel_bytes;
  const auto copy_chunk = [&](uint64_t number) {
    const uint64_t at = number * step;
    const uint64_t bytes = std::min(step, item.length - at);
    char* const first = ticket.places[0].address + at;
    const OneSpan one = SpanOf(item.pieces, at, bytes);
    if (one.only) {
      if (sums) ticket.checksums[number] = HashBytes(one.address, bytes);
      for (size_t place = 0; place < ticket.place_count; ++place) {
        char* const to = ticket.places[place].address + at;
        stream ? StreamCopy(to, one.address, bytes) : sdk::CopyBytes(to, one.address, bytes);
      }
      return;
    }
    char* to = first;
    ForEachSpan(item.pieces, at, bytes, [&](const char* from, uint64_t n) {
      sdk::CopyBytes(to, from, n);
      to += n;
    });
    if (sums) ticket.checksums[number] = HashBytes(first, bytes);
    for (size_t place = 1; place < ticket.place_count; ++place) {
      sdk::CopyBytes(ticket.places[place].address + at, first, bytes);
    }
  };
  if (stream) {
    team_.Run(chunks, copy_chunk);
  } else {
    for (uint64_t i = 0; i < chunks; ++i) copy_chunk(i);
  }
  counters_.Add(Counter::kStoreHostCopies, ticket.place_count);
  counters_.Add(Counter::kStoreHostCopiedBytes, ticket.place_count * item.length);
}

Status ObjectStore::CopyOut(const Item& item, const Ticket& ticket, const Place& place, bool verify) {
  const bool sums = verify && !ticket.checksums.empty();
  const uint64_t step = ticket.chunk_bytes;
  const uint64_t chunks = ChunkCount(ticket.length, step);
  const bool stream = ticket.length >= options_.parallel_bytes;
  std::atomic<bool> wrong{false};
  const auto copy_chunk = [&](uint64_t number) {
    const uint64_t at = number * step;
    const uint64_t bytes = std::min(step, ticket.length - at);
    const char* from = place.address + at;
    if (sums && HashBytes(from, bytes) != ticket.checksums[number]) {
      wrong.store(true, std::memory_order_relaxed);
      return;
    }
    ForEachSpan(item.pieces, at, bytes, [&](char* to, uint64_t n) {
      stream&& n >= 4096 ? StreamCopy(to, from, n) : sdk::CopyBytes(to, from, n);
      from += n;
    });
  };
  if (stream) {
    team_.Run(chunks, copy_chunk);
  } else {
    for (uint64_t i = 0; i < chunks; ++i) copy_chunk(i);
  }
  if (wrong.load(std::memory_order_relaxed)) return Mismatch(item.key);
  counters_.Add(Counter::kStoreHostCopies);
  counters_.Add(Counter::kStoreHostCopiedBytes, ticket.length);
  return {};
}

Status ObjectStore::VerifyChunks(std::string_view key, const Ticket& ticket, const Place& place, uint64_t begin,
                                 uint64_t end) {
  if (ticket.checksums.empty() || begin == end) return {};
  const uint64_t step = ticket.chunk_bytes;
  for (uint64_t number = begin / step; number * step < end; ++number) {
    const uint64_t at = number * step;
    if (HashBytes(place.address + at, std::min(step, ticket.length - at)) != ticket.checksums[number]) {
      return Mismatch(key);
    }
  }
  return {};
}

}  // namespace slipway

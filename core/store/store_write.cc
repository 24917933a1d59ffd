// Writing: space, bytes, commit.
#include <algorithm>

#include "core/store/checksum.h"
#include "core/store/store.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {
namespace {

// For a place that is not in this process. Devices' elements are never touched here.
std::vector<std::unique_ptr<char[]>> GatherHostPieces(Item* item, Counters& counters) {
  std::vector<std::unique_ptr<char[]>> buffers;
  for (Piece& piece : item->pieces) {
    if (!IsToBeBroughtTogether(piece)) continue;
    auto buffer = std::make_unique_for_overwrite<char[]>(piece.length);
    char* to = buffer.get();
    piece.layout->ForEachRun(0, piece.length, [&](const char* from, uint64_t n) {
      sdk::CopyBytes(to, from, n);
      to += n;
    });
    counters.Add(Counter::kStoreHostCopies);
    counters.Add(Counter::kStoreHostCopiedBytes, piece.length);
    piece.address = buffer.get();
    piece.layout = nullptr;
    buffers.push_back(std::move(buffer));
  }
  return buffers;
}

void AddMoves(const Item& item, const Place& place, std::vector<Move>* moves) {
  uint64_t offset = place.offset;
  for (const Piece& piece : item.pieces) {
    ForEachSpan({&piece, 1}, 0, piece.length, [&](char* from, uint64_t bytes) {
      moves->push_back({true, from, bytes, piece.kind, place.open, offset});
      offset += bytes;
    });
  }
}

}  // namespace

// From the caller's memory where that is the host's; otherwise from the space, where that is; otherwise the directory
// does it.
void ObjectStore::ComputeChecksums(const Item& item, Ticket& ticket) {
  if (ticket.checksums.empty()) return;
  const bool from_item = AllHost(item);
  if (!from_item && !IsHost(ticket.places[0])) {
    ticket.compute_checksums = true;
    return;
  }
  RunningChecksum running;
  for (uint64_t i = 0; i < ticket.checksums.size(); ++i) {
    const uint64_t at = i * ticket.chunk_bytes;
    const uint64_t bytes = std::min<uint64_t>(ticket.chunk_bytes, ticket.length - at);
    if (!from_item) {
      ticket.checksums[i] = HashBytes(ticket.places[0].address + at, bytes);
      continue;
    }
    running.Reset();
    ForEachSpan(item.pieces, at, bytes, [&](const char* from, uint64_t n) { running.Add(from, n); });
    ticket.checksums[i] = running.Value();
  }
}

void ObjectStore::FillTickets(std::span<Item> items, const WritePolicy& policy, std::span<Ticket> tickets) {
  std::vector<Move> moves;
  std::vector<uint32_t> owners;  // of each move
  std::vector<uint32_t> moved;   // items that the engine moves
  std::vector<std::unique_ptr<char[]>> buffers;
  uint64_t deadline_ns = policy.deadline_ns;
  for (size_t i = 0; i < items.size(); ++i) {
    Ticket& ticket = tickets[i];
    if (!ticket.ok() || items[i].length == 0) continue;
    const auto places = std::span(ticket.places).first(ticket.place_count);
    if (AllHost(items[i]) && std::all_of(places.begin(), places.end(), IsHost)) {
      if (clock_.NowNs() < policy.deadline_ns) {
        CopyIn(items[i], ticket);
      } else {
        directory_->Abort(ticket, false);
        ticket.Fail(DeadlinePassed());
      }
      continue;
    }
    for (auto& buffer : GatherHostPieces(&items[i], counters_)) buffers.push_back(std::move(buffer));
    for (const Place& place : places) AddMoves(items[i], place, &moves);
    owners.resize(moves.size(), static_cast<uint32_t>(i));
    moved.push_back(static_cast<uint32_t>(i));
    deadline_ns = std::min(deadline_ns, ticket.expires_ns);
  }
  if (moves.empty()) return;
  const uint64_t now_ns = clock_.NowNs();
  std::vector<Status> ends(moves.size(), DeadlinePassed());
  if (now_ns < deadline_ns) ends = plane_.Transfer(moves, deadline_ns - now_ns, policy.order);
  std::vector<uint8_t> stuck(items.size(), 0);
  for (size_t m = 0; m < moves.size(); ++m) {
    Ticket& ticket = tickets[owners[m]];
    if (ends[m].code() == SLIPWAY_E_STUCK) stuck[owners[m]] = 1;
    if (!ends[m].ok() && ticket.ok()) ticket.Fail(ends[m]);
  }
  for (const uint32_t i : moved) {
    if (tickets[i].ok()) {
      ComputeChecksums(items[i], tickets[i]);
    } else {
      directory_->Abort(tickets[i], stuck[i] != 0);
    }
  }
}

Status ObjectStore::Write(std::span<Item> items, const WritePolicy& given, bool exists_is_error, uint64_t timeout_ms,
                          Statuses* statuses) {
  SLIPWAY_RETURN_IF_ERROR(CheckItems(items));
  WritePolicy policy = given;
  policy.deadline_ns = DeadlineFrom(timeout_ms);
  statuses->assign(items.size(), Status());
  std::vector<WriteIntent> intents;
  std::vector<uint32_t> index;  // of the items whose keys can be
  intents.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    (*statuses)[i] = CheckKey(items[i].key);
    if (!(*statuses)[i].ok()) continue;
    intents.push_back({items[i].key, items[i].length});
    index.push_back(static_cast<uint32_t>(i));
  }
  if (intents.empty()) return {};
  std::vector<Item> some;
  if (index.size() < items.size()) {
    for (const uint32_t i : index) some.push_back(items[i]);
    items = some;
  }
  std::vector<Ticket> tickets(intents.size());
  directory_->Begin(intents, policy, tickets);
  FillTickets(items, policy, tickets);
  directory_->Commit(tickets, policy);
  for (size_t t = 0; t < tickets.size(); ++t) {
    Status& status = (*statuses)[index[t]];
    if (tickets[t].code == SLIPWAY_OK) continue;
    if (tickets[t].code == SLIPWAY_EXISTS) {
      status = Status(exists_is_error ? SLIPWAY_E_EXISTS : SLIPWAY_EXISTS,
                      "key " + Quoted(items[t].key) + " has a value already, which was kept");
    } else {
      status = Status(tickets[t].code, "key " + Quoted(items[t].key) + ": " + tickets[t].message);
    }
  }
  return {};
}

}  // namespace slipway

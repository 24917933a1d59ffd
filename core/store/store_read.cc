// Reading: look up, move, verify; where a replica fails, the next.
#include <algorithm>

#include "core/store/checksum.h"
#include "core/store/safetensors.h"
#include "core/store/store.h"
#include "slipway/sdk/copy_bytes.hpp"

namespace slipway {
namespace {

Status NoPlace() { return Status(SLIPWAY_E_INTERNAL, "the object has a length and lies nowhere"); }

// The pieces cut off where the value ends.
Item Clipped(const Item& item, uint64_t length) {
  Item clipped;
  clipped.key = item.key;
  clipped.length = length;
  for (Piece piece : item.pieces) {
    if (length == 0) break;
    piece.length = std::min(piece.length, length);
    length -= piece.length;
    clipped.pieces.push_back(piece);
  }
  return clipped;
}

}  // namespace

// One item on its way.
struct ObjectStore::Reading {
  Item item;  // clipped to the value
  Ticket* ticket = nullptr;
  Status status;
  bool done = false;
  // Elements that do not lie side by side, while the engine brings them.
  std::vector<std::pair<std::unique_ptr<char[]>, Piece>> scattered;

  void BringTogether() {
    for (Piece& piece : item.pieces) {
      if (!IsToBeBroughtTogether(piece)) continue;
      auto buffer = std::make_unique_for_overwrite<char[]>(piece.length);
      char* const together = buffer.get();
      scattered.emplace_back(std::move(buffer), piece);
      piece.layout = nullptr;
      piece.address = together;
    }
  }
  void Scatter(Counters& counters) {
    for (auto& [buffer, piece] : scattered) {
      const char* from = buffer.get();
      piece.layout->ForEachRun(0, piece.length, [&](char* to, uint64_t n) {
        sdk::CopyBytes(to, from, n);
        from += n;
      });
      counters.Add(Counter::kStoreHostCopies);
      counters.Add(Counter::kStoreHostCopiedBytes, piece.length);
    }
  }
};

void ObjectStore::ReadRound(std::span<Reading> readings, const ReadCall& call) {
  const bool verify = call.verify;
  uint64_t deadline_ns = call.deadline_ns;
  std::vector<Move> moves;
  std::vector<Reading*> owners;  // of each move
  std::vector<Reading*> moved;
  for (Reading& reading : readings) {
    if (reading.done) continue;
    Ticket& ticket = *reading.ticket;
    const Place& place = ticket.places[0];
    reading.status = Status();
    reading.done = true;
    if (AllHost(reading.item) && IsHost(place)) {
      reading.status = clock_.NowNs() < deadline_ns ? CopyOut(reading.item, ticket, place, verify) : DeadlinePassed();
      continue;
    }
    // What is the host's can be looked at before it goes somewhere else.
    if (IsHost(place) && verify) {
      reading.status = VerifyChunks(reading.item.key, ticket, place, 0, ticket.length);
      if (!reading.status.ok()) continue;
    }
    if (!IsHost(place)) reading.BringTogether();
    uint64_t offset = place.offset;
    for (const Piece& piece : reading.item.pieces) {
      ForEachSpan({&piece, 1}, 0, piece.length, [&](char* to, uint64_t bytes) {
        moves.push_back({false, to, bytes, piece.kind, place.open, offset});
        offset += bytes;
      });
    }
    owners.resize(moves.size(), &reading);
    moved.push_back(&reading);
    deadline_ns = std::min(deadline_ns, ticket.expires_ns);
  }
  if (moves.empty()) return;
  const uint64_t now_ns = clock_.NowNs();
  std::vector<Status> ends(moves.size(), DeadlinePassed());
  if (now_ns < deadline_ns) ends = plane_.Transfer(moves, deadline_ns - now_ns, call.order);
  for (size_t m = 0; m < moves.size(); ++m) {
    if (!ends[m].ok() && owners[m]->status.ok()) owners[m]->status = ends[m];
  }
  const bool late = clock_.NowNs() >= deadline_ns;
  for (Reading* reading : moved) {
    const Ticket& ticket = *reading->ticket;
    // The space may have been given to somebody else meanwhile, and the bytes may be theirs.
    if (reading->status.ok() && late) reading->status = DeadlinePassed();
    if (reading->status.ok() && verify && !IsHost(ticket.places[0]) && AllHost(reading->item) &&
        !ticket.checksums.empty()) {
      RunningChecksum running;
      for (uint64_t i = 0; i < ticket.checksums.size() && reading->status.ok(); ++i) {
        const uint64_t at = i * ticket.chunk_bytes;
        running.Reset();
        ForEachSpan(reading->item.pieces, at, std::min<uint64_t>(ticket.chunk_bytes, ticket.length - at),
                    [&](const char* from, uint64_t n) { running.Add(from, n); });
        if (running.Value() != ticket.checksums[i]) reading->status = Mismatch(reading->item.key);
      }
    }
    if (reading->status.ok()) reading->Scatter(counters_);
  }
}

void ObjectStore::ReadTickets(std::span<Item> items, std::span<Ticket> tickets, const ReadCall& call,
                              Statuses* statuses) {
  std::vector<Reading> readings;
  std::vector<uint32_t> index;
  readings.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    Ticket& ticket = tickets[i];
    if (!(*statuses)[i].ok() || ticket.length == 0) continue;
    if (ticket.place_count == 0) {
      (*statuses)[i] = NoPlace();
      continue;
    }
    Reading& reading = readings.emplace_back();
    reading.item = Clipped(items[i], ticket.length);
    reading.ticket = &ticket;
    index.push_back(static_cast<uint32_t>(i));
  }
  for (bool again = true; again;) {
    again = false;
    ReadRound(readings, call);
    for (size_t r = 0; r < readings.size(); ++r) {
      Reading& reading = readings[r];
      if (reading.status.ok() || reading.ticket->place_count < 2) continue;
      // The next replica.
      Ticket& ticket = *reading.ticket;
      std::rotate(ticket.places.begin(), ticket.places.begin() + 1, ticket.places.begin() + ticket.place_count);
      --ticket.place_count;
      reading.item = Clipped(items[index[r]], ticket.length);
      reading.scattered.clear();
      reading.done = false;
      again = true;
    }
  }
  for (size_t r = 0; r < readings.size(); ++r) (*statuses)[index[r]] = readings[r].status;
}

Status ObjectStore::ReadInto(std::span<Item> items, const slipway_store_read_options& options, uint64_t* lengths,
                             Statuses* statuses) {
  SLIPWAY_RETURN_IF_ERROR(CheckItems(items));
  const ReadCall call = ToCall(options);
  statuses->assign(items.size(), Status());
  std::vector<std::string_view> keys;
  keys.reserve(items.size());
  for (const Item& item : items) keys.push_back(item.key);
  std::vector<Ticket> tickets(items.size());
  directory_->Lookup(keys, std::all_of(items.begin(), items.end(), AllHost), call.deadline_ns, tickets);
  const Releaser releaser(*directory_, tickets);
  for (size_t i = 0; i < items.size(); ++i) {
    const Ticket& ticket = tickets[i];
    if (lengths != nullptr) lengths[i] = ticket.ok() ? ticket.length : 0;
    if (!ticket.ok()) {
      (*statuses)[i] = Status(ticket.code, "key " + Quoted(items[i].key) + ": " + ticket.message);
    } else if (ticket.length > items[i].length) {
      (*statuses)[i] =
          Status(SLIPWAY_E_BUFFER_TOO_SMALL, "key " + Quoted(items[i].key) + " has " + std::to_string(ticket.length) +
                                                 " bytes, and the buffer " + std::to_string(items[i].length));
    }
  }
  ReadTickets(items, tickets, call, statuses);
  return {};
}

Status ObjectStore::Get(std::span<const std::string_view> keys, const slipway_store_read_options& options, bool no_copy,
                        std::vector<std::unique_ptr<HeldValue>>* values, Statuses* statuses) {
  const ReadCall call = ToCall(options);
  statuses->assign(keys.size(), Status());
  values->clear();
  values->resize(keys.size());
  std::vector<Ticket> tickets(keys.size());
  directory_->Lookup(keys, true, call.deadline_ns, tickets);
  const Releaser releaser(*directory_, tickets);
  std::vector<Item> items(keys.size());
  std::vector<std::unique_ptr<char[]>> copies(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    Ticket& ticket = tickets[i];
    Status& status = (*statuses)[i];
    items[i].key = keys[i];
    if (!ticket.ok()) {
      status = Status(ticket.code, "key " + Quoted(keys[i]) + ": " + ticket.message);
    } else if (ticket.record != nullptr && (ticket.length == 0 || IsHost(ticket.places[0]))) {
      bool good = ticket.length == 0 || !call.verify;
      while (!good) {
        status = VerifyChunks(keys[i], ticket, ticket.places[0], 0, ticket.length);
        good = status.ok();
        if (good || ticket.place_count < 2 || !IsHost(ticket.places[1])) break;
        std::rotate(ticket.places.begin(), ticket.places.begin() + 1, ticket.places.begin() + ticket.place_count);
        --ticket.place_count;
      }
      if (!good) continue;
      (*values)[i] = std::make_unique<HeldValue>(directory_, std::move(ticket));
      tickets[i] = Ticket();
    } else if (no_copy) {
      status = Status(SLIPWAY_E_UNSUPPORTED, "key " + Quoted(keys[i]) +
                                                 " does not lie in this process's host memory: "
                                                 "read it with get or get_into");
    } else {
      copies[i] = std::make_unique_for_overwrite<char[]>(std::max<uint64_t>(ticket.length, 1));
      items[i].pieces.push_back({copies[i].get(), ticket.length, nullptr, SLIPWAY_MEM_HOST});
      items[i].length = ticket.length;
    }
  }
  // Those that are held already have tickets of no bytes here.
  ReadTickets(items, tickets, call, statuses);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (copies[i] == nullptr || !(*statuses)[i].ok()) continue;
    (*values)[i] = std::make_unique<HeldValue>(std::move(copies[i]), tickets[i].length);
  }
  return {};
}

// ---- tensors
// ---------------------------------------------------------------------------------------------------------

Status ObjectStore::ReadHeader(std::string_view key, Ticket& ticket, const ReadCall& call, std::string* header) {
  header->resize(std::min<uint64_t>(ticket.length, 4096));
  RangeItem first{header->data(), header->size(), 0};
  if (ticket.place_count == 0) return TensorHeaderBytes("", 0).status();
  SLIPWAY_RETURN_IF_ERROR(ReadRangesOf(key, ticket, {&first, 1}, call));
  Result<uint64_t> length = TensorHeaderBytes(*header, ticket.length);
  if (!length.ok()) return length.status();
  const size_t had = header->size();
  header->resize(*length);
  if (*length <= had) return {};
  RangeItem rest{header->data() + had, *length - had, had};
  return ReadRangesOf(key, ticket, {&rest, 1}, call);
}

Status ObjectStore::GetTensorInfo(std::string_view key, const slipway_store_read_options& options,
                                  slipway_tensor_info* info) {
  const ReadCall call = ToCall(options);
  std::vector<Ticket> tickets(1);
  directory_->Lookup({&key, 1}, true, call.deadline_ns, tickets);
  const Releaser releaser(*directory_, tickets);
  if (!tickets[0].ok()) return Status(tickets[0].code, "key " + Quoted(key) + ": " + tickets[0].message);
  std::string header;
  Status status = ReadHeader(key, tickets[0], call, &header);
  if (status.ok()) status = ParseTensorHeader(header, tickets[0].length, info);
  return status.ok() ? status : Status(status.code(), "key " + Quoted(key) + ": " + status.message());
}

Status ObjectStore::GetTensorInto(std::string_view key, const slipway_tensor& target,
                                  const slipway_store_read_options& options) {
  const Result<Layout> layout = Layout::Of(target);
  if (!layout.ok()) return layout.status();
  if (!layout->Disjoint()) {
    return Status(SLIPWAY_E_INVALID, "tensor: its strides make elements overlap, so that it cannot be written to");
  }
  const ReadCall call = ToCall(options);
  std::vector<Ticket> tickets(1);
  const bool host = layout->bytes() == 0 || plane_.KindOf(layout->low(), layout->extent_bytes()) == SLIPWAY_MEM_HOST;
  directory_->Lookup({&key, 1}, host, call.deadline_ns, tickets);
  const Releaser releaser(*directory_, tickets);
  const std::string named = "key " + Quoted(key) + ": ";
  if (!tickets[0].ok()) return Status(tickets[0].code, named + tickets[0].message);
  std::string header;
  slipway_tensor_info info{};
  Status status = ReadHeader(key, tickets[0], call, &header);
  if (status.ok()) status = ParseTensorHeader(header, tickets[0].length, &info);
  if (!status.ok()) return Status(status.code(), named + status.message());
  bool same = info.dtype == target.dtype && info.rank == target.rank;
  for (uint32_t d = 0; d < info.rank && same; ++d) same = info.shape[d] == target.shape[d];
  if (!same) {
    return Status(SLIPWAY_E_NOT_TENSOR, named + "what is stored has another dtype or shape: its header is " +
                                            header.substr(8, std::min(header.find_last_not_of(' ') - 7, size_t{512})));
  }
  // The header goes where it was read to, again: a value is verified and moved as a whole.
  Item item;
  item.key = key;
  item.pieces.push_back({header.data(), header.size(), nullptr, 0});
  item.pieces.push_back({layout->data(), layout->bytes(), layout->contiguous() ? nullptr : &*layout, 0});
  SLIPWAY_RETURN_IF_ERROR(CheckItems({&item, 1}));
  Statuses statuses(1);
  ReadTickets({&item, 1}, tickets, call, &statuses);
  return statuses[0];
}

}  // namespace slipway

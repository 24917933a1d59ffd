#include "core/store/store.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/store/checksum.h"

namespace slipway {
namespace {

// Length of the UTF-8 sequence at the start of `text`; 0: none that is well-formed and no control character.
size_t CharacterBytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  // Over-long forms, surrogates, and beyond the last plane.
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
      (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return bytes;
}

// Whether two keys are equal: open addressing over the hashes.
Status CheckDistinct(std::span<const Item> items) {
  if (items.size() < 2) return {};
  size_t room = 4;
  while (room < items.size() * 2) room *= 2;
  std::vector<uint32_t> table(room, UINT32_MAX);
  for (size_t i = 0; i < items.size(); ++i) {
    size_t at = HashBytes(items[i].key.data(), items[i].key.size()) & (room - 1);
    for (; table[at] != UINT32_MAX; at = (at + 1) & (room - 1)) {
      if (items[table[at]].key != items[i].key) continue;
      return Status(SLIPWAY_E_INVALID, "items " + std::to_string(table[at]) + " and " + std::to_string(i) +
                                           " have the same key " + Quoted(items[i].key));
    }
    table[at] = static_cast<uint32_t>(i);
  }
  return {};
}

}  // namespace

Status DeadlinePassed() { return Status(SLIPWAY_E_DEADLINE, "the call's deadline passed before the value was moved"); }

std::string Quoted(std::string_view key) {
  constexpr size_t kShown = 80;
  std::string text = "\"";
  for (const char c : key.substr(0, kShown)) text += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return text + (key.size() > kShown ? "...\"" : "\"");
}

Status CheckKey(std::string_view key) {
  if (key.empty()) return Status(SLIPWAY_E_INVALID, "the key is empty");
  if (key.size() > SLIPWAY_STORE_KEY_MAX) {
    return Status(SLIPWAY_E_INVALID, "the key has " + std::to_string(key.size()) + " bytes, more than " +
                                         std::to_string(SLIPWAY_STORE_KEY_MAX));
  }
  for (std::string_view rest = key; !rest.empty();) {
    const size_t bytes = CharacterBytes(rest);
    if (bytes == 0) {
      return Status(SLIPWAY_E_INVALID, "the key is not UTF-8 without control characters, from byte " +
                                           std::to_string(key.size() - rest.size()) + " on");
    }
    rest.remove_prefix(bytes);
  }
  return {};
}

HeldValue::HeldValue(std::shared_ptr<Directory> directory, Ticket ticket)
    : directory_(std::move(directory)), ticket_(std::move(ticket)), length_(ticket_.length) {
  static constexpr char kNothing = 0;
  data_ = length_ > 0 ? ticket_.places[0].address : &kNothing;
}

HeldValue::HeldValue(std::unique_ptr<char[]> copy, uint64_t length)
    : copy_(std::move(copy)), data_(copy_.get()), length_(length) {}

HeldValue::~HeldValue() {
  if (directory_ != nullptr) directory_->Release({&ticket_, 1});
}

ObjectStore::ObjectStore(const StoreOptions& options, DataPlane& plane, std::shared_ptr<Directory> directory,
                         Counters& counters, const Clock& clock)
    : options_(options),
      plane_(plane),
      directory_(std::move(directory)),
      counters_(counters),
      clock_(clock),
      team_(options.copy_threads) {}

ObjectStore::~ObjectStore() = default;

uint64_t ObjectStore::DeadlineFrom(uint64_t timeout_ms) const {
  constexpr uint64_t kNsPerMs = 1'000'000;
  const uint64_t ms = timeout_ms == 0 ? options_.deadline_ms : timeout_ms;
  return ms > kNoDeadline / kNsPerMs ? kNoDeadline : DeadlineAfter(clock_.NowNs(), ms * kNsPerMs);
}

ObjectStore::ReadCall ObjectStore::ToCall(const slipway_store_read_options& options) const {
  const bool verify =
      options.verify == SLIPWAY_VERIFY_DEFAULT ? options_.verify_reads : options.verify == SLIPWAY_VERIFY_ON;
  return {verify, DeadlineFrom(options.timeout_ms), {options.stream_kind, options.stream}};
}

// What makes a call malformed, and what each piece is made of.
Status ObjectStore::CheckItems(std::span<Item> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    item.length = 0;
    const auto bad = [&](size_t piece, const std::string& what) {
      return Status(SLIPWAY_E_INVALID, "item " + std::to_string(i) + ", " + Quoted(item.key) + ", buffer " +
                                           std::to_string(piece) + ": " + what);
    };
    for (size_t p = 0; p < item.pieces.size(); ++p) {
      Piece& piece = item.pieces[p];
      if (piece.length == 0) {
        piece.kind = SLIPWAY_MEM_HOST;
        continue;
      }
      if (piece.layout == nullptr && piece.address == nullptr) {
        return bad(p, "the address is null and the length is " + std::to_string(piece.length));
      }
      if (piece.layout == nullptr && Wraps(reinterpret_cast<uint64_t>(piece.address), piece.length)) {
        return bad(p, "address and a length of " + std::to_string(piece.length) + " wrap around the address space");
      }
      if (Wraps(item.length, piece.length)) return bad(p, "the lengths add up to more than 64 bits hold");
      item.length += piece.length;
    }
    // Only now that the address makes sense may a provider be asked about it.
    for (Piece& piece : item.pieces) {
      if (piece.length == 0) continue;
      piece.kind = piece.layout != nullptr ? plane_.KindOf(piece.layout->low(), piece.layout->extent_bytes())
                                           : plane_.KindOf(piece.address, piece.length);
    }
  }
  return CheckDistinct(items);
}

Status ObjectStore::Mismatch(std::string_view key) {
  counters_.Add(Counter::kStoreChecksumErrors);
  return Status(SLIPWAY_E_CHECKSUM, "object " + Quoted(key) +
                                        ": the bytes are not those that were written; write it "
                                        "again, and have the memory or the link looked at");
}

}  // namespace slipway

#include "plugins/cxl/board.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

namespace slipway::cxl {
namespace {

// How long a new instance waits for copies to memory of ones that died.
constexpr uint64_t kInheritNs = 1'000'000'000;

}  // namespace

Boards::Boards(const Window& window, const Config& config)
    : window_(window),
      coherent_(config.coherent()),
      multi_host_(config.multi_host()),
      timeout_ns_(uint64_t{config.peer_timeout_ms} * 1'000'000),
      first_(config.multi_host() ? config.host_index * kBoardsPerHost : 0),
      count_(config.multi_host() ? kBoardsPerHost : kBoards) {}

template <typename Body>
slipway_status Boards::Touch(const Body& body) const {
  Fault fault;
  return !window_.failed() && Guarded(fault, body) ? SLIPWAY_OK : SLIPWAY_E_DEVICE;
}

// ---- taking one ------------------------------------------------------------------------------------------------

// The area must be boards or nothing: whatever else the device holds is somebody's.
slipway_status Boards::CheckArea(const std::string& path, sdk::Error& err) const {
  bool foreign = false;
  const slipway_status s = Touch([&] {
    for (uint32_t i = 0; i < kBoards; ++i) {
      const Board& board = At(i);
      Refresh(board.header);
      const uint64_t magic = board.header.magic.load();
      foreign = foreign || (magic != 0 && magic != kBoardMagic);
      // One that was never used is zero all over; a look at each part is enough to tell it from a file's contents.
      if (magic == 0) foreign = foreign || board.header.beats.load() != 0 || board.slots[kSlots - 1].length.load() != 0;
    }
  });
  if (s != SLIPWAY_OK) return err.Fail(s, path + ": its memory cannot be read", path);
  if (!foreign) return SLIPWAY_OK;
  return err.Fail(SLIPWAY_E_CONFIG,
                  path +
                      " begins with data of somebody else's: its first 8 MiB must be zero before it is used (dd "
                      "if=/dev/zero), or put a small window before it",
                  "/windows/0/device");
}

// [guarded]
void Boards::Reset(uint64_t nonce) const {
  Board& mine = At(number_);
  mine.header.nonce.store(0);
  mine.header.phase.store(0);
  Show(mine.header);
  for (Visit& visit : mine.visits) {
    for (auto& phase : visit.inside) {
      for (std::atomic<uint8_t>& channel : phase) channel.store(0, std::memory_order_relaxed);
    }
    Show(visit);
  }
  for (Slot& slot : mine.slots) {
    slot.key.store(0);
    Show(slot);
  }
  mine.header.magic.store(kBoardMagic);
  mine.header.beats.fetch_add(1);
  mine.header.nonce.store(nonce);
  Show(mine.header);
}

slipway_status Boards::Take(uint64_t nonce, const sdk::Host& host, sdk::Error& err) {
  const std::string& path = window_.device().path;
  if (window_.bytes() < kBoardAreaBytes) {
    return err.Fail(SLIPWAY_E_CONFIG,
                    path +
                        " is smaller than the 8 MiB that instances tell each other in: make it larger, or "
                        "put a window that is larger before it",
                    "/windows/0/device");
  }
  if (const slipway_status s = CheckArea(path, err); s != SLIPWAY_OK) return s;
  for (number_ = first_; number_ < first_ + count_; ++number_) {
    if (lock_.Take(path, number_ * kBoardBytes, kBoardBytes)) break;
    if (errno != EAGAIN && errno != EACCES) {
      return err.Fail(SLIPWAY_E_IO, path + " takes no locks on bytes (F_OFD_SETLK)", path, errno);
    }
  }
  if (!lock_.held()) {
    return err.FailRetryable(
        SLIPWAY_E_BUSY,
        path + " is in use by " + std::to_string(count_) + " instances of this host, which is all it takes: end one",
        path, EBUSY);
  }
  nonce_ = nonce;
  if (Touch([&] { Reset(nonce); }) != SLIPWAY_OK)
    return err.Fail(SLIPWAY_E_DEVICE, path + ": its memory cannot be written", path);
  // Whoever copies to memory of an instance that died may not have noticed yet, and that memory may now be given out.
  const uint64_t deadline_ns = host.NowNs() + kInheritNs;
  for (uint32_t board = first_; board < first_ + count_; ++board) {
    if (board != number_ && !OwnerDied(board, host)) continue;
    for (uint32_t phase = 0; phase < 2; ++phase) {
      if (const slipway_status s = WaitForVisitors(board, phase, host, deadline_ns); s != SLIPWAY_OK) {
        return err.FailRetryable(s, path + ": somebody still copies to memory of an instance that died: try again",
                                 path);
      }
    }
  }
  return SLIPWAY_OK;
}

slipway_status Boards::Close() {
  return Touch([&] {
    At(number_).header.nonce.store(0);
    Show(At(number_).header);
  });
}

slipway_status Boards::Beat(const sdk::Host& host) {
  const uint64_t now_ns = host.NowNs();
  return Touch([&] {
    At(number_).header.beats.fetch_add(1);
    Show(At(number_).header);
    for (uint32_t board = 0; board < kBoards; ++board) {
      if (IsHere(board)) continue;
      const Header& header = At(board).header;
      Refresh(header);
      const uint64_t beats = header.beats.load();
      if (pulses_[board].beats.exchange(beats) != beats) pulses_[board].since_ns.store(now_ns);
    }
  });
}

// ---- owner -----------------------------------------------------------------------------------------------------

slipway_status Boards::Publish(uint32_t slot, uint64_t key, uint64_t offset, uint64_t length, const Identity& window,
                               uint32_t access) {
  return Touch([&] {
    Slot& mine = At(number_).slots[slot];
    mine.offset.store(offset);
    mine.length.store(length);
    uint64_t words[2];
    std::memcpy(words, window.data(), sizeof(words));
    for (int i = 0; i < 2; ++i) mine.window[i].store(words[i]);
    mine.access.store(access);
    Show(mine);
    mine.key.store(key);
    Show(mine);
  });
}

slipway_status Boards::Revoke(uint32_t slot, const sdk::Host& host, uint64_t deadline_ns) {
  MutexLock lock(revoking_);
  uint64_t key = 0;
  const auto set_key = [&](uint64_t value) {
    return Touch([&] {
      Slot& mine = At(number_).slots[slot];
      key = mine.key.exchange(value);
      Show(mine);
    });
  };
  slipway_status s = slot == kAllSlots ? SLIPWAY_OK : set_key(0);
  for (int round = 0; round < 2 && s == SLIPWAY_OK; ++round) {
    uint32_t before = 0;
    s = Touch([&] {
      Header& header = At(number_).header;
      before = header.phase.fetch_xor(1) & 1;
      Show(header);
    });
    if (s == SLIPWAY_OK) s = WaitForVisitors(number_, before, host, deadline_ns);
  }
  if (s == SLIPWAY_E_BUSY && slot != kAllSlots) set_key(key);
  return s;
}

bool Boards::AnyInside(uint32_t visitor, uint32_t target, uint32_t phase) const {
  const Board& board = At(visitor);
  const Visit& visit = board.visits[target];
  Refresh(visit);
  if (board.header.magic.load() != kBoardMagic) return false;
  return std::any_of(std::begin(visit.inside[phase]), std::end(visit.inside[phase]),
                     [](const std::atomic<uint8_t>& channel) { return channel.load() != 0; });
}

slipway_status Boards::WaitForVisitors(uint32_t target, uint32_t phase, const sdk::Host& host,
                                       uint64_t deadline_ns) const {
  for (uint32_t board = 0; board < kBoards; ++board) {
    for (;;) {
      bool inside = false;
      const slipway_status s = Touch([&] { inside = AnyInside(board, target, phase); });
      if (s != SLIPWAY_OK) return s;
      if (!inside || OwnerDied(board, host)) break;
      if (host.NowNs() > deadline_ns) return SLIPWAY_E_BUSY;
      std::this_thread::yield();  // a piece takes microseconds
    }
  }
  return SLIPWAY_OK;
}

// ---- visitor ---------------------------------------------------------------------------------------------------

bool Boards::OwnerDied(uint32_t board, const sdk::Host& host) const {
  if (board == number_) return false;
  if (IsHere(board)) return !window_.LockedByAnother(board * kBoardBytes, kBoardBytes);
  const uint64_t since_ns = pulses_[board].since_ns.load(), now_ns = host.NowNs();
  return now_ns > since_ns && now_ns - since_ns >= timeout_ns_;
}

slipway_status Boards::Look(uint32_t board, Seen& out) const {
  return Touch([&] {
    const Header& header = At(board).header;
    Refresh(header);
    out.nonce = header.magic.load() == kBoardMagic ? header.nonce.load() : 0;
    out.beats = header.beats.load();
  });
}

slipway_status Boards::LookAt(uint32_t board, uint32_t slot, Registration& out) const {
  return Touch([&] {
    const Slot& theirs = At(board).slots[slot];
    Refresh(theirs);
    out.key = theirs.key.load();
    out.offset = theirs.offset.load();
    out.length = theirs.length.load();
    const uint64_t words[2] = {theirs.window[0].load(), theirs.window[1].load()};
    std::memcpy(out.window.data(), words, sizeof(words));
    out.access = theirs.access.load();
  });
}

Boards::Entry Boards::Enter(uint32_t board, uint64_t nonce, uint32_t slot, uint64_t key, uint32_t channel,
                            uint32_t& phase) const {
  const Board& theirs = At(board);
  Refresh(theirs.header);
  phase = theirs.header.phase.load() & 1;
  Visit& mine = At(number_).visits[board];
  mine.inside[phase][channel].store(1, std::memory_order_relaxed);
  Show(mine);
  Refresh(theirs.header);
  Refresh(theirs.slots[slot]);
  const Entry entry = theirs.header.nonce.load() != nonce    ? Entry::kOwnerGone
                      : theirs.slots[slot].key.load() != key ? Entry::kRevoked
                                                             : Entry::kOk;
  if (entry != Entry::kOk) Leave(board, channel, phase);
  return entry;
}

void Boards::Leave(uint32_t board, uint32_t channel, uint32_t phase) const {
  Visit& mine = At(number_).visits[board];
  mine.inside[phase][channel].store(0, std::memory_order_release);
  Show(mine);
}

}  // namespace slipway::cxl

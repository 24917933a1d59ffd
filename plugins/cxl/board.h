// What instances tell each other, in the shared memory itself: who is alive, what it has registered, and who is
// copying.
//
// The first window begins with kBoards boards. Each instance has one and alone writes it; everyone reads all. Nothing
// here needs an atomic operation between hosts or coherent caches: every line has one writer, which writes it back, and
// readers drop their copy of a line before they read it.
//
//   line 0       Header: the instance's number, 0 when it takes no requests, and a count that shows that it lives
//   line 1..128  Visit: which of this instance's channels copy to or from memory of board N now, by phase
//   further      Slot: one registration; its key is 0 when there is none, and never the same twice
//
// To copy, a channel says that it is in (in its own byte), then looks whether the owner's header and slot are as they
// were imported, and says that it is out when it is done. To revoke, the owner zeroes the key, then waits until it has
// seen nobody in. Each looks after it wrote, so one of them notices the other (Dekker). Visitors are in the phase that
// the owner's header says, and the owner turns the phase twice, so that those who came later do not keep it waiting (as
// sleepable RCU does: McKenney, 2006).
#ifndef SLIPWAY_PLUGINS_CXL_BOARD_H_
#define SLIPWAY_PLUGINS_CXL_BOARD_H_

#include <atomic>
#include <cstdint>

#include "plugins/cxl/copy.h"
#include "plugins/cxl/device.h"
#include "plugins/cxl/guard.h"
#include "plugins/cxl/window.h"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::cxl {

inline constexpr uint32_t kBoards = 128;  // of a device; shared out among kHostsMax hosts where there are several
inline constexpr uint32_t kBoardsPerHost = kBoards / kHostsMax;
inline constexpr uint32_t kChannels = 32;  // of an instance
inline constexpr uint64_t kBoardBytes = 64 << 10;
inline constexpr uint64_t kBoardAreaBytes = kBoards * kBoardBytes;

struct alignas(kLine) Header {
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> nonce;  // random, of this instance alone
  std::atomic<uint64_t> beats;
  std::atomic<uint32_t> phase;  // 0 or 1
};
struct alignas(kLine) Visit {
  std::atomic<uint8_t> inside[2][kChannels];
};
struct alignas(kLine) Slot {
  std::atomic<uint64_t> key;             // written last, read first
  std::atomic<uint64_t> offset, length;  // in the window of that identity
  std::atomic<uint64_t> window[2];
  std::atomic<uint64_t> access;
};

inline constexpr uint32_t kSlots = (kBoardBytes - sizeof(Header) - kBoards * sizeof(Visit)) / sizeof(Slot);

struct Board {
  Header header;
  Visit visits[kBoards];
  Slot slots[kSlots];
};
static_assert(sizeof(Header) == kLine && sizeof(Visit) == kLine && sizeof(Slot) == kLine);
static_assert(sizeof(Board) <= kBoardBytes && std::atomic<uint64_t>::is_always_lock_free);

inline constexpr uint64_t kBoardMagic = 0x3130647262786c63;  // "clxbrd01"

// The boards of the first window, seen from one instance, which has taken number() of them. Thread-safe, but for
// Take().
//
// Functions marked [guarded] touch the memory without protection and are for bodies of Guarded(). All others say
// E_DEVICE when the memory is gone.
class Boards {
 public:
  Boards(const Window& window, const Config& config);

  // A free board, made anew. E_BUSY: all are taken. E_CONFIG: the device begins with something else.
  slipway_status Take(uint64_t nonce, const sdk::Host& host, sdk::Error& err);
  // Takes no more requests.
  slipway_status Close();
  // Shows to other hosts that this instance lives, and looks which of theirs do. To be called several times in a peer
  // timeout; only where there are other hosts.
  slipway_status Beat(const sdk::Host& host);
  uint32_t number() const { return number_; }
  uint64_t nonce() const { return nonce_; }

  // ---- as the owner -----------------------------------------------------------------------------------------------
  slipway_status Publish(uint32_t slot, uint64_t key, uint64_t offset, uint64_t length, const Identity& window,
                         uint32_t access);
  // Nobody begins to use the slot any more, and nobody does. E_BUSY: somebody still did at `deadline_ns` of the host's
  // clock; it is as before then. `slot` kAllSlots: waits only, for after Close().
  static constexpr uint32_t kAllSlots = UINT32_MAX;
  slipway_status Revoke(uint32_t slot, const sdk::Host& host, uint64_t deadline_ns);

  // ---- as a visitor -----------------------------------------------------------------------------------------------
  struct Seen {
    uint64_t nonce = 0, beats = 0;
  };
  // What the header of another's board says now.
  slipway_status Look(uint32_t board, Seen& out) const;
  struct Registration {
    uint64_t key = 0, offset = 0, length = 0;
    Identity window{};
    uint64_t access = 0;
  };
  slipway_status LookAt(uint32_t board, uint32_t slot, Registration& out) const;
  // Whether the board's owner has died: as this host's kernel knows, or because it was silent for the peer timeout.
  bool OwnerDied(uint32_t board, const sdk::Host& host) const;

  enum class Entry { kOk, kOwnerGone, kRevoked };
  // [guarded] Goes in; to be followed by Leave when kOk. `phase` is for Leave. One thread at a time for each channel.
  Entry Enter(uint32_t board, uint64_t nonce, uint32_t slot, uint64_t key, uint32_t channel, uint32_t& phase) const;
  // [guarded] All stores before it are visible to the owner.
  void Leave(uint32_t board, uint32_t channel, uint32_t phase) const;

 private:
  Board& At(uint32_t board) const { return *reinterpret_cast<Board*>(window_.base() + board * kBoardBytes); }
  // [guarded] Makes what was written to the line visible to everybody.
  template <typename Line>
  void Show(const Line& line) const {
    if (!coherent_) WriteBack(&line, sizeof(line));
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  // [guarded] Makes the next load see what others wrote.
  template <typename Line>
  void Refresh(const Line& line) const {
    if (!coherent_) Invalidate(&line, sizeof(line));
  }
  template <typename Body>
  slipway_status Touch(const Body& body) const;

  slipway_status CheckArea(const std::string& path, sdk::Error& err) const;
  void Reset(uint64_t nonce) const;
  // [guarded]
  bool AnyInside(uint32_t visitor, uint32_t target, uint32_t phase) const;
  bool IsHere(uint32_t board) const { return !multi_host_ || (board >= first_ && board < first_ + count_); }
  // Waits until no copy to `target` is in progress in `phase`. False at the deadline.
  slipway_status WaitForVisitors(uint32_t target, uint32_t phase, const sdk::Host& host, uint64_t deadline_ns) const;

  const Window& window_;
  const bool coherent_, multi_host_;
  const uint64_t timeout_ns_;
  const uint32_t first_, count_;  // the boards that this host may take
  uint32_t number_ = 0;
  uint64_t nonce_ = 0;
  ByteLock lock_;
  Mutex revoking_;  // one at a time, as each turns the phase
  // When a board of another host was last seen to change.
  struct Pulse {
    std::atomic<uint64_t> beats{0}, since_ns{0};
  };
  Pulse pulses_[kBoards];
};

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_BOARD_H_

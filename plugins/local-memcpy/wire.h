// What two processes have in common: the board and the lanes, which both map, and the messages on their socket.
//
// The target makes a board, which it alone can write: whether it lives, and which registrations may be used. For every
// process that connects it makes lanes, where the initiator says, in a lane of each thread that copies, which
// registration that thread is using. The initiator fills its lane and then looks at the board; the target closes a
// registration on the board and then looks at the lanes: one of the two sees the other. So a copy costs no system call,
// and after deregistering nobody who keeps to this writes any more. Who does not keep to it could also have taken the
// bytes in other ways: only processes of the same user get this far, unless the configuration says otherwise.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_WIRE_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_WIRE_H_

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "plugins/local-memcpy/memory.h"

namespace slipway::local_memcpy {

// ---- the board ---------------------------------------------------------------------------------------------------

// Registrations that other processes can reach at once; the board is a sparse file, so unused ones cost nothing.
inline constexpr uint32_t kSlots = 1 << 20;

struct Board {
  // The id, as Linux counts threads, of the thread that keeps it; anything else: the instance is gone. When the thread
  // dies the kernel itself writes here (robust futexes), so that looking at it is enough to know.
  std::atomic<uint32_t> life;
  char rest[4096 - sizeof(life)];
  std::atomic<uint64_t> slots[kSlots];  // the registration's id; 0: none
};

// ---- the lanes ---------------------------------------------------------------------------------------------------

// Who copies in an instance: the caller of submit(), one for each channel, and the copying threads.
inline constexpr uint32_t kChannelLanes = 64, kThreadLanes = 64;

struct alignas(64) Lane {
  std::atomic<uint64_t> registration;  // being used now; 0: none
};
struct Lanes {
  Lane lane[kChannelLanes + kThreadLanes];
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);
static_assert(std::is_standard_layout_v<Board> && std::is_standard_layout_v<Lanes>);

// ---- messages ----------------------------------------------------------------------------------------------------

// One message a packet, both of one host. `kind` is the first thing in each.
enum class Message : uint64_t {
  kHello = 0x3248'4d4c'574c'5300,
  kWelcome = 0x3257'4d4c'574c'5300,
  kAsk = 0x3241'4d4c'574c'5300,
  kAnswer = 0x3252'4d4c'574c'5300,
};

// Initiator to target, first.
struct Hello {
  Message kind = Message::kHello;
  uint64_t endpoint = 0;
};

// The reply. With OK come two descriptors: the board, for reading, and the lanes.
struct Welcome {
  Message kind = Message::kWelcome;
  int32_t status = SLIPWAY_OK;
  uint32_t life = 0;           // as on the board
  uint64_t probe_address = 0;  // where `probe` lies in the target's own memory: who can read it there has the right
  Key probe{};                 // process, and may read its memory
};

// How can this registration be reached? Everything as in the blob.
struct Ask {
  Message kind = Message::kAsk;
  uint64_t request = 0;
  uint64_t registration = 0, length = 0, access = 0;
  Key key{};
};

// With `region` a descriptor comes: shared memory, with the registration at `offset` of it.
struct Answer {
  Message kind = Message::kAnswer;
  uint64_t request = 0;
  int32_t status = SLIPWAY_OK;
  uint32_t slot = 0;
  uint64_t address = 0;                               // in the target
  uint64_t region = 0, region_bytes = 0, offset = 0;  // region 0: private memory
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_WIRE_H_

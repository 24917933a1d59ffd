// Who pins: one transport instance (registrations) or one memory provider (pinned host pages), as the pin cache sees
// it.
#ifndef SLIPWAY_CORE_MEMORY_PINNER_H_
#define SLIPWAY_CORE_MEMORY_PINNER_H_

#include <cstdint>
#include <string>

#include "slipway/abi/memory.h"
#include "slipway/status.hpp"

namespace slipway {

// A pinner's own name for one range that it pinned: a slipway_mr or a slipway_pin.
using PinHandle = void*;

// Thread-safe. Both calls may block for as long as the system takes to pin; the cache calls them with no lock held, and
// never two at once for the same bytes.
class Pinner {
 public:
  virtual ~Pinner() = default;
  // `range` is whole pages for host memory. E_PIN_LIMIT and E_NOMEM: the system has no more to give for now.
  virtual Result<PinHandle> Pin(const slipway_range& range) = 0;
  // E_REGION_BUSY: still used, nothing has changed, may be tried again. Any other failure: the pages may be pinned for
  // good, and the handle is not used again.
  virtual Status Unpin(PinHandle handle) = 0;
  // Returns when either of these would hold nobody up, or some milliseconds later. Called before them.
  virtual void AwaitQuiet() {}
};

// What one pinner demands, and what it can do.
struct PinnerTraits {
  std::string name;                // for messages
  uint64_t mem_kinds = 0;          // SLIPWAY_MEM_* bits that it pins
  bool for_devices = false;        // a memory provider, which pins for its devices
  uint64_t granularity_bytes = 1;  // extents are at least this long; a power of two
  uint64_t max_pin_bytes = 0;      // one pin; 0: no limit
  uint64_t max_total_bytes = 0;    // all of them; 0: no limit
  uint32_t max_pins = 0;           // at once; 0: no limit
  uint32_t pins_per_byte = 1;      // devices that each pin the page: what a byte costs the budget. 0: pins nothing
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_MEMORY_PINNER_H_

#include "core/store/checksum.h"

// XXH3 picks the widest vectors that the processor has when it runs, where the library can.
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

namespace slipway {

uint64_t HashBytes(const void* data, size_t bytes) { return XXH3_64bits(data, bytes); }

RunningChecksum::RunningChecksum() : state_(XXH3_createState()) { Reset(); }
RunningChecksum::~RunningChecksum() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

void RunningChecksum::Reset() {
  if (state_ != nullptr) XXH3_64bits_reset(static_cast<XXH3_state_t*>(state_));
}

void RunningChecksum::Add(const void* data, size_t bytes) {
  if (state_ != nullptr && bytes > 0) XXH3_64bits_update(static_cast<XXH3_state_t*>(state_), data, bytes);
}

uint64_t RunningChecksum::Value() const {
  return state_ == nullptr ? 0 : XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state_));
}

}  // namespace slipway

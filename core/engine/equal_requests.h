// Requests of a long batch that are all alike, looked at as quickly as memory brings them.
#ifndef SLIPWAY_CORE_ENGINE_EQUAL_REQUESTS_H_
#define SLIPWAY_CORE_ENGINE_EQUAL_REQUESTS_H_

#include <cstddef>
#include <cstdint>

#include "slipway/engine.h"

namespace slipway {

// What a request has to be: these, flags and reserved 0, and its memory and offset at most so far beyond where theirs
// begin.
struct EqualRequests {
  uint32_t op = 0;
  uint64_t local = 0, local_room = 0;
  uint64_t length = 0;
  const slipway_segment* segment = nullptr;
  uint64_t offset_room = 0;
};

// How many of `requests`, from the first on, are certain to be so: those before the first that is not, or up to a few
// less.
size_t CountEqual(const slipway_request* requests, size_t count, const EqualRequests& equal);
// The same without what only some processors have.
size_t CountEqualPlainly(const slipway_request* requests, size_t count, const EqualRequests& equal);

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_EQUAL_REQUESTS_H_

// What `slipway serve --segment` takes: NAME=SIZE[:ro|:rw] or NAME=FILE[:ro|:rw].
#ifndef SLIPWAY_TOOLS_SLIPWAY_SEGMENT_SPEC_H_
#define SLIPWAY_TOOLS_SLIPWAY_SEGMENT_SPEC_H_

#include <cstdint>
#include <string>

#include "slipway/status.hpp"

namespace slipway::cli {

struct SegmentSpec {
  std::string name;
  std::string file;    // empty: memory of `bytes`
  uint64_t bytes = 0;  // of a memory segment, > 0
  bool writable = false;
};

// A value that is wholly a size means memory, anything else a file ("./64M" is a file of that name).
// Memory is read and written by peers unless :ro is said, a file only read unless :rw is.
Result<SegmentSpec> ParseSegmentSpec(const std::string& text);

}  // namespace slipway::cli

#endif  // SLIPWAY_TOOLS_SLIPWAY_SEGMENT_SPEC_H_

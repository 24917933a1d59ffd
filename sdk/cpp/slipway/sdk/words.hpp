// Words for the bits of the ABI, as people read them.
#ifndef SLIPWAY_SDK_WORDS_HPP_
#define SLIPWAY_SDK_WORDS_HPP_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "slipway/abi/memory.h"
#include "slipway/abi/transport.h"

namespace slipway::sdk {

struct BitWord {
  uint64_t bit;
  const char* word;
};

inline constexpr BitWord kCapabilityWords[] = {{SLIPWAY_CAP_NEEDS_LOCAL_REG, "needs-local-registration"},
                                               {SLIPWAY_CAP_NEEDS_REMOTE_REG, "needs-remote-registration"},
                                               {SLIPWAY_CAP_CROSS_PROCESS, "cross-process"},
                                               {SLIPWAY_CAP_CROSS_HOST, "cross-host"},
                                               {SLIPWAY_CAP_READ, "read"},
                                               {SLIPWAY_CAP_WRITE, "write"},
                                               {SLIPWAY_CAP_CANCEL, "cancel"},
                                               {SLIPWAY_CAP_EVENT_FD, "event-fd"},
                                               {SLIPWAY_CAP_PEER_FAILURE, "peer-failure"},
                                               {SLIPWAY_CAP_FORK_SAFE, "fork-safe"},
                                               {SLIPWAY_CAP_REG_THREADSAFE, "registration-threadsafe"},
                                               {SLIPWAY_CAP_DMABUF, "dmabuf"},
                                               {SLIPWAY_CAP_ENCRYPTED, "encrypted"},
                                               {SLIPWAY_CAP_SLICE_KIND, "slice-kind"}};

inline constexpr BitWord kMemoryKindWords[] = {{SLIPWAY_MEM_HOST, "host"},
                                               {SLIPWAY_MEM_CUDA, "cuda"},
                                               {SLIPWAY_MEM_ROCM, "rocm"},
                                               {SLIPWAY_MEM_MUSA, "musa"},
                                               {SLIPWAY_MEM_CXL, "cxl"}};

// The words of the bits that are set, in the table's order; "bit-N" for one that has none.
inline std::vector<std::string> WordsOf(uint64_t bits, std::span<const BitWord> words) {
  std::vector<std::string> out;
  for (const BitWord& w : words) {
    if ((bits & w.bit) != 0) out.emplace_back(w.word);
    bits &= ~w.bit;
  }
  for (int i = 0; i < 64; ++i) {
    if ((bits >> i & 1) != 0) out.push_back("bit-" + std::to_string(i));
  }
  return out;
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_WORDS_HPP_

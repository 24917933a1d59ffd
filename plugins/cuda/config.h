// The plugin's configuration; README.md tells a person what each key does.
#ifndef SLIPWAY_PLUGINS_CUDA_CONFIG_H_
#define SLIPWAY_PLUGINS_CUDA_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "slipway/sdk/error.hpp"

namespace slipway::cuda {

// How several pieces are copied as one submission.
enum class Method : size_t { kAuto, kKernel, kBatch, kSingle };

struct Config {
  std::string library = "libcuda.so.1";
  uint64_t ring_bytes = uint64_t{64} << 20;       // 0: no ring
  uint64_t ring_chunk_bytes = uint64_t{8} << 20;  // of one slot of the ring
  uint32_t copy_threads = 0;                      // 0: seven of eight cores, at most 14
  uint64_t inline_bytes = uint64_t{64} << 10;     // up to here the calling thread copies to and from the ring
  uint32_t max_inflight = 65536;                  // pieces a queue
  uint64_t ahead_bytes = uint64_t{20} << 20;      // of a device's memory a queue, read into before it is submitted
  Method method = Method::kAuto;
  uint32_t kernel_blocks_down = 2, kernel_blocks_up = 16;  // thread blocks from and to the device
};

extern const char kConfigSchema[];

// The keys of `json` over the defaults, with the zeros above replaced by what they stand for on this machine.
slipway_status ReadConfig(std::string_view json, Config& out, sdk::Error& err);

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_CONFIG_H_

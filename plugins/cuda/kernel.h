// The kernel that copies many pieces in one launch: it reads and writes device memory and pinned host memory alike.
#ifndef SLIPWAY_PLUGINS_CUDA_KERNEL_H_
#define SLIPWAY_PLUGINS_CUDA_KERNEL_H_

#include <cstdint>

#include "plugins/cuda/driver_api.h"

namespace slipway::cuda {

// One piece as the kernel reads it: its first 20 bytes. A piece lies in one sector of 32 bytes, which is what a warp
// fetches at once; the rest of it is the host's.
struct alignas(32) KernelPiece {
  DeviceAddress dst = 0, src = 0;
  uint32_t bytes = 0;
  uint32_t flags = 0;
  uint64_t mark = 0;  // the accepted piece's token; the address of its Op where this is a part

  static constexpr uint32_t kPart = 1;      // of an accepted piece
  static constexpr uint32_t kNoKernel = 2;  // kernels may not reach it
};
static_assert(sizeof(KernelPiece) == 32);

inline constexpr uint32_t kKernelThreads = 512;
inline constexpr uint32_t kWarpsPerBlock = kKernelThreads / 32;

// One of many pieces that are all of one length, a multiple of 16, and begin at multiples of 16 on both sides: half as
// much to write down, and for a device to fetch.
struct EqualPiece {
  DeviceAddress dst, src;
};
static_assert(sizeof(EqualPiece) == 16);

inline constexpr const char* kKernelName = "slipway_copy_pieces";
// Parameters: the address of the pieces, how many there are, the length of each, and the logarithm of how many
// neighbours in the list a warp takes together.
inline constexpr const char* kEqualKernelName = "slipway_copy_equal";
// PTX for every device since compute capability 5.0; the driver compiles it when it is loaded. Parameters: the address
// of the pieces, how many there are, and the logarithm of how many warps share one piece.
extern const char kKernelPtx[];

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_KERNEL_H_

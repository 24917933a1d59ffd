// The provider's own pinned memory: chunks that copies of pageable memory go through, and blocks in which pieces are
// listed for the kernel.
#ifndef SLIPWAY_PLUGINS_CUDA_RING_H_
#define SLIPWAY_PLUGINS_CUDA_RING_H_

#include <atomic>
#include <memory>
#include <vector>

#include "plugins/cuda/config.h"
#include "plugins/cuda/driver.h"
#include "plugins/cuda/kernel.h"
#include "slipway/sdk/host.hpp"
#include "slipway/sdk/mutex.hpp"

namespace slipway::cuda {

class Lane;
struct Op;

// A part of an accepted piece, that lies `at` bytes into a chunk.
struct Part {
  Op* op = nullptr;
  char* host = nullptr;
  uint32_t bytes = 0, at = 0;
};

// One slot of the ring, and what moves through it.
struct Chunk {
  static constexpr uint32_t kPartsMax = 1024;

  char* memory = nullptr;
  DeviceAddress address = 0;      // of the memory, for devices
  KernelPiece* pieces = nullptr;  // room for kPartsMax, pinned; one a part
  DeviceAddress pieces_address = 0;
  std::unique_ptr<Part[]> parts;  // kPartsMax

  Lane* lane = nullptr;
  uint32_t part_count = 0;
  uint64_t bytes = 0;          // of the slot that are in use, gaps included
  bool streaming = false;      // it is filled past the caches
  bool caller_copies = false;  // rather than a thread
  Result result = kSuccess;
  uint64_t portion_bytes = 0;
  uint32_t next_portion = 0, portions = 0, portions_left = 0;
  Chunk* next = nullptr;
  Chunk* with = nullptr;  // the next of those that go up together
};

// Where pieces are listed from when they are submitted until their completions are polled.
struct Block {
  static constexpr uint32_t kPieces = 2048, kEqualPieces = 4096;

  KernelPiece* pieces = nullptr;
  EqualPiece* equal() const { return reinterpret_cast<EqualPiece*>(pieces); }  // instead
  DeviceAddress address = 0;  // of the pieces for kernels; 0: not pinned
  Block* next = nullptr;
};

// A word that a stream writes when it has come so far, for the host to look at.
struct Flag {
  std::atomic<uint32_t>* word = nullptr;  // NULL: there is none
  DeviceAddress address = 0;
};

// Constant after Open(), but for the blocks and flags, which are handed out to any thread. Who uses which chunk is the
// copiers' business.
class Ring {
 public:
  static constexpr uint32_t kBlocks = 64;

  Ring(const Driver& driver, sdk::Host host, const Config& config) : driver_(driver), host_(host), config_(config) {}
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Takes the memory, near `numa`, and pins it for all devices; `context` is any device's. Where that is refused there
  // are no chunks, and the blocks are not pinned; `why` says so then.
  void Open(Context context, int32_t numa, std::string& why);
  // Something may still be written by a device: the memory is never given back.
  void Abandon() { memory_ = nullptr; }

  std::vector<Chunk>& chunks() { return chunks_; }
  uint64_t pinned_bytes() const { return pinned_bytes_; }

  // NULL: all are in use.
  Block* TakeBlock() SLIPWAY_EXCLUDES(mutex_);
  void GiveBlock(Block* block) SLIPWAY_EXCLUDES(mutex_);
  Flag TakeFlag() SLIPWAY_EXCLUDES(mutex_);
  // No stream will write it any more.
  void GiveFlag(const Flag& flag) SLIPWAY_EXCLUDES(mutex_);

 private:
  bool Pin(Context context, uint64_t bytes, int32_t numa, std::string& why);
  void MakeBlocks(char* pinned);
  void MakeFlags(char* pinned);

  const Driver& driver_;
  const sdk::Host host_;
  const Config& config_;
  Context context_ = nullptr;
  char* memory_ = nullptr;
  DeviceAddress delta_ = 0;  // added to addresses within memory_: what devices call them
  uint64_t pinned_bytes_ = 0;
  std::unique_ptr<KernelPiece[]> unpinned_;
  std::vector<Chunk> chunks_;
  std::vector<Block> blocks_;
  Mutex mutex_;
  Block* free_ SLIPWAY_GUARDED_BY(mutex_) = nullptr;
  std::vector<Flag> flags_ SLIPWAY_GUARDED_BY(mutex_);  // that nobody has
};

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_RING_H_

#include "plugins/cuda/config.h"

#include <algorithm>
#include <thread>

#include "slipway/sdk/config_reader.hpp"

namespace slipway::cuda {

const char kConfigSchema[] = R"({
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "definitions": {
    "bytes": {"anyOf": [{"type": "integer", "minimum": 0},
                        {"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$"}]}
  },
  "properties": {
    "library": {"type": "string", "default": "libcuda.so.1", "maxLength": 4096,
      "description": "The driver's library, a name or a path"},
    "ring_bytes": {"$ref": "#/definitions/bytes", "default": 67108864,
      "description": "Pinned memory that copies to and from pageable memory go through, 0 to 16 GiB; 0: the driver copies"},
    "ring_chunk_bytes": {"$ref": "#/definitions/bytes", "default": 8388608,
      "description": "What the ring is cut into, 64 KiB to 64 MiB; an eighth of a ring of less than 64 MiB, if not given"},
    "copy_threads": {"type": "integer", "minimum": 0, "maximum": 64, "default": 0,
      "description": "Threads that copy between the ring and pageable memory; 0: seven of eight cores, at most 14. Those beyond 6 copy to the device only"},
    "inline_bytes": {"$ref": "#/definitions/bytes", "default": 65536,
      "description": "Submissions up to this long are copied to and from the ring by the calling thread, 0 to 1 MiB"},
    "max_inflight": {"type": "integer", "minimum": 1, "maximum": 1048576, "default": 65536,
      "description": "Pieces accepted and not yet polled, per queue"},
    "ahead_bytes": {"$ref": "#/definitions/bytes", "default": 20971520,
      "description": "Of a device's memory, per queue that has long batches of short pieces: what is read before it is submitted, 0 to 1 GiB; 0: nothing is"},
    "method": {"type": "string", "enum": ["auto", "kernel", "batch", "single"], "default": "auto",
      "description": "How many small pieces are copied: a kernel, the driver's batched copy, one copy each"},
    "kernel_blocks_down": {"type": "integer", "minimum": 1, "maximum": 1024, "default": 2,
      "description": "Thread blocks of the kernel that copies from the device"},
    "kernel_blocks_up": {"type": "integer", "minimum": 1, "maximum": 1024, "default": 16,
      "description": "Thread blocks of the kernel that copies to the device"}
  }
})";

slipway_status ReadConfig(std::string_view text, Config& out, sdk::Error& err) {
  constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30;
  nlohmann::json json;
  if (const slipway_status s = sdk::ParseConfig(text, json, err); s != SLIPWAY_OK) return s;
  Config c;
  size_t method = 0;
  sdk::ConfigReader reader(json, "", err);
  reader.String("library", c.library);
  reader.Bytes("ring_bytes", c.ring_bytes, 0, 16 * kGiB);
  reader.Bytes("ring_chunk_bytes", c.ring_chunk_bytes, 64 * kKiB, 64 * kMiB);
  reader.UInt("copy_threads", c.copy_threads, 0, 64);
  reader.Bytes("inline_bytes", c.inline_bytes, 0, kMiB);
  reader.UInt("max_inflight", c.max_inflight, 1, 1 << 20);
  reader.Bytes("ahead_bytes", c.ahead_bytes, 0, kGiB);
  reader.Choice("method", method, {"auto", "kernel", "batch", "single"});
  reader.UInt("kernel_blocks_down", c.kernel_blocks_down, 1, 1024);
  reader.UInt("kernel_blocks_up", c.kernel_blocks_up, 1, 1024);
  if (c.library.empty()) reader.Refuse("library", "empty: name the driver's library, such as \"libcuda.so.1\"");
  if (!json.contains("ring_chunk_bytes")) {
    c.ring_chunk_bytes = std::clamp(c.ring_bytes / 8 / (64 * kKiB) * (64 * kKiB), 64 * kKiB, c.ring_chunk_bytes);
  }
  if (c.ring_bytes != 0 && c.ring_bytes < 2 * c.ring_chunk_bytes) {
    reader.Refuse("ring_bytes", "less than two chunks: raise it, lower \"ring_chunk_bytes\", or say 0 for no ring");
  }
  if (c.ring_bytes != 0 && c.ring_chunk_bytes % (64 * kKiB) != 0) {
    reader.Refuse("ring_chunk_bytes", "not a multiple of 64 KiB");
  }
  if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
  c.method = static_cast<Method>(method);
  if (c.copy_threads == 0) c.copy_threads = std::clamp(std::thread::hardware_concurrency() * 7 / 8, 1u, 14u);
  c.inline_bytes = std::min(c.inline_bytes, c.ring_chunk_bytes);
  out = c;
  return SLIPWAY_OK;
}

}  // namespace slipway::cuda

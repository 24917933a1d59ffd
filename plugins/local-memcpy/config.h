// The plugin's configuration; README.md tells a person what each key does.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_CONFIG_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_CONFIG_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "slipway/sdk/error.hpp"

namespace slipway::local_memcpy {

struct Config {
  uint32_t threads = 0;              // 0: one a core, at most 4
  uint64_t inline_bytes = 64 << 10;  // up to here the submitting thread copies
  uint64_t split_bytes = 1 << 20;    // what one thread takes of a slice at a time
  uint64_t streaming_bytes = 0;      // from here on past the caches; 0: half of the last-level cache, at most 8 MiB
  uint64_t max_slice_bytes = uint64_t{16} << 30;
  uint32_t max_inflight = 256;  // slices per channel
  bool cross_process = true;    // serves other processes of this host, and reaches them
  std::vector<uint32_t> users;  // that are let in and trusted, besides the process's own
  uint32_t peer_timeout_ms = 5000;
  bool hugetlb = false;  // memory for segments from the huge pages that the system keeps in reserve
};

extern const char kConfigSchema[];

// The keys of `json` over the defaults, with the zeros above replaced by what they stand for on this machine.
slipway_status ReadConfig(std::string_view json, Config& out, sdk::Error& err);

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_CONFIG_H_

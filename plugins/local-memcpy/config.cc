#include "plugins/local-memcpy/config.h"

#include <algorithm>
#include <thread>

#include "plugins/local-memcpy/copy.h"
#include "slipway/sdk/config_reader.hpp"

namespace slipway::local_memcpy {

const char kConfigSchema[] = R"({
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "definitions": {
    "bytes": {"anyOf": [{"type": "integer", "minimum": 0},
                        {"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$"}]}
  },
  "properties": {
    "threads": {"type": "integer", "minimum": 0, "maximum": 64, "default": 0,
      "description": "Threads that copy large slices; 0: one a core, at most 4"},
    "inline_bytes": {"$ref": "#/definitions/bytes", "default": 65536,
      "description": "Slices up to this long are copied by the submitting thread, at most 1 MiB; one that comes alone, up to 16 times that"},
    "split_bytes": {"$ref": "#/definitions/bytes", "default": 1048576,
      "description": "Longer slices are shared out among the threads in pieces of this length, 64 KiB to 1 GiB"},
    "streaming_bytes": {"$ref": "#/definitions/bytes", "default": 0,
      "description": "Slices from this length on are copied past the caches; 0: half of the last-level cache, at most 8 MiB"},
    "max_slice_bytes": {"$ref": "#/definitions/bytes", "default": 17179869184,
      "description": "The longest slice accepted, 4 KiB to 1 TiB"},
    "max_inflight": {"type": "integer", "minimum": 1, "maximum": 65536, "default": 256,
      "description": "Slices accepted and not yet polled, per channel"},
    "cross_process": {"type": "boolean", "default": true,
      "description": "Other processes of this host are served and reached, too"},
    "users": {"type": "array", "maxItems": 64, "default": [],
      "items": {"type": "integer", "minimum": 0, "maximum": 4294967294},
      "description": "Numbers of users whose processes are let in and trusted, besides this process's own"},
    "peer_timeout_ms": {"type": "integer", "minimum": 100, "maximum": 600000, "default": 5000,
      "description": "How long a peer's process may take to answer while a connection or a registration is set up"},
    "hugetlb": {"type": "boolean", "default": false,
      "description": "Takes memory for segments from the huge pages that the system keeps in reserve (vm.nr_hugepages), where there are enough"}
  }
})";

namespace {

void ReadUsers(sdk::ConfigReader& reader, std::vector<uint32_t>& out) {
  constexpr size_t kMostUsers = 64;
  const nlohmann::json* const list = reader.Find("users");
  if (list == nullptr) return;
  const auto is_user = [](const nlohmann::json& n) { return n.is_number_unsigned() && n.get<uint64_t>() < UINT32_MAX; };
  if (!list->is_array() || list->size() > kMostUsers || !std::all_of(list->begin(), list->end(), is_user)) {
    reader.Refuse("users", "expected an array of up to 64 numbers of users, each an integer from 0 to 4294967294");
    return;
  }
  for (const nlohmann::json& n : *list) out.push_back(n.get<uint32_t>());
}

}  // namespace

slipway_status ReadConfig(std::string_view text, Config& out, sdk::Error& err) {
  constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30;
  nlohmann::json json;
  if (const slipway_status s = sdk::ParseConfig(text, json, err); s != SLIPWAY_OK) return s;
  Config c;
  sdk::ConfigReader reader(json, "", err);
  reader.UInt("threads", c.threads, 0, 64);
  reader.Bytes("inline_bytes", c.inline_bytes, 0, kMiB);
  reader.Bytes("split_bytes", c.split_bytes, 64 * kKiB, kGiB);
  reader.Bytes("streaming_bytes", c.streaming_bytes, 0, 1024 * kGiB);
  reader.Bytes("max_slice_bytes", c.max_slice_bytes, 4 * kKiB, 1024 * kGiB);
  reader.UInt("max_inflight", c.max_inflight, 1, 65536);
  reader.Bool("cross_process", c.cross_process);
  ReadUsers(reader, c.users);
  reader.UInt("peer_timeout_ms", c.peer_timeout_ms, 100, 600000);
  reader.Bool("hugetlb", c.hugetlb);
  if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
  if (c.threads == 0) c.threads = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  // What a virtual machine says of its cache may be the whole host's, so there is a bound.
  if (c.streaming_bytes == 0) c.streaming_bytes = std::min<uint64_t>(LastLevelCacheBytes() / 2, 8 * kMiB);
  out = c;
  return SLIPWAY_OK;
}

}  // namespace slipway::local_memcpy

#include "plugins/cxl/config.h"

#include "slipway/sdk/config_reader.hpp"

namespace slipway::cxl {

const char kConfigSchema[] = R"({
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "required": ["windows"],
  "definitions": {
    "bytes": {"anyOf": [{"type": "integer", "minimum": 0},
                        {"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$"}]}
  },
  "properties": {
    "windows": {"type": "array", "minItems": 1, "maxItems": 16,
      "description": "The memory that is shared, in order; the first also holds what the instances tell each other",
      "items": {"type": "object", "additionalProperties": false, "required": ["device"], "properties": {
        "device": {"type": "string", "minLength": 1,
          "description": "A device-DAX node (dax0.0 or its path), the name of a CXL memory device or region (mem0, region0), or a file: on a DAX mount, or an ordinary one for development"},
        "offset": {"$ref": "#/definitions/bytes", "default": 0,
          "description": "Where the part begins that this instance may give to peers"},
        "bytes": {"$ref": "#/definitions/bytes", "default": 0,
          "description": "How long that part is; 0: up to the end of the device"},
        "identity": {"type": "string", "default": "",
          "description": "What the device is called by all who share it, where it has no serial number or several; empty: as it tells itself"},
        "numa_node": {"type": "integer", "minimum": 0, "maximum": 1023,
          "description": "Bind the pages of a file in memory to this node: CXL memory that the system uses as its own"}
      }}},
    "sharing": {"enum": ["host", "coherent", "non-coherent"], "default": "host",
      "description": "Who else maps the windows: processes of this host, several hosts with coherent caches, or several hosts without"},
    "host_index": {"type": "integer", "minimum": 0, "maximum": 15, "default": 0,
      "description": "Which of the hosts that share this one is; every host has another"},
    "persistent": {"type": "boolean", "default": false,
      "description": "A write is done when it would survive a power cut"},
    "streaming_bytes": {"$ref": "#/definitions/bytes", "default": 0,
      "description": "Slices from this length on go past the caches; 0: writes from 4 KiB where caches are written back anyway, reads from 1 MiB where they are dropped first, else half of the last-level cache, at most 8 MiB"},
    "piece_bytes": {"$ref": "#/definitions/bytes", "default": 1048576,
      "description": "What is copied between two looks at whether it still may be, 4 KiB to 16 MiB"},
    "max_slice_bytes": {"$ref": "#/definitions/bytes", "default": 1073741824,
      "description": "The longest slice accepted, 4 KiB to 1 TiB"},
    "max_inflight": {"type": "integer", "minimum": 1, "maximum": 65536, "default": 256,
      "description": "Slices accepted and not yet polled, per channel"},
    "peer_timeout_ms": {"type": "integer", "minimum": 100, "maximum": 600000, "default": 1000,
      "description": "How long a peer on another host may be silent before it counts as dead"}
  }
})";

namespace {

constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20, kTiB = uint64_t{1} << 40;
constexpr uint64_t kLargest = 1024 * kTiB;

slipway_status ReadWindow(const nlohmann::json& json, const std::string& pointer, WindowConfig& out, sdk::Error& err) {
  sdk::ConfigReader reader(json, pointer, err);
  reader.String("device", out.device);
  reader.Bytes("offset", out.offset, 0, kLargest);
  reader.Bytes("bytes", out.bytes, 0, kLargest);
  reader.String("identity", out.identity, 256);
  reader.UInt("numa_node", out.numa_node, 0, 1023);
  if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
  if (!out.device.empty() && out.device.find('\0') == std::string::npos) return SLIPWAY_OK;
  return err.Fail(SLIPWAY_E_CONFIG, "name a device such as \"dax0.0\", or a file", pointer + "/device");
}

slipway_status ReadWindows(const nlohmann::json* json, std::vector<WindowConfig>& out, sdk::Error& err) {
  constexpr const char* kWhere = "/windows";
  if (json == nullptr) {
    return err.Fail(SLIPWAY_E_CONFIG, "missing: name the memory to share, such as [{\"device\": \"dax0.0\"}]", kWhere);
  }
  if (!json->is_array() || json->empty() || json->size() > kWindowsMax) {
    return err.Fail(SLIPWAY_E_CONFIG,
                    std::string("expected an array of 1 to 16 windows, found ") +
                        (json->is_array() ? std::to_string(json->size()) : json->type_name()),
                    kWhere);
  }
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string pointer = kWhere + ("/" + std::to_string(i));
    if (const slipway_status s = ReadWindow((*json)[i], pointer, out.emplace_back(), err); s != SLIPWAY_OK) return s;
  }
  return SLIPWAY_OK;
}

}  // namespace

slipway_status ReadConfig(std::string_view text, Config& out, sdk::Error& err) {
  nlohmann::json json;
  if (const slipway_status s = sdk::ParseConfig(text, json, err); s != SLIPWAY_OK) return s;
  Config c;
  size_t sharing = 0;
  sdk::ConfigReader reader(json, "", err);
  const nlohmann::json* const windows = reader.Find("windows");
  reader.Choice("sharing", sharing, {"host", "coherent", "non-coherent"});
  reader.UInt("host_index", c.host_index, 0, kHostsMax - 1);
  reader.Bool("persistent", c.persistent);
  reader.Bytes("streaming_bytes", c.streaming_bytes, 0, kTiB);
  reader.Bytes("piece_bytes", c.piece_bytes, 4 * kKiB, 16 * kMiB);
  reader.Bytes("max_slice_bytes", c.max_slice_bytes, 4 * kKiB, kTiB);
  reader.UInt("max_inflight", c.max_inflight, 1, 65536);
  reader.UInt("peer_timeout_ms", c.peer_timeout_ms, 100, 600000);
  if (const slipway_status s = reader.Finish(); s != SLIPWAY_OK) return s;
  if (const slipway_status s = ReadWindows(windows, c.windows, err); s != SLIPWAY_OK) return s;
  c.sharing = static_cast<Sharing>(sharing);
#if !defined(__x86_64__)
  if (!c.coherent() || c.persistent) {
    return err.Fail(SLIPWAY_E_CONFIG, "writing caches back is known for x86-64 only",
                    c.persistent ? "/persistent" : "/sharing");
  }
#endif
  out = std::move(c);
  return SLIPWAY_OK;
}

}  // namespace slipway::cxl

// What the plugin exports.
#include "slipway/sdk/config_reader.hpp"
#include "transport.h"

namespace ucx {
namespace {

slipway_status ReadConfig(std::string_view text, Config& out, sdk::Error& err) {
  nlohmann::json json;
  if (const slipway_status s = sdk::ParseConfig(text, json, err); s != SLIPWAY_OK) return s;
  sdk::ConfigReader reader(json, "", err);
  reader.String("tls", out.tls, 256);
  reader.UInt("max_inflight", out.max_inflight, 1, 65536);
  return reader.Finish();
}

slipway_attrs AttrsOf(const Config& config, slipway_attrs attrs) {
  attrs.max_slice_bytes = uint64_t{64} << 20;
  attrs.preferred_slice_bytes = uint64_t{1} << 20;
  attrs.max_inflight_per_channel = config.max_inflight;
  attrs.peer_timeout_ms = 5000;
  attrs.address_bytes_max = kAddressBytesMax;
  attrs.mr_blob_bytes_max = kKeyBytesMax;
  attrs.latency_ns = 20'000;
  return attrs;
}

struct Ucx : sdk::Transport {
  static constexpr sdk::TransportInfo kInfo = {
      .name = "ucx",
      .version = "1.0.0",
      .vendor = "Example",
      .description = "UCP of UCX: one-sided put and get over what UCX finds",
      .protocol = "ucx-ucp",
      .protocol_min = 1,
      .protocol_max = 1,
      .caps = SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_CROSS_PROCESS |
              SLIPWAY_CAP_CROSS_HOST | SLIPWAY_CAP_PEER_FAILURE | SLIPWAY_CAP_REG_THREADSAFE,
      .mem_kinds = SLIPWAY_MEM_HOST,
      .config_schema = R"({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "tls": {"type": "string", "maxLength": 256, "default": "tcp,self",
            "description": "UCX's transports, as in UCX_TLS"},
          "max_inflight": {"type": "integer", "minimum": 1, "maximum": 65536, "default": 256,
            "description": "Slices accepted and not yet polled, per channel"}
        }
      })"};

  static slipway_status Probe(sdk::Host, std::string_view json, slipway_attrs& out, sdk::Error& err) {
    Config config;
    const slipway_status s = ReadConfig(json, config, err);
    if (s == SLIPWAY_OK) out = AttrsOf(config, out);
    return s;
  }
  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err) {
    Config config;
    if (const slipway_status s = ReadConfig(json, config, err); s != SLIPWAY_OK) return s;
    auto instance = std::make_unique<UcxInstance>(host, AttrsOf(config, sdk::DefaultAttrs(kInfo)));
    if (const slipway_status s = instance->Open(config, err); s != SLIPWAY_OK) return s;
    out = std::move(instance);
    return SLIPWAY_OK;
  }
};

}  // namespace
}  // namespace ucx

SLIPWAY_PLUGIN("ucx", "1.0.0", ucx::Ucx)

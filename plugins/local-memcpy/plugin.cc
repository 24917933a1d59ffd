// What the plugin exports.
#include "slipway/sdk/plugin.hpp"

#include <system_error>

#include "plugins/local-memcpy/config.h"
#include "plugins/local-memcpy/transport.h"
#include "slipway/abi/direct.h"
#include "slipway/abi/segment_memory.h"
#include "slipway/sdk/host_copier.hpp"

namespace slipway::local_memcpy {
namespace {

// With the memory of devices where the host copies that.
slipway_attrs AttrsOf(const Config& config, const sdk::Host& host, slipway_attrs attrs) {
  const uint64_t copied = sdk::HostCopier::Kinds(host);
  attrs.mem_kinds = SLIPWAY_MEM_HOST | copied;
  if (copied == 0) attrs.caps &= ~SLIPWAY_CAP_SLICE_KIND;
  attrs.max_slice_bytes = config.max_slice_bytes;
  attrs.preferred_slice_bytes = std::min<uint64_t>(config.max_slice_bytes, uint64_t{64} << 20);
  attrs.max_inflight_per_channel = config.max_inflight;
  attrs.max_channels = kChannelLanes;
  attrs.peer_timeout_ms = config.peer_timeout_ms;
  if (!config.cross_process) attrs.caps &= ~(SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_PEER_FAILURE);
  attrs.max_submit_batch = 256;
  attrs.address_bytes_max = kAddressBytes;
  attrs.mr_blob_bytes_max = kMrBytes;
  attrs.bandwidth_bytes_per_s = 10'000'000'000;
  attrs.latency_ns = 500;
  return attrs;
}

// ---- memory for segments ---------------------------------------------------------------------------------------

LocalInstance& Of(slipway_instance* handle) {
  return static_cast<LocalInstance&>(*reinterpret_cast<sdk::Instance*>(handle));
}

slipway_status Allocate(slipway_instance* handle, uint64_t bytes, int32_t numa, void** out, slipway_error* error) {
  if (handle == nullptr || out == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "allocate: a NULL argument");
  return sdk::Guarded(error, [&] {
    sdk::Error err(error);
    return Of(handle).shared.Allocate(bytes, numa, Of(handle).config.hugetlb, out, err);
  });
}
slipway_status Release(slipway_instance* handle, void* memory) {
  if (handle == nullptr) return SLIPWAY_E_INVALID;
  return sdk::Guarded(nullptr, [&] { return Of(handle).shared.Release(memory); });
}

constexpr slipway_segment_memory kSegmentMemory = {sizeof(slipway_segment_memory), 0, Allocate, Release};

// ---- memory that the core touches itself -----------------------------------------------------------------------

LocalChannel& Of(slipway_channel* handle) {
  return static_cast<LocalChannel&>(*reinterpret_cast<sdk::Channel*>(handle));
}
LocalRemote& Of(slipway_remote* handle) { return static_cast<LocalRemote&>(*sdk::AsRemote(handle)); }

slipway_status Enter(slipway_channel* channel, slipway_remote* remote, uint32_t flags, slipway_direct_view* out) {
  if (channel == nullptr || remote == nullptr || out == nullptr || out->struct_size < sizeof(slipway_direct_view) ||
      (flags & ~SLIPWAY_DIRECT_HOLD) != 0) {
    return SLIPWAY_E_INVALID;
  }
  return sdk::Guarded(nullptr, [&] { return Of(channel).Enter(Of(remote), flags != 0, *out); });
}
void Leave(slipway_channel* channel, slipway_remote* remote, uint32_t flags, const slipway_direct_use* use) {
  if (channel == nullptr || remote == nullptr || use == nullptr || use->struct_size < sizeof(slipway_direct_use))
    return;
  Of(channel).Leave(Of(remote), flags != 0, *use);
}

constexpr slipway_direct kDirect = {sizeof(slipway_direct), 0, Enter, Leave};

// ---- the transport ---------------------------------------------------------------------------------------------

struct LocalMemcpy : sdk::Transport {
  static constexpr sdk::TransportInfo kInfo = {
      .name = "local-memcpy",
      .version = "1.0.0",
      .vendor = "Slipway",
      .description = "Copies between memories of the processes of one host",
      .protocol = "local-memcpy",
      .protocol_min = 2,
      .protocol_max = 2,
      .caps = SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_REG_THREADSAFE |
              SLIPWAY_CAP_CANCEL | SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_PEER_FAILURE | SLIPWAY_CAP_SLICE_KIND,
      .mem_kinds = ~uint64_t{0},  // whatever the host can copy
      .config_schema = kConfigSchema};

  static slipway_status Probe(sdk::Host host, std::string_view json, slipway_attrs& out, sdk::Error& err) {
    Config config;
    const slipway_status s = ReadConfig(json, config, err);
    if (s != SLIPWAY_OK) return s;
    std::string why;
    config.cross_process = config.cross_process && Exchange::Possible(why);
    out = AttrsOf(config, host, out);
    return SLIPWAY_OK;
  }

  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err) {
    Config config;
    if (const slipway_status s = ReadConfig(json, config, err); s != SLIPWAY_OK) return s;
    std::string why;
    if (config.cross_process && !Exchange::Possible(why)) {
      host.Log(SLIPWAY_LOG_WARNING, why + ": other processes are not served; other transports do it");
      config.cross_process = false;
    }
    auto instance = std::make_unique<LocalInstance>(host, AttrsOf(config, host, sdk::DefaultAttrs(kInfo)), config);
    slipway_status s = SLIPWAY_OK;
    try {
      s = instance->Start(err);
    } catch (const std::system_error& e) {
      s = err.FailRetryable(SLIPWAY_E_NOMEM, "the system refuses another thread: lower \"threads\"", "/threads",
                            e.code().value());
    }
    if (s != SLIPWAY_OK) {
      instance->Stop();
      return s;
    }
    out = std::move(instance);
    return SLIPWAY_OK;
  }

  static const void* GetExtension(std::string_view id) {
    if (id == SLIPWAY_SEGMENT_MEMORY_ID) return &kSegmentMemory;
    return id == SLIPWAY_DIRECT_ID ? &kDirect : nullptr;
  }
};

}  // namespace
}  // namespace slipway::local_memcpy

SLIPWAY_PLUGIN("local-memcpy", "1.0.0", slipway::local_memcpy::LocalMemcpy)

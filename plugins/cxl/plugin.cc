// What the plugin exports.
#include "slipway/sdk/plugin.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <system_error>

#include "plugins/cxl/config.h"
#include "plugins/cxl/extension.h"
#include "plugins/cxl/transport.h"
#include "slipway/abi/segment_memory.h"

namespace slipway::cxl {
namespace {

constexpr uint64_t kCaps = SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_REMOTE_REG |
                           SLIPWAY_CAP_CROSS_PROCESS | SLIPWAY_CAP_REG_THREADSAFE | SLIPWAY_CAP_CANCEL |
                           SLIPWAY_CAP_PEER_FAILURE;

// `copied`: the kinds of memory that the host copies to and from the windows.
slipway_attrs AttrsOf(const Config& config, const Device& first, uint64_t copied, slipway_attrs attrs) {
  attrs.caps = kCaps | (config.multi_host() ? SLIPWAY_CAP_CROSS_HOST : 0) | (copied != 0 ? SLIPWAY_CAP_SLICE_KIND : 0);
  attrs.mem_kinds = SLIPWAY_MEM_HOST | SLIPWAY_MEM_CXL | copied;
  attrs.numa_node = first.numa_node;
  attrs.max_slice_bytes = config.max_slice_bytes;
  attrs.preferred_slice_bytes = std::min<uint64_t>(config.max_slice_bytes, uint64_t{64} << 20);
  attrs.max_inflight_per_channel = config.max_inflight;
  attrs.max_submit_batch = 64;
  attrs.max_mrs = kSlots;
  attrs.max_channels = copied != 0 ? kChannels / 2 : kChannels;  // on the boards their devices' copies are channels too
  attrs.peer_timeout_ms = config.peer_timeout_ms;
  attrs.address_bytes_max = kAddressBytes;
  attrs.mr_blob_bytes_max = kMrBytes;
  attrs.bandwidth_bytes_per_s = 8'000'000'000;
  attrs.latency_ns = 1000;
  std::snprintf(attrs.device, sizeof(attrs.device), "%s", first.Describe().c_str());
  return attrs;
}

uint64_t CacheBytes() {
  constexpr long kGuess = 8 << 20;
  const long best = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return static_cast<uint64_t>(best > 0 ? best : kGuess);
}

CopyPolicy PolicyOf(const Config& config) {
  CopyPolicy policy;
  policy.write_back = config.persistent || !config.coherent();
  policy.invalidate = !config.coherent();
  policy.write_streaming_bytes = policy.read_streaming_bytes = config.streaming_bytes;
  if (config.streaming_bytes == 0) {
    // What a virtual machine says of its cache may be the whole host's, so there is a bound.
    const uint64_t large = std::min<uint64_t>(CacheBytes() / 2, 8 << 20);
    // Streaming costs nothing more where every line has to leave the caches anyway, or has to be fetched from memory.
    policy.write_streaming_bytes = policy.write_back ? 4096 : large;
    policy.read_streaming_bytes = policy.invalidate ? std::min<uint64_t>(large, 1 << 20) : large;
  }
  return policy;
}

// The kinds of memory whose devices reach every window; what reaches only some of them is staged.
uint64_t PinAll(const sdk::Host& host, Windows& windows) {
  uint64_t kinds = sdk::HostCopier::Kinds(host);
  for (size_t i = 0; i < windows.size() && kinds != 0; ++i) kinds &= windows[i]->Pin(host);
  if (kinds == 0) {
    for (const auto& window : windows) window->Unpin();
  }
  return kinds;
}

// ---- the extension ---------------------------------------------------------------------------------------------

CxlInstance& Of(slipway_instance* handle) {
  return static_cast<CxlInstance&>(*reinterpret_cast<sdk::Instance*>(handle));
}

slipway_status Allocate(slipway_instance* handle, uint64_t bytes, void** out, slipway_error* error) {
  if (handle == nullptr || out == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "allocate: a NULL argument");
  return sdk::Guarded(error, [&] {
    sdk::Error err(error);
    return Of(handle).Allocate(bytes, out, err);
  });
}
slipway_status Release(slipway_instance* handle, void* memory) {
  if (handle == nullptr) return SLIPWAY_E_INVALID;
  return sdk::Guarded(nullptr, [&] { return Of(handle).Release(memory); });
}
slipway_status Synchronize(slipway_instance* handle, const void* address, uint64_t bytes) {
  if (handle == nullptr) return SLIPWAY_E_INVALID;
  return sdk::Guarded(nullptr, [&] { return Of(handle).Synchronize(address, bytes); });
}

// As segment memory it comes zeroed; the window decides on which node it lies.
slipway_status AllocateZeroed(slipway_instance* handle, uint64_t bytes, int32_t, void** out, slipway_error* error) {
  if (handle == nullptr || out == nullptr) return sdk::Fail(error, SLIPWAY_E_INVALID, "allocate: a NULL argument");
  return sdk::Guarded(error, [&] {
    sdk::Error err(error);
    return Of(handle).AllocateZeroed(bytes, out, err);
  });
}

constexpr slipway_segment_memory kSegmentMemory = {sizeof(slipway_segment_memory), 0, AllocateZeroed, Release};
constexpr slipway_cxl_window kWindowExtension = {sizeof(slipway_cxl_window), 0, Allocate, Release, Synchronize};

// ---- the transport ---------------------------------------------------------------------------------------------

struct Cxl : sdk::Transport {
  static constexpr sdk::TransportInfo kInfo = {.name = "cxl",
                                               .version = "1.0.0",
                                               .vendor = "Slipway",
                                               .description =
                                                   "Copies through memory that processes or hosts share: CXL, "
                                                   "by device-DAX; ordinary files for development",
                                               .protocol = "cxl",
                                               .protocol_min = 1,
                                               .protocol_max = 1,
                                               .caps = kCaps | SLIPWAY_CAP_CROSS_HOST | SLIPWAY_CAP_SLICE_KIND,
                                               .mem_kinds = ~uint64_t{0},  // whatever the host can copy
                                               .config_schema = kConfigSchema};

  static slipway_status Probe(sdk::Host host, std::string_view json, slipway_attrs& out, sdk::Error& err) {
    Config config;
    if (const slipway_status s = ReadConfig(json, config, err); s != SLIPWAY_OK) return s;
    Device first;
    for (size_t i = config.windows.size(); i-- > 0;) {
      const std::string pointer = "/windows/" + std::to_string(i);
      const slipway_status s = FindDevice(config.windows[i], config.sharing, "/sys", pointer, first, err);
      if (s != SLIPWAY_OK) return s;
    }
    out = AttrsOf(config, first, sdk::HostCopier::Kinds(host), out);
    return SLIPWAY_OK;
  }

  static slipway_status Create(sdk::Host host, std::string_view json, std::unique_ptr<sdk::Instance>& out,
                               sdk::Error& err) {
    Config config;
    if (const slipway_status s = ReadConfig(json, config, err); s != SLIPWAY_OK) return s;
    Windows windows;
    if (const slipway_status s = OpenWindows(config, host, windows, err); s != SLIPWAY_OK) return s;
    const uint64_t copied = PinAll(host, windows);
    const slipway_attrs attrs = AttrsOf(config, windows[0]->device(), copied, sdk::DefaultAttrs(kInfo));
    auto instance = std::make_unique<CxlInstance>(host, attrs, config, PolicyOf(config), std::move(windows));
    try {
      const slipway_status s = instance->Start(err);
      if (s != SLIPWAY_OK) return s;
    } catch (const std::system_error& e) {
      return err.FailRetryable(SLIPWAY_E_NOMEM, "the system refuses another thread", {}, e.code().value());
    }
    out = std::move(instance);
    return SLIPWAY_OK;
  }

  static const void* GetExtension(std::string_view id) {
    if (id == SLIPWAY_SEGMENT_MEMORY_ID) return &kSegmentMemory;
    return id == SLIPWAY_CXL_WINDOW_ID ? &kWindowExtension : nullptr;
  }
};

}  // namespace
}  // namespace slipway::cxl

SLIPWAY_PLUGIN("cxl", "1.0.0", slipway::cxl::Cxl)

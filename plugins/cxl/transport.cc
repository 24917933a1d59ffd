#include "plugins/cxl/transport.h"

#include <signal.h>

#include <algorithm>
#include <chrono>

#include "plugins/cxl/device_copies.h"
#include "plugins/cxl/progress.h"

namespace slipway::cxl {
namespace {

// How long deregister_memory and destroy wait for copies in progress.
constexpr uint64_t kRevokeNs = 1'000'000'000;
constexpr uint64_t kAllocationAlign = uint64_t{2} << 20;
constexpr size_t kAllocationsMax = 4096;  // each holds a descriptor

}  // namespace

void Counters::Add(const CopyCounts& counts) {
  streamed_bytes.fetch_add(counts.streamed_bytes, std::memory_order_relaxed);
  written_back_lines.fetch_add(counts.written_back_lines, std::memory_order_relaxed);
  invalidated_lines.fetch_add(counts.invalidated_lines, std::memory_order_relaxed);
}

// ---- instance: life --------------------------------------------------------------------------------------------

CxlInstance::CxlInstance(sdk::Host host, const slipway_attrs& attrs, const Config& config, const CopyPolicy& policy,
                         Windows all)
    : Instance(host, attrs), config(config), policy(policy), windows(std::move(all)) {
  MutexLock lock(mutex_);
  for (uint32_t n = kSlots; n > 0; --n) free_slots_.push_back(n - 1);
  for (uint32_t n = kChannels; n > 0; --n) free_channels_.push_back(n - 1);
}

slipway_status CxlInstance::Start(sdk::Error& err) {
  boards = std::make_unique<Boards>(*windows[0], config);
  if (const slipway_status s = boards->Take(RandomNumber(), host(), err); s != SLIPWAY_OK) return s;
  if (!config.multi_host()) return SLIPWAY_OK;
  if (const slipway_status s = boards->Beat(host()); s != SLIPWAY_OK) return s;
  beating_ = std::thread(&CxlInstance::BeatUntilStopped, this);
  return SLIPWAY_OK;
}

void CxlInstance::BeatUntilStopped() {
  const auto pause = std::chrono::milliseconds(std::max(config.peer_timeout_ms / 8, 10u));
  MutexLock lock(mutex_);
  while (!stop_beating_) {
    stopping_.WaitFor(mutex_, pause);
    lock.Unlock();
    (void)boards->Beat(host());  // when the memory is gone, every slice says so
    lock.Lock();
  }
}

bool CxlInstance::EnterPoll() {
  polling_.fetch_add(1);
  return !stopped_.load();
}

template <typename Done>
bool CxlInstance::WaitFor(uint64_t deadline_ns, const Done& done) const {
  while (!done()) {
    if (host().NowNs() >= deadline_ns) return false;
    std::this_thread::yield();
  }
  return true;
}

slipway_status CxlInstance::Quiesce(uint64_t timeout_ns, sdk::Error& err) {
  const uint64_t now_ns = host().NowNs();
  const uint64_t deadline_ns = now_ns > UINT64_MAX - timeout_ns ? UINT64_MAX : now_ns + timeout_ns;
  stopped_.store(true);
  const bool closed = boards->Close() == SLIPWAY_OK;  // else the memory is gone, and nobody is in it
  if (!WaitFor(deadline_ns, [&] { return polling_.load() == 0; }) || !FinishDevices(deadline_ns) ||
      (closed && boards->Revoke(Boards::kAllSlots, host(), deadline_ns) == SLIPWAY_E_BUSY)) {
    return err.Fail(SLIPWAY_E_TIMEOUT, "a slice is still being copied: call again");
  }
  return SLIPWAY_OK;
}

bool CxlInstance::FinishDevices(uint64_t deadline_ns) {
  std::vector<DeviceCopies*> all;
  {
    MutexLock lock(mutex_);
    all = device_copies_;
  }
  for (DeviceCopies* const copies : all) {
    (void)copies->Cancel(nullptr);
    const auto finished = [&] {
      copies->Poll();
      return copies->idle();
    };
    if (!WaitFor(deadline_ns, finished)) return false;
  }
  return true;
}

void CxlInstance::Stop() noexcept {
  if (boards == nullptr) return;
  {
    MutexLock lock(mutex_);
    stop_beating_ = true;
    stopping_.NotifyAll();
  }
  if (beating_.joinable()) beating_.join();
  sdk::Error none(nullptr);
  if (Quiesce(kRevokeNs, none) != SLIPWAY_OK) {
    host().Log(SLIPWAY_LOG_WARNING,
               "a peer stopped in the middle of a copy: it may still write to memory it was given");
  }
  // What a device still copies must find the memory there.
  if (!FinishDevices(host().NowNs())) {
    for (auto& window : windows) (void)window.release();
    windows.clear();
  }
}

slipway_status CxlInstance::Explain(const Fault& fault) {
  for (const auto& window : windows) {
    if (!window->Holds(fault.address)) continue;
    // One bad page is no reason to give up the others.
    if (fault.code != BUS_MCEERR_AR) {
      if (!window->failed()) {
        host().Log(SLIPWAY_LOG_ERROR, window->device().path + ": the memory is gone (SIGBUS): was the device unbound?");
      }
      window->Fail();
    }
    return SLIPWAY_E_DEVICE;
  }
  return SLIPWAY_E_IO;  // the application's own memory, such as a file that was cut short
}

// ---- instance: memory ------------------------------------------------------------------------------------------

slipway_status CxlInstance::CheckPlace(const Place& place, uint64_t length, sdk::Error& err) const {
  const Window& window = *place.window;
  const std::string& path = window.device().path;
  if (window.failed()) return err.Fail(SLIPWAY_E_DEVICE, "the memory is gone: make the instance anew", path);
  if (&window == windows[0].get() && place.offset < kBoardAreaBytes) {
    return err.Fail(SLIPWAY_E_INVALID, "the first 8 MiB of the first window are the transport's own: leave them out",
                    path);
  }
  if (place.offset < window.own_begin() || place.offset > window.own_end() ||
      length > window.own_end() - place.offset) {
    return err.Fail(SLIPWAY_E_INVALID,
                    "outside of this instance's part of the device, bytes " + std::to_string(window.own_begin()) +
                        " to " + std::to_string(window.own_end()) + ": see \"offset\" and \"bytes\" of the window",
                    path);
  }
  return SLIPWAY_OK;
}

slipway_status CxlInstance::RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                           sdk::Error& err) {
  const uint32_t access = range.access & kRemoteAccess;
  if (access == 0) {
    out = std::make_unique<CxlRegistration>();
    return SLIPWAY_OK;
  }
  Place place;
  if (!FindPlace(windows, range.addr, range.length, place)) {
    return err.Fail(SLIPWAY_E_UNSUPPORTED, "peers reach only memory in a window, and this is none: map " +
                                               windows[0]->device().path + " (MAP_SHARED), or use another transport");
  }
  if (const slipway_status s = CheckPlace(place, range.length, err); s != SLIPWAY_OK) return s;
  uint32_t slot = 0;
  {
    MutexLock lock(mutex_);
    if (free_slots_.empty()) return err.FailRetryable(SLIPWAY_E_NOMEM, "no free slot: deregister something first");
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  const uint64_t key = RandomNumber();
  auto mr = std::make_unique<CxlRegistration>(*this, place, range, slot, key);
  const slipway_status s = boards->Publish(slot, key, place.offset, range.length, place.window->identity(), access);
  if (s != SLIPWAY_OK) return err.Fail(s, "the window that peers are met in is gone", windows[0]->device().path);
  out = std::move(mr);
  return SLIPWAY_OK;
}

slipway_status CxlInstance::DeregisterMemory(sdk::Registration& mr) {
  const auto& shared = static_cast<CxlRegistration&>(mr).shared();
  if (!shared) return SLIPWAY_OK;
  const slipway_status s = boards->Revoke(shared->slot, host(), host().NowNs() + kRevokeNs);
  return s == SLIPWAY_E_DEVICE ? SLIPWAY_OK : s;  // nobody touches memory that is gone
}

void CxlInstance::FreeSlot(uint32_t slot) {
  MutexLock lock(mutex_);
  free_slots_.push_back(slot);
}

slipway_status CxlInstance::Allocate(uint64_t bytes, void** out, sdk::Error& err) {
  const uint64_t whole = bytes > UINT64_MAX - kAllocationAlign ? 0 : bytes;
  if (whole == 0) return err.Fail(SLIPWAY_E_INVALID, "allocate: no such length");
  MutexLock lock(mutex_);
  if (allocations_.size() >= kAllocationsMax) return err.FailRetryable(SLIPWAY_E_NOMEM, "allocate: too many pieces");
  slipway_status s = SLIPWAY_E_NOMEM;
  for (const auto& window : windows) {
    if (window->failed()) continue;
    const uint64_t align = std::max(kAllocationAlign, window->device().align);
    const uint64_t length = (whole + align - 1) / align * align;
    ByteLock held;
    uint64_t offset = window == windows[0] ? kBoardAreaBytes : 0;
    s = window->Allocate(length, align, &offset, held, err);
    if (s != SLIPWAY_OK) continue;
    *out = window->base() + offset;
    allocations_.emplace(*out, Allocation{std::move(held), length});
    return SLIPWAY_OK;
  }
  return s;
}

slipway_status CxlInstance::AllocateZeroed(uint64_t bytes, void** out, sdk::Error& err) {
  void* memory = nullptr;
  if (const slipway_status s = Allocate(bytes, &memory, err); s != SLIPWAY_OK) return s;
  Fault fault;
  const auto clear = [&] {
    std::memset(memory, 0, bytes);
    if (!config.coherent()) WriteBack(memory, bytes);
  };
  if (!Guarded(fault, clear)) {
    (void)Release(memory);
    return err.Fail(Explain(fault), "allocate: the window's device is gone");
  }
  *out = memory;
  return SLIPWAY_OK;
}

slipway_status CxlInstance::Release(void* memory) {
  if (memory == nullptr) return SLIPWAY_OK;
  MutexLock lock(mutex_);
  return allocations_.erase(memory) == 1 ? SLIPWAY_OK : SLIPWAY_E_INVALID;
}

slipway_status CxlInstance::Synchronize(const void* address, uint64_t bytes) {
  if (config.coherent()) return SLIPWAY_OK;
  Fault fault;
  return Guarded(fault, [&] { Invalidate(address, bytes); }) ? SLIPWAY_OK : Explain(fault);
}

// ---- instance: names that travel -------------------------------------------------------------------------------

slipway_status CxlInstance::ExportAddress(std::string& out, sdk::Error& err) {
  if (stopped_.load()) return err.Fail(SLIPWAY_E_CANCELED, "the instance was quiesced");
  AddressBlob blob;
  blob.device = windows[0]->identity();
  blob.nonce = boards->nonce();
  blob.process = Aliases::Get().process();
  blob.board = boards->number();
  blob.sharing = static_cast<uint32_t>(config.sharing);
  out = Encode(blob);
  return SLIPWAY_OK;
}

slipway_status CxlInstance::ExportMr(sdk::Registration& mr, std::string& out, sdk::Error& err) {
  const auto& shared = static_cast<CxlRegistration&>(mr).shared();
  if (!shared) return err.Fail(SLIPWAY_E_INVALID, "the memory was registered for local access only");
  MrBlob blob;
  blob.nonce = boards->nonce();
  blob.key = shared->key;
  blob.offset = shared->place.offset;
  blob.length = shared->length;
  blob.window = shared->place.window->identity();
  blob.slot = shared->slot;
  blob.access = shared->access;
  out = Encode(blob);
  return SLIPWAY_OK;
}

slipway_status CxlInstance::Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) {
  AddressBlob blob;
  if (!Decode(address, blob) || blob.board >= kBoards || blob.nonce == 0) {
    return err.Fail(SLIPWAY_E_PROTOCOL, "not an address of cxl, or damaged");
  }
  if (blob.device != windows[0]->identity()) {
    return err.Fail(SLIPWAY_E_PEER,
                    "the peer's first window is another device than this instance's: it must be the same");
  }
  if (blob.sharing != static_cast<uint32_t>(config.sharing)) {
    return err.Fail(SLIPWAY_E_PEER, "the peer is configured for another kind of \"sharing\": it must be the same");
  }
  if (config.multi_host()) (void)boards->Beat(host());  // so that a peer that just came is known
  auto peer = std::make_unique<CxlPeer>(*this, blob);
  const slipway_status s = peer->Ready(err);
  if (s == SLIPWAY_OK) out = std::move(peer);
  return s;
}

bool CxlInstance::TakeChannel(uint32_t& channel) {
  MutexLock lock(mutex_);
  if (free_channels_.empty()) return false;
  channel = free_channels_.back();
  free_channels_.pop_back();
  return true;
}

slipway_status CxlInstance::OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) {
  constexpr const char* kFull = "all channels are open: close one";
  std::unique_ptr<DeviceCopies> devices;
  uint32_t number = 0;
  if ((attrs().caps & SLIPWAY_CAP_SLICE_KIND) != 0) {
    if (!TakeChannel(number)) return err.FailRetryable(SLIPWAY_E_NOMEM, kFull);
    const slipway_status s = DeviceCopies::Open(*this, cookie, number, devices, err);
    if (s != SLIPWAY_OK) {
      FreeChannel(number);
      return s;
    }
  }
  if (!TakeChannel(number)) return err.FailRetryable(SLIPWAY_E_NOMEM, kFull);
  out = std::make_unique<CxlChannel>(*this, cookie, number, std::move(devices));
  return SLIPWAY_OK;
}

void CxlInstance::Add(DeviceCopies& copies) {
  MutexLock lock(mutex_);
  device_copies_.push_back(&copies);
}
void CxlInstance::Remove(DeviceCopies& copies) {
  MutexLock lock(mutex_);
  std::erase(device_copies_, &copies);
}

void CxlInstance::FreeChannel(uint32_t channel) {
  MutexLock lock(mutex_);
  free_channels_.push_back(channel);
}

slipway_status CxlInstance::StatsJson(std::string& out) {
  const auto field = [&](const char* name, const std::atomic<uint64_t>& value) {
    out += std::string(out.empty() ? "{" : ",") + "\"" + name + "\":" + std::to_string(value.load());
  };
  field("slices", counters.slices);
  field("pieces", counters.pieces);
  field("bytes_read", counters.bytes_read);
  field("bytes_written", counters.bytes_written);
  field("canceled", counters.canceled);
  field("failed", counters.failed);
  field("streamed_bytes", counters.streamed_bytes);
  field("written_back_lines", counters.written_back_lines);
  field("invalidated_lines", counters.invalidated_lines);
  out += ",\"copy\":\"" + std::string(CopyAbilities()) + "\",\"windows\":[";
  for (const auto& window : windows) {
    static constexpr const char* kKinds[] = {"device-dax", "file on dax", "ordinary file"};
    if (window != windows[0]) out += ",";
    out += "{\"kind\":\"" + std::string(kKinds[static_cast<int>(window->device().kind)]) +
           "\",\"bytes\":" + std::to_string(window->bytes()) + ",\"gone\":" + (window->failed() ? "true" : "false") +
           "}";
  }
  out += "]}";
  return SLIPWAY_OK;
}

}  // namespace slipway::cxl

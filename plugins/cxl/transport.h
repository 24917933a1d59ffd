// The transport's objects; see the base classes for their contracts.
#ifndef SLIPWAY_PLUGINS_CXL_TRANSPORT_H_
#define SLIPWAY_PLUGINS_CXL_TRANSPORT_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plugins/cxl/board.h"
#include "plugins/cxl/config.h"
#include "plugins/cxl/copy.h"
#include "plugins/cxl/memory.h"
#include "slipway/sdk/plugin.hpp"

namespace slipway::cxl {

inline constexpr uint32_t kRemoteAccess = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;

class CxlInstance;
class DeviceCopies;

// Memory that peers may reach has a slot on the board; other memory needs nothing.
class CxlRegistration final : public sdk::Registration {
 public:
  CxlRegistration() = default;
  CxlRegistration(CxlInstance& owner, const Place& place, const slipway_range& range, uint32_t slot, uint64_t key);
  ~CxlRegistration() override;

  struct Shared {
    CxlInstance& owner;
    Place place;
    void* address;
    uint64_t length;
    uint32_t access, slot;
    uint64_t key;
  };
  const std::optional<Shared>& shared() const { return shared_; }

 private:
  const std::optional<Shared> shared_;
};

class CxlPeer final : public sdk::Peer {
 public:
  CxlPeer(CxlInstance& owner, const AddressBlob& address);
  slipway_status Ready(sdk::Error& err) override;
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;

  uint32_t board() const { return board_; }
  uint64_t nonce() const { return nonce_; }
  bool same_process() const { return same_process_; }
  // [any] Looks whether the peer lives; once it does not, it never does again.
  bool Alive();
  void GiveUp() { gone_.store(true, std::memory_order_release); }
  // What it means for a slice that going in came to that.
  slipway_status StatusOf(Boards::Entry entry);

 private:
  CxlInstance& owner_;
  const uint32_t board_;
  const uint64_t nonce_;
  const bool same_process_;
  std::atomic<bool> gone_{false};
};

class CxlRemote final : public sdk::Remote {
 public:
  CxlRemote(CxlPeer& peer, Window& window, const MrBlob& blob)
      : Remote(blob.length, blob.access),
        peer(peer),
        window(window),
        offset(blob.offset),
        slot(blob.slot),
        key(blob.key) {}

  char* At(uint64_t remote_offset) const { return window.base() + offset + remote_offset; }

  CxlPeer& peer;
  Window& window;
  const uint64_t offset;  // in the window
  const uint32_t slot;
  const uint64_t key;
};

struct Counters {
  std::atomic<uint64_t> slices{0}, pieces{0}, bytes_read{0}, bytes_written{0}, canceled{0}, failed{0};
  std::atomic<uint64_t> streamed_bytes{0}, written_back_lines{0}, invalidated_lines{0};
  void Add(const CopyCounts& counts);
};

class CxlInstance final : public sdk::Instance {
 public:
  CxlInstance(sdk::Host host, const slipway_attrs& attrs, const Config& config, const CopyPolicy& policy,
              Windows windows);
  ~CxlInstance() override = default;
  // Joins the boards; throws std::system_error when the system refuses a thread.
  slipway_status Start(sdk::Error& err);

  slipway_status Quiesce(uint64_t timeout_ns, sdk::Error& err) override;
  void Stop() noexcept override;
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override;
  slipway_status DeregisterMemory(sdk::Registration& mr) override;
  slipway_status ExportAddress(std::string& out, sdk::Error& err) override;
  slipway_status ExportMr(sdk::Registration& mr, std::string& out, sdk::Error& err) override;
  slipway_status Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override;
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) override;
  slipway_status StatsJson(std::string& out) override;

  // The extension's.
  slipway_status Allocate(uint64_t bytes, void** out, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);
  slipway_status AllocateZeroed(uint64_t bytes, void** out, sdk::Error& err) SLIPWAY_EXCLUDES(mutex_);
  slipway_status Release(void* memory) SLIPWAY_EXCLUDES(mutex_);
  slipway_status Synchronize(const void* address, uint64_t bytes);

  // Counts those inside poll(), so that quiesce() knows when no byte moves any more. False: none may move.
  bool EnterPoll();
  void LeavePoll() { polling_.fetch_sub(1); }
  // What a fault means: which window it takes down, and the status of the access.
  slipway_status Explain(const Fault& fault);
  void FreeSlot(uint32_t slot) SLIPWAY_EXCLUDES(mutex_);
  void FreeChannel(uint32_t channel) SLIPWAY_EXCLUDES(mutex_);
  void Add(DeviceCopies& copies) SLIPWAY_EXCLUDES(mutex_);
  void Remove(DeviceCopies& copies) SLIPWAY_EXCLUDES(mutex_);

  const Config config;
  const CopyPolicy policy;
  Counters counters;
  Windows windows;
  std::unique_ptr<Boards> boards;

 private:
  struct Allocation {
    ByteLock lock;
    uint64_t bytes;
  };

  slipway_status CheckPlace(const Place& place, uint64_t length, sdk::Error& err) const;
  void BeatUntilStopped();
  bool FinishDevices(uint64_t deadline_ns) SLIPWAY_EXCLUDES(mutex_);
  bool TakeChannel(uint32_t& channel) SLIPWAY_EXCLUDES(mutex_);
  template <typename Done>
  bool WaitFor(uint64_t deadline_ns, const Done& done) const;

  const FaultHandler fault_handler_;
  std::atomic<bool> stopped_{false};
  std::atomic<uint32_t> polling_{0};
  std::thread beating_;
  Mutex mutex_;
  CondVar stopping_;
  bool stop_beating_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::vector<uint32_t> free_slots_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_channels_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<DeviceCopies*> device_copies_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<void*, Allocation> allocations_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_TRANSPORT_H_

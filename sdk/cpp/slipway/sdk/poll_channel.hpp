// A channel for transports without threads: slices wait in a ring until poll() moves them, on the caller's thread.
#ifndef SLIPWAY_SDK_POLL_CHANNEL_HPP_
#define SLIPWAY_SDK_POLL_CHANNEL_HPP_

#include <atomic>
#include <cstdint>
#include <vector>

#include "slipway/sdk/gate.hpp"
#include "slipway/sdk/transport.hpp"

namespace slipway::sdk {

// A peer's registration whose slices are moved one by one. Every Remote of an instance with PollChannels is one.
class PollRemote : public Remote {
 public:
  using Remote::Remote;
  // [channel][nb] Why a slice cannot be accepted, beyond what the layer has checked.
  virtual slipway_status Check(const slipway_slice& /*slice*/, Error& /*err*/) { return SLIPWAY_OK; }
  // [channel] Moves all of the slice. `moved` is 0 and becomes the bytes that were moved, also on failure; `native`
  // becomes an errno or the like, where there is one. When this returns, the slice's memory is not touched any more.
  virtual slipway_status Move(const slipway_slice& slice, uint64_t& moved, int32_t& native) = 0;
};

// Whether a slice's local memory has a byte in common with where it leads in this process, `there`.
inline bool Overlaps(const slipway_slice& slice, const void* there) {
  const auto a = reinterpret_cast<uintptr_t>(slice.local_addr), b = reinterpret_cast<uintptr_t>(there);
  return a < b + slice.length && b < a + slice.length;
}

// The instance quiesces by closing the gate: slices that have not moved by then complete as CANCELED.
class PollChannel final : public Channel {
 public:
  // What one poll() moves, before it returns after a whole slice: the bound of how long it takes.
  static constexpr uint64_t kPollBytes = 1 << 20;

  // `owner` and `gate` outlive the channel.
  PollChannel(Instance& owner, void* cookie, Gate& gate)
      : host_(owner.host()),
        cookie_(cookie),
        gate_(gate),
        uses_local_mr_((owner.attrs().caps & SLIPWAY_CAP_NEEDS_LOCAL_REG) != 0),
        ring_(owner.attrs().max_inflight_per_channel) {}

  slipway_status Submit(const Slices& slices, uint32_t& accepted, Error& err) override {
    slipway_status status = SLIPWAY_OK;
    for (accepted = 0; accepted < slices.size() && count_ < ring_.size(); ++accepted) {
      const slipway_slice& s = slices[accepted];
      status = RemoteOf(s).Check(s, err);
      if (status != SLIPWAY_OK) break;
      RemoteOf(s).Use();
      if (uses_local_mr_) AsRegistration(s.local_mr)->Use();
      ring_[(first_ + count_++) % ring_.size()] = s;
    }
    if (accepted > 0) host_.Wake(cookie_);  // nothing moves until poll() is called
    return status;
  }

  slipway_status Poll(Completions& out) override {
    const Pass pass(gate_);
    for (uint64_t bytes = 0; count_ > 0 && !out.full() && bytes < kPollBytes;) {
      const slipway_slice& s = ring_[first_];
      uint64_t moved = 0;
      int32_t native = 0;
      slipway_status status = SLIPWAY_E_CANCELED;
      if (pass) {
        status = RemoteOf(s).Move(s, moved, native);
        bytes += s.length;
        // An instance that is its own peer refuses itself once it quiesces.
        if (status != SLIPWAY_OK && moved == 0 && gate_.closed()) status = SLIPWAY_E_CANCELED;
      }
      // What was written is seen before anything that is written after its completion.
      std::atomic_thread_fence(std::memory_order_release);
      // Before the core can see the completion and let go of them.
      RemoteOf(s).Unuse();
      if (uses_local_mr_) AsRegistration(s.local_mr)->Unuse();
      out.Put(s.token, status, moved, native);
      first_ = (first_ + 1) % ring_.size();
      --count_;
    }
    if (count_ > 0) host_.Wake(cookie_);
    return SLIPWAY_OK;
  }

 private:
  static PollRemote& RemoteOf(const slipway_slice& s) { return *static_cast<PollRemote*>(AsRemote(s.remote)); }

  const Host host_;
  void* const cookie_;
  Gate& gate_;
  const bool uses_local_mr_;
  std::vector<slipway_slice> ring_;  // accepted and not polled: `count_` from `first_` on
  size_t first_ = 0, count_ = 0;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_POLL_CHANNEL_HPP_

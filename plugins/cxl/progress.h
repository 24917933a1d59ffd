// Where slices are copied: by whoever polls, a piece at a time.
#ifndef SLIPWAY_PLUGINS_CXL_PROGRESS_H_
#define SLIPWAY_PLUGINS_CXL_PROGRESS_H_

#include <memory>
#include <vector>

#include "plugins/cxl/transport.h"

namespace slipway::cxl {

class DeviceCopies;

// One accepted slice.
struct Op {
  uint64_t token = 0, length = 0, moved = 0;
  CxlRemote* remote = nullptr;
  char* there = nullptr;  // in the remote's window
  char* here = nullptr;
  bool read = false;
  uint64_t kind = SLIPWAY_MEM_HOST;  // of what is here
  CopyStyle style = CopyStyle::kCached;
  bool done = false;  // nothing more of it is copied
  slipway_status status = SLIPWAY_OK;
};

// See sdk::Channel. A ring of what was accepted; slices take turns in it, so that a long one does not hold up the
// others. Allocates nothing after it was made.
class CxlChannel final : public sdk::Channel {
 public:
  // `number` is its own among the instance's; `devices` is null where the host copies host memory alone.
  CxlChannel(CxlInstance& owner, void* cookie, uint32_t number, std::unique_ptr<DeviceCopies> devices);
  ~CxlChannel() override;

  slipway_status Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) override;
  slipway_status Poll(sdk::Completions& out) override;
  slipway_status Cancel(uint64_t token) override;

 private:
  slipway_status Prepare(Op& op, const slipway_slice& slice, sdk::Error& err) const;
  bool PeerAlive(CxlPeer& peer);
  void CopyPiece(Op& op);
  slipway_status TryPiece(const Op& op, uint64_t length, CopyCounts& counts) const;
  void Complete(const Op& op, sdk::Completions& out);
  void PollDevices(bool may_move, sdk::Completions& out);

  CxlInstance& owner_;
  void* const cookie_;
  const uint32_t number_;
  const std::unique_ptr<DeviceCopies> devices_;
  std::vector<Op> ring_;
  size_t first_ = 0, count_ = 0;
  CxlPeer* looked_at_ = nullptr;  // in this poll(), and found alive
};

}  // namespace slipway::cxl

#endif  // SLIPWAY_PLUGINS_CXL_PROGRESS_H_

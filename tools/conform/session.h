// An instance under test, connected: a channel, local memory, a peer and one of its segments.
#ifndef SLIPWAY_TOOLS_CONFORM_SESSION_H_
#define SLIPWAY_TOOLS_CONFORM_SESSION_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/conform/instance.h"
#include "tools/conform/peer.h"

namespace slipway::conform {

struct SessionOptions {
  uint64_t local_bytes = uint64_t{1} << 20;
  uint64_t remote_bytes = uint64_t{1} << 20;
  bool in_process = false;  // the peer in this process even where it could be another
  Shape shape = Shape::kPlain;
};

// Local memory, registered where slices need that.
struct LocalMemory {
  std::unique_ptr<Buffer> buffer;
  slipway_mr* mr = nullptr;
  char* data() const { return buffer->data(); }
};

// Used from one thread, but for the channels that Open() gives to others. Seeds: the local memory is the pattern of
// kLocalSeed, the remote segment that of kRemoteSeed, at first.
class Session {
 public:
  static constexpr uint64_t kLocalSeed = 0x10CA1, kRemoteSeed = 0x4E307E;

  explicit Session(const Context& c, const SessionOptions& options = {});
  Session(const Context& c, const SessionOptions& options, std::unique_ptr<PeerSide> peer);

  const Context& c;
  const SessionOptions options;
  Instance me;
  std::unique_ptr<PeerSide> peer;
  slipway_peer* link = nullptr;
  slipway_channel* channel = nullptr;
  LocalMemory local;
  Segment segment;
  slipway_remote* remote = nullptr;
  std::vector<slipway_completion> done;  // polled and not looked at yet

  const slipway_transport& t() const { return *c.t; }
  LocalMemory NewLocal(uint64_t bytes);
  slipway_peer* Connect(const std::string& address);  // waits until it is ready
  slipway_remote* Import(slipway_peer* peer, const std::string& blob);
  std::vector<uint32_t> Ops() const;  // those that the transport has

  slipway_slice Slice(uint64_t token, uint32_t op, uint64_t local_offset, uint64_t remote_offset,
                      uint64_t length) const;
  // Room is waited for by polling; anything but acceptance fails the case.
  void Submit(const slipway_slice& slice) { SubmitOn(channel, slice, done); }
  void SubmitOn(slipway_channel* ch, const slipway_slice& slice, std::vector<slipway_completion>& polled);
  // One submit() of one slice, whatever comes of it.
  slipway_status TrySubmit(const slipway_slice& slice, uint32_t* accepted = nullptr, Report* report = nullptr);
  // One poll(); returns how many came.
  uint32_t Poll() { return PollOn(channel, done); }
  uint32_t PollOn(slipway_channel* ch, std::vector<slipway_completion>& polled);
  // Polls until `n` completions lie in `done`; fails the case when they do not come.
  void WaitFor(size_t n) { WaitOn(channel, n, done); }
  void WaitOn(slipway_channel* ch, size_t n, std::vector<slipway_completion>& polled);
  // Submits, waits, and requires OK with all bytes. `done` must be empty.
  void Transfer(uint32_t op, uint64_t local_offset, uint64_t remote_offset, uint64_t length);
  // As many slices as fit, tokens from `first_token`, each of `length` bytes in a place of its own; returns how many.
  uint32_t Flood(uint32_t op, uint64_t length, uint32_t at_most, uint64_t first_token = 1);
  // Closes everything in the contract's order, requiring OK of every step.
  void Close();
};

const char* OpName(uint32_t op);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_SESSION_H_

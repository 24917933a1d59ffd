// The other side of a transfer: an instance that exposes segments and looks at what arrives in them. Either in this
// process, or in one of its own that is driven over a socket pair.
#ifndef SLIPWAY_TOOLS_CONFORM_PEER_H_
#define SLIPWAY_TOOLS_CONFORM_PEER_H_

#include <memory>
#include <string>

#include "tools/conform/case.h"

namespace slipway::conform {

struct Segment {
  uint32_t id = 0;
  uint64_t bytes = 0;
  std::string blob;       // of export_mr
  char* local = nullptr;  // where it lies, when the peer is in this process
};

// What a target does as soon as it sees a flag: the CPU's view, without asking anybody.
struct Watch {
  uint32_t id = 0;
  uint64_t flag_offset = 0, flag = 0;        // waits until the 8 bytes there are `flag`
  uint64_t offset = 0, bytes = 0, seed = 0;  // and looks at once whether these bytes are the pattern
};

// Every call fails the case when the peer breaks the contract or is gone. Used from one thread.
class PeerSide {
 public:
  virtual ~PeerSide() = default;
  virtual std::string Address() = 0;
  // A new segment, filled with the pattern of `seed`.
  virtual Segment Register(uint64_t bytes, uint32_t access, uint64_t seed) = 0;
  virtual slipway_status Deregister(uint32_t id) = 0;  // the memory stays
  // Fresh pages at the same address, filled anew, registered and exported again.
  virtual Segment RemapAndRegister(uint32_t id, uint32_t access, uint64_t seed) = 0;
  virtual void Fill(uint32_t id, uint64_t offset, uint64_t bytes, uint64_t seed) = 0;
  virtual std::string Hash(uint32_t id, uint64_t offset, uint64_t bytes) = 0;
  virtual std::string Overrun(uint32_t id) = 0;  // as Buffer::Overrun
  virtual void StartWatch(const Watch& watch) = 0;
  virtual std::string FinishWatch() = 0;  // empty: the pattern was there
  virtual void Progress() {}              // polls for transports that have no thread of their own
  virtual int pid() const { return 0; }   // of a peer in its own process
  // Ends it: SIGKILL for a process, destroy otherwise. Nothing else may be called then.
  virtual void Kill() = 0;
};

// In this process, whatever the transport can.
std::unique_ptr<PeerSide> MakeLocalPeer(const Context& c, Shape shape = Shape::kPlain);
// In a process of its own; the transport has CROSS_PROCESS.
std::unique_ptr<PeerSide> SpawnPeer(const Context& c);
// As the capabilities say.
std::unique_ptr<PeerSide> MakePeer(const Context& c);

// What the process does that SpawnPeer started: serves until the socket closes.
[[noreturn]] void ServePeer(int socket);

}  // namespace slipway::conform

#endif  // SLIPWAY_TOOLS_CONFORM_PEER_H_

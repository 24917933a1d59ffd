// What a transport over sockets is compared with: the least that two processes can do with a socket between them.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_RAW_SOCKETS_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_RAW_SOCKETS_H_

#include <cstdint>
#include <memory>

#include "tools/slipway/bench/child.h"
#include "tools/slipway/bench/row.h"

namespace slipway::cli::bench {

// A child process at the other end of plain connections over loopback, with congestion control reno where the system
// permits it (the default of some machines paces). Not thread-safe.
class RawSockets {
 public:
  static Result<std::unique_ptr<RawSockets>> Open();

  // `request` bytes there and `reply` bytes back, one after the other: both sides blocking, and both polling; the
  // faster of the two is given.
  Result<Sample> PingPong(uint64_t request, uint64_t reply, double seconds);
  // Sends from a buffer of `bytes` over `streams` connections, a thread each. Gives seconds a buffer.
  Result<Sample> Stream(uint64_t bytes, uint32_t streams, double seconds);

 private:
  RawSockets(Child child, uint16_t port) : child_(std::move(child)), port_(port) {}
  Result<Sample> PingPongOnce(uint64_t request, uint64_t reply, bool polling, double seconds);

  Child child_;
  const uint16_t port_;
};

// The child's side: takes its orders from standard input, until that ends. Gives the exit status.
int RunRawSockets();

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_RAW_SOCKETS_H_

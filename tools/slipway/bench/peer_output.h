// Reads what the programs of others print. Pure.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_PEER_OUTPUT_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_PEER_OUTPUT_H_

#include <cstdint>
#include <string>

#include "slipway/status.hpp"

namespace slipway::cli::bench {

// All give E_BAD_REPLY, with the start of the text, when it is not what these programs print.

// `iperf3 -J` of a client: bytes per second that the receiver took.
Result<double> ReadIperf(const std::string& text);
// `ucx_perftest -f -v`: seconds an operation, over all of them.
Result<double> ReadUcx(const std::string& text);
// fi_rma_bw and fi_rma_pingpong: seconds a transfer.
Result<double> ReadFabtests(const std::string& text);
// ib_write_bw and ib_read_bw: bytes per second on average, of the line for `bytes`.
Result<double> ReadPerftest(const std::string& text, uint64_t bytes);

struct RdmaDevice {
  std::string device, address;
};
// A device's name on one line, and an entry of its GID table that holds an IPv4 address on the next.
Result<RdmaDevice> ReadRdmaDevice(const std::string& text);

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_PEER_OUTPUT_H_

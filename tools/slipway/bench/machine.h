// What machine a report is about: numbers mean nothing without it.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_MACHINE_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_MACHINE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace slipway::cli::bench {

// In the order in which a person wants to read it: ("processor", "AMD EPYC"), ("cores", "2"), ...
std::vector<std::pair<std::string, std::string>> DescribeMachine();
// Bytes that new memory may take without swapping; 0: not known.
uint64_t AvailableMemory();

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_MACHINE_H_

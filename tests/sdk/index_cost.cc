// A fixed workload for callgrind: an index of many registrations is asked or changed so many times.
//
//   sdk_index_cost lookups|changes COUNT
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "slipway/sdk/interval_map.hpp"

int main(int argc, char** argv) {
  using namespace slipway::sdk;
  constexpr uint64_t kRanges = 100'000, kBytes = 4096, kStride = 2 * kBytes;
  if (argc != 3) return 2;
  const bool lookups = std::string(argv[1]) == "lookups";
  RegistrationIndex index;
  const auto nodes = std::make_unique<RegistrationNode[]>(kRanges);
  for (uint64_t i = 0; i < kRanges; ++i) index.Insert(nodes[i], i * kStride, kBytes, SLIPWAY_ACCESS_ALL);

  std::minstd_rand random;
  for (long left = std::atol(argv[2]); left > 0; --left) {
    const uint64_t i = random() % kRanges;
    if (lookups) {
      if (index.LongestPrefix(i * kStride, kBytes, SLIPWAY_ACCESS_REMOTE_READ).node != &nodes[i]) return 1;
    } else {
      index.Erase(nodes[i]);
      index.Insert(nodes[i], i * kStride, kBytes, SLIPWAY_ACCESS_ALL);
    }
  }
  std::printf("%zu ranges\n", index.size());
  for (uint64_t i = 0; i < kRanges; ++i) index.Erase(nodes[i]);
  return 0;
}

// What is measured: one row of the report each, with one sample a round.
#ifndef SLIPWAY_TOOLS_SLIPWAY_BENCH_ROW_H_
#define SLIPWAY_TOOLS_SLIPWAY_BENCH_ROW_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "slipway/status.hpp"

namespace slipway::cli::bench {

// How requests are submitted. The values are bits, for Row::compares_with.
enum Shape : uint32_t {
  kSingle = 1,     // one at a time: submitted, waited for
  kBatch = 2,      // `count` in one submission, waited for together; contiguous
  kStream = 4,     // `count` in flight all the time
  kScattered = 8,  // as kBatch, in places that cannot be joined
};

struct Sample {
  double seconds = 0;       // a request, on average over the measurement
  double p50 = 0, p99 = 0;  // seconds from submission to completion; 0: not known
};

struct Row {
  std::string who;                  // "slipway", or the name of what it is compared with
  std::string path;                 // "tcp, two processes"
  std::string medium;               // what both must share to be compared: "memory", "tcp", ...
  std::string operation = "write";  // "read", "write"; "any": compares with both
  uint64_t bytes = 0;               // of one request
  Shape shape = kSingle;
  uint32_t count = 1;    // requests in a batch or in flight
  uint32_t streams = 1;  // connections, or threads

  // For what Slipway is compared with: the shapes it says something about, and from which size on (0: of equal size).
  uint32_t compares_with = 0;
  uint64_t from_bytes = 0;

  std::vector<Sample> samples;  // of the rounds so far; all rows that have not failed have as many
  Status failure;               // why there are no more samples
  bool wrong_data = false;      // the failure is that bytes differ: never to be passed over

  bool is_slipway() const { return who == "slipway"; }
};

// A row with the way to measure it.
struct Item {
  Row row;
  // One sample that takes about `seconds`, or two requests if these take longer.
  std::function<Result<Sample>(double seconds)> measure;
};

struct Spread {
  double median = 0, low = 0, high = 0;
};
// Of at least one value.
Spread SpreadOf(std::vector<double> values);

// Whether `other` is something to compare `own`, a row of Slipway's, with.
bool Comparable(const Row& own, const Row& other);
// How many times as fast `own` is, round by round; above 1: Slipway is faster. Both have a sample.
Spread SpeedRatio(const Row& own, const Row& other);

// "one at a time", "batches of 128", "4 in flight", "1000 scattered".
std::string ShapeName(const Row& row);
const char* ShapeWord(Shape shape);  // for programs: "single", "batch", "stream", "scattered"

}  // namespace slipway::cli::bench

#endif  // SLIPWAY_TOOLS_SLIPWAY_BENCH_ROW_H_

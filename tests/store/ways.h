// Every way to write objects, so that a test can say of all of them how often the bytes were copied.
#ifndef SLIPWAY_TESTS_STORE_WAYS_H_
#define SLIPWAY_TESTS_STORE_WAYS_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "slipway/store.hpp"

namespace slipway {

struct WayArguments;

struct Way {
  const char* name;  // of the call
  size_t values;     // objects that it writes, of equal shares of the source
  size_t pieces;     // contiguous ones of the source, over all of its objects
  bool tensors;      // each object has a header before its share
  Status (*write)(const WayArguments& arguments);
};
const std::vector<Way>& AllWays();
// Writes `source`, any memory of a multiple of 64 bytes, under KEY/0 and, where there are two values, KEY/1.
Status Write(const Way& way, const Store& store, const std::string& key, std::byte* source, size_t bytes);

// What an engine copied, by its counters.
struct CopyCounts {
  uint64_t store = 0, store_bytes = 0;  // by the store, between host memory of this process
  uint64_t host = 0, provider = 0;      // to or from staging, by the core and by memory providers
  uint64_t staged_bytes = 0;            // of both
  uint64_t direct = 0;                  // by memory providers, straight between source and target
  uint64_t slices_direct = 0, slices_staged = 0;
  bool operator==(const CopyCounts&) const = default;
};
CopyCounts CountsOf(const Store& store);
CopyCounts operator-(const CopyCounts& a, const CopyCounts& b);
nlohmann::json ToJson(const CopyCounts& counts);
std::ostream& operator<<(std::ostream& out, const CopyCounts& counts);

// What the objects of a way hold, without headers, as `store` sees them; empty where one cannot be read.
std::string WrittenBy(const Way& way, const Store& store, const std::string& key, size_t bytes);
// All headers together: what the objects hold beyond `bytes`.
uint64_t HeaderBytesOf(const Way& way, const Store& store, const std::string& key, size_t bytes);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_STORE_WAYS_H_

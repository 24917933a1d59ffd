// Stores made from JSON text, in one process.
#ifndef SLIPWAY_TESTS_STORE_FIXTURE_H_
#define SLIPWAY_TESTS_STORE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "slipway/store.hpp"

namespace slipway {

using Json = nlohmann::json;
using Bytes = std::vector<std::byte>;

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;

// A store of one segment of `bytes`, over these transports.
Json StoreConfiguration(uint64_t bytes, const std::vector<Json>& transports = {});
Json Use(const std::string& name, const Json& options = Json::object());
Store MakeStore(const Json& configuration);
Bytes Pattern(size_t bytes, uint32_t seed);
std::string_view AsText(const Bytes& bytes);
// The value under a key, as text; what went wrong, in brackets.
std::string Read(const Store& store, const std::string& key);
uint64_t CounterOf(const Store& store, const std::string& name);
uint64_t UsedBytes(const Store& store);
// False where the environment forbids pinning, which goes before every configuration.
bool MayPin();

}  // namespace slipway

#endif  // SLIPWAY_TESTS_STORE_FIXTURE_H_

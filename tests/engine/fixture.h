// Engines made from JSON text, in one process.
#ifndef SLIPWAY_TESTS_ENGINE_FIXTURE_H_
#define SLIPWAY_TESTS_ENGINE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "slipway/engine.hpp"
#include "tests/fixtures/fake_control.h"

namespace slipway {

using Json = nlohmann::json;
using Bytes = std::vector<std::byte>;

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// A configuration of these transports, found among the built plugins and the fixtures, that logs nothing but errors.
Json Configuration(const std::vector<Json>& transports);
Json Use(const std::string& name, const Json& options = Json::object());

Result<Engine> TryMake(const Json& configuration);
// The same where that must work.
Engine Make(const Json& configuration);
Status Publish(const Engine& engine, const std::string& name, Bytes& memory,
               uint32_t access = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE);
// Opens a segment of another engine by its address.
Segment Open(const Engine& engine, const Engine& owner, const std::string& name);
Json Described(const Engine& engine);
Bytes Pattern(size_t bytes, uint32_t seed);
// False where the environment forbids pinning, which goes before every configuration.
bool MayPin();
// Whether the plugin was built.
bool Built(const std::string& plugin);

// Steers the fake transport's instances of this process.
const slipway_fake_control& FakeControl();
slipway_fake_counters FakeCounters(const std::string& tag);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_ENGINE_FIXTURE_H_

#include "tests/engine/fixture.h"

#include <cstdlib>
#include <filesystem>
#include <random>

#include "tests/support/plugin_driver.h"

namespace slipway {

Json Configuration(const std::vector<Json>& transports) {
  Json json;
  json["plugin_path"] = {std::getenv("SLIPWAY_TEST_PLUGIN_DIR"), std::getenv("SLIPWAY_TEST_FIXTURE_DIR")};
  json["transports"] = transports;
  json["log"]["level"] = "error";
  json["memory"]["staging"] = {{"bytes", "8MiB"}, {"chunk_bytes", "1MiB"}};
  return json;
}

Json Use(const std::string& name, const Json& options) { return {{"name", name}, {"options", options}}; }

Result<Engine> TryMake(const Json& configuration) { return Engine::FromJson(configuration.dump()); }

Engine Make(const Json& configuration) {
  Result<Engine> engine = TryMake(configuration);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return engine.ok() ? std::move(*engine) : Engine();
}

Status Publish(const Engine& engine, const std::string& name, Bytes& memory, uint32_t access) {
  const slipway_span span = {memory.data(), memory.size()};
  return engine.Publish(name, {&span, 1}, access);
}

Segment Open(const Engine& engine, const Engine& owner, const std::string& name) {
  Result<Segment> segment = engine.Open(*owner.ControlAddress() + "/" + name, 10'000);
  EXPECT_TRUE(segment.ok()) << segment.status().message();
  return segment.ok() ? std::move(*segment) : Segment();
}

Json Described(const Engine& engine) {
  Result<std::string> text = engine.Describe();
  EXPECT_TRUE(text.ok());
  const Json json = Json::parse(*text, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << *text;
  return json;
}

Bytes Pattern(size_t bytes, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  Bytes data(bytes);
  for (std::byte& b : data) b = static_cast<std::byte>(random() >> 8);
  return data;
}

bool MayPin() {
  const char* const word = std::getenv("MC_STORE_PIN_MEMORY");
  return word == nullptr || (std::string(word) != "0" && std::string(word) != "false");
}

bool Built(const std::string& plugin) { return std::filesystem::exists(test::PluginPath(plugin)); }

const slipway_fake_control& FakeControl() {
  const slipway_transport& table = test::LoadTransport(test::FixturePath("fake"), "fake");
  return *static_cast<const slipway_fake_control*>(table.get_extension(SLIPWAY_FAKE_EXTENSION));
}

slipway_fake_counters FakeCounters(const std::string& tag) {
  slipway_fake_counters counters{};
  slipway_instance* instance = FakeControl().find(tag.c_str());
  EXPECT_NE(instance, nullptr) << tag;
  if (instance != nullptr) FakeControl().get_counters(instance, &counters);
  return counters;
}

}  // namespace slipway

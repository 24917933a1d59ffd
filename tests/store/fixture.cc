#include "tests/store/fixture.h"

#include <cstdlib>
#include <random>

namespace slipway {

Json StoreConfiguration(uint64_t bytes, const std::vector<Json>& transports) {
  Json json;
  json["plugin_path"] = {std::getenv("SLIPWAY_TEST_PLUGIN_DIR"), std::getenv("SLIPWAY_TEST_FIXTURE_DIR")};
  json["transports"] = transports;
  json["log"]["level"] = "error";
  json["memory"]["staging"] = {{"bytes", "4MiB"}, {"chunk_bytes", "1MiB"}};
  json["store"] = {{"bytes", bytes}, {"chunk_bytes", "4KiB"}, {"parallel_bytes", "64KiB"}, {"copy_threads", 2}};
  return json;
}

Json Use(const std::string& name, const Json& options) { return {{"name", name}, {"options", options}}; }

Store MakeStore(const Json& configuration) {
  Result<Store> store = Store::FromJson(configuration.dump());
  EXPECT_TRUE(store.ok()) << store.status().message();
  return store.ok() ? std::move(*store) : Store();
}

Bytes Pattern(size_t bytes, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  Bytes data(bytes);
  for (std::byte& b : data) b = static_cast<std::byte>(random() >> 8);
  return data;
}

std::string_view AsText(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::string Read(const Store& store, const std::string& key) {
  const Result<View> view = store.Get(key);
  if (!view.ok()) return std::string("[") + slipway_status_name(view.status().code()) + "]";
  return std::string(view->text());
}

namespace {

Json Parsed(const Result<std::string>& text) {
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() ? Json::parse(*text, nullptr, false) : Json();
}

}  // namespace

uint64_t CounterOf(const Store& store, const std::string& name) {
  Result<std::string> text = internal::ReadText(
      [&](char* out, size_t* len) { return slipway_engine_describe(slipway_store_engine(store.get()), out, len); });
  return Parsed(text).at("counters").at(name).get<uint64_t>();
}

bool MayPin() {
  const char* const word = std::getenv("MC_STORE_PIN_MEMORY");
  return word == nullptr || (std::string(word) != "0" && std::string(word) != "false");
}

uint64_t UsedBytes(const Store& store) { return Parsed(store.Describe()).at("used_bytes").get<uint64_t>(); }

}  // namespace slipway

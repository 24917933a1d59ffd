// The configuration is strict, and says where it is wrong.
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/plugins/tcp/harness.h"

namespace slipway::tcp {
namespace {

using Json = nlohmann::json;

struct Outcome {
  slipway_status status;
  std::string where, message;
};

Outcome Probe(const std::string& json) {
  FakeHost host;
  Failure err;
  slipway_attrs attrs{};
  attrs.struct_size = sizeof(attrs);
  const slipway_status s = Table().probe(host.table(), json.data(), json.size(), &attrs, &err);
  return {s, err.where, err.message};
}
Outcome Create(const std::string& json) {
  FakeHost host;
  Failure err;
  slipway_instance* instance = nullptr;
  const slipway_status s = Table().create(host.table(), json.data(), json.size(), &instance, &err);
  EXPECT_EQ(instance != nullptr, s == SLIPWAY_OK);
  Table().destroy(instance);
  return {s, err.where, err.message};
}

TEST(TcpConfig, SchemaNamesEveryKeyAndItsDefault) {
  const Json schema = Json::parse(kConfigSchema);
  EXPECT_EQ(schema["additionalProperties"], false);
  Json defaults = Json::object();
  for (const auto& [key, value] : schema["properties"].items()) {
    EXPECT_TRUE(value.contains("description")) << key;
    ASSERT_TRUE(value.contains("default")) << key;
    defaults[key] = value["default"];
  }
  EXPECT_EQ(Probe(defaults.dump()).status, SLIPWAY_OK);
  Config parsed;
  sdk::Error none(nullptr);
  ASSERT_EQ(ParseConfig(defaults.dump(), &parsed, none), SLIPWAY_OK);
  const Config compiled;
  EXPECT_EQ(parsed.listen, compiled.listen);
  EXPECT_EQ(parsed.advertise, compiled.advertise);
  EXPECT_EQ(parsed.peer_timeout_ms, compiled.peer_timeout_ms);
  EXPECT_EQ(parsed.connect_timeout_ms, compiled.connect_timeout_ms);
  EXPECT_EQ(parsed.handshake_timeout_ms, compiled.handshake_timeout_ms);
  EXPECT_EQ(parsed.keepalive_s, compiled.keepalive_s);
  EXPECT_EQ(parsed.max_connections, compiled.max_connections);
  EXPECT_EQ(parsed.max_inflight, compiled.max_inflight);
  EXPECT_EQ(parsed.max_requests_per_connection, compiled.max_requests_per_connection);
  EXPECT_EQ(parsed.max_slice_bytes, compiled.max_slice_bytes);
  EXPECT_EQ(parsed.preferred_slice_bytes, compiled.preferred_slice_bytes);
  EXPECT_EQ(parsed.lanes, compiled.lanes);
  EXPECT_EQ(parsed.io_threads, compiled.io_threads);
  EXPECT_EQ(parsed.congestion, compiled.congestion);
  EXPECT_EQ(parsed.socket_buffer_bytes, compiled.socket_buffer_bytes);
  EXPECT_EQ(parsed.nodelay, compiled.nodelay);
  EXPECT_EQ(parsed.busy_poll_us, compiled.busy_poll_us);
  EXPECT_EQ(parsed.poll_receives, compiled.poll_receives);
  EXPECT_EQ(parsed.inline_send_bytes, compiled.inline_send_bytes);
}

TEST(TcpConfig, EveryKeyRefusesEveryWrongType) {
  const Json schema = Json::parse(kConfigSchema);
  const std::map<std::string, Json> samples = {
      {"null", nullptr},           {"boolean", true},         {"integer", 7}, {"number", 1.5}, {"string", "x"},
      {"array", Json::array({1})}, {"object", Json::object()}};
  for (const auto& [key, value] : schema["properties"].items()) {
    for (const auto& [type, sample] : samples) {
      if (value["type"] == type && type != "array") continue;
      SCOPED_TRACE(key + " as " + type);
      const Outcome o = Probe(Json{{key, sample}}.dump());
      EXPECT_EQ(o.status, SLIPWAY_E_CONFIG);
      EXPECT_EQ(o.where.rfind("/" + key, 0), 0u) << o.where;
      EXPECT_NE(o.message, "");
    }
  }
}

TEST(TcpConfig, EveryIntegerRefusesWhatIsOutOfItsBounds) {
  const Json schema = Json::parse(kConfigSchema);
  for (const auto& [key, value] : schema["properties"].items()) {
    if (value["type"] != "integer") continue;
    const int64_t min = value["minimum"], max = value["maximum"];
    for (const int64_t wrong : {min - 1, max + 1, int64_t{-1}}) {
      const Outcome o = Probe(Json{{key, wrong}}.dump());
      EXPECT_EQ(o.status, SLIPWAY_E_CONFIG) << key << " " << wrong;
      EXPECT_EQ(o.where, "/" + key);
    }
    EXPECT_EQ(Probe(Json{{key, max}, {"max_slice_bytes", uint64_t{1} << 30}}.dump()).status, SLIPWAY_OK) << key;
  }
}

TEST(TcpConfig, UnknownKeysAndOtherJsonAreRefused) {
  EXPECT_EQ(Probe("{\"lane\": 1}").where, "/lane");
  EXPECT_EQ(Probe("{\"a/b~c\": 1}").where, "/a~1b~0c");
  for (const char* json : {"", "{", "[]", "null", "3", "\"x\"", "{}x", "{\"lanes\": 1,}"}) {
    EXPECT_EQ(Probe(json).status, SLIPWAY_E_CONFIG) << json;
  }
  EXPECT_EQ(Probe("{}").status, SLIPWAY_OK);
  EXPECT_EQ(Probe("{\"max_slice_bytes\": 8192}").status, SLIPWAY_OK);
  EXPECT_EQ(Probe("{\"max_slice_bytes\": 8192, \"preferred_slice_bytes\": 16384}").where, "/preferred_slice_bytes");
}

TEST(TcpConfig, TheTextNeedsNoTerminator) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* base = static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(base, MAP_FAILED);
  ASSERT_EQ(mprotect(base + page, page, PROT_NONE), 0);
  const std::string json = "{\"lanes\": 3}";
  char* at = base + page - json.size();
  std::memcpy(at, json.data(), json.size());
  FakeHost host;
  slipway_attrs attrs{};
  attrs.struct_size = sizeof(attrs);
  EXPECT_EQ(Table().probe(host.table(), at, json.size(), &attrs, nullptr), SLIPWAY_OK);
  munmap(base, 2 * page);
}

TEST(TcpConfig, ListenersSayWhatIsWrongWithThem) {
  Node holder;
  const InstanceAddress taken = *DecodeAddress(holder.Address());
  const Outcome in_use = Create("{\"listen\": [\"" + taken.addresses[0].ToString() + "\"]}");
  EXPECT_EQ(in_use.status, SLIPWAY_E_IO);
  EXPECT_EQ(in_use.where, "/listen/0");
  EXPECT_NE(in_use.message.find("another process has the port"), std::string::npos) << in_use.message;

  const Outcome second = Create("{\"listen\": [\"127.0.0.1:0\", \"no.such.host.invalid:1\"]}");
  EXPECT_EQ(second.status, SLIPWAY_E_CONFIG);
  EXPECT_EQ(second.where, "/listen/1");
  EXPECT_NE(second.message.find("no.such.host.invalid"), std::string::npos) << second.message;

  const Outcome foreign = Create("{\"listen\": [\"192.0.2.1:0\"]}");
  EXPECT_EQ(foreign.status, SLIPWAY_E_CONFIG);
  EXPECT_EQ(foreign.where, "/listen/0");

  for (const char* bad :
       {"127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", ":1", "[::1]", "[::1:5", "::1:5"}) {
    const Outcome o = Create("{\"listen\": [\"" + std::string(bad) + "\"]}");
    EXPECT_EQ(o.status, SLIPWAY_E_CONFIG) << bad;
    EXPECT_EQ(o.where, "/listen/0");
  }
}

TEST(TcpConfig, AdvertisedAddressesReplaceTheListeners) {
  Node node("{\"listen\": [\"0.0.0.0:0\"], \"advertise\": [\"127.0.0.1\", \"192.0.2.7:99\"]}");
  const InstanceAddress a = *DecodeAddress(node.Address());
  ASSERT_EQ(a.addresses.size(), 2u);
  EXPECT_NE(a.addresses[0].port, 0);
  EXPECT_EQ(a.addresses[1].ToString(), "192.0.2.7:99");
  Node initiator;
  initiator.Connect(node);
}

TEST(TcpConfig, AWildcardAddressNeedsAnAdvertisedOne) {
  const Outcome o = Create("{\"listen\": [\"0.0.0.0:0\"]}");
  EXPECT_EQ(o.status, SLIPWAY_E_CONFIG);
  EXPECT_EQ(o.where, "/advertise");
}

TEST(TcpConfig, MutatedTextNeverCrashes) {
  const std::string sample =
      R"({"listen": ["127.0.0.1:0", "[::1]:0"], "lanes": 4, "congestion": "reno", "nodelay": false, "max_inflight": 77})";
  std::mt19937 random(8);
  for (int i = 0; i < 2000; ++i) {
    std::string json = sample;
    for (uint32_t n = 1 + random() % 4; n > 0; --n) {
      const size_t at = random() % json.size();
      if (random() % 3 == 0) {
        json.erase(at, 1 + random() % 5);
      } else {
        json[at] = static_cast<char>(random() % 256);
      }
      if (json.empty()) json = "{";
    }
    const slipway_status s = Probe(json).status;
    ASSERT_TRUE(s == SLIPWAY_OK || s == SLIPWAY_E_CONFIG) << json;
  }
}

}  // namespace
}  // namespace slipway::tcp

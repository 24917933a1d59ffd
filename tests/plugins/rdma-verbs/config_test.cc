// The configuration, which ports it chooses, and what a machine without RDMA is told.
#include "plugins/rdma-verbs/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "plugins/rdma-verbs/device.h"
#include "plugins/rdma-verbs/queue_pair.h"
#include "plugins/rdma-verbs/transport.h"

namespace slipway::rdma {
namespace {

using Json = nlohmann::json;

struct Said : slipway_error {
  Said() : slipway_error{} { struct_size = sizeof(slipway_error); }
};

slipway_status Read(const std::string& text, Config* out, Said* said) {
  sdk::Error err(said);
  return ReadConfig(text, out, err);
}

// What a key's default is in the compiled struct, by reading the schema's default into it.
TEST(ConfigTest, TheSchemasDefaultsAreTheCompiledOnes) {
  const Json schema = Json::parse(kConfigSchema);
  Json all = Json::object();
  for (const auto& [key, value] : schema["properties"].items()) {
    if (value.contains("default")) all[key] = value["default"];
    EXPECT_TRUE(value.contains("description")) << key;
  }
  Config empty, defaults;
  Said said;
  ASSERT_EQ(Read("{}", &empty, &said), SLIPWAY_OK) << said.message;
  ASSERT_EQ(Read(all.dump(), &defaults, &said), SLIPWAY_OK) << said.where << ": " << said.message;
  EXPECT_EQ(empty.devices, defaults.devices);
  EXPECT_EQ(empty.max_devices, defaults.max_devices);
  EXPECT_EQ(empty.address_family, defaults.address_family);
  EXPECT_EQ(empty.gid_index, defaults.gid_index);
  EXPECT_EQ(empty.listen_port, defaults.listen_port);
  EXPECT_EQ(empty.peer_timeout_ms, defaults.peer_timeout_ms);
  EXPECT_EQ(empty.connect_timeout_ms, defaults.connect_timeout_ms);
  EXPECT_EQ(empty.keepalive_s, defaults.keepalive_s);
  EXPECT_EQ(empty.link_down_grace_ms, defaults.link_down_grace_ms);
  EXPECT_EQ(empty.retry_count, defaults.retry_count);
  EXPECT_EQ(empty.rnr_retry_count, defaults.rnr_retry_count);
  EXPECT_EQ(empty.max_connections, defaults.max_connections);
  EXPECT_EQ(empty.max_inflight, defaults.max_inflight);
  EXPECT_EQ(empty.max_registrations, defaults.max_registrations);
  EXPECT_EQ(empty.max_slice_bytes, defaults.max_slice_bytes);
  EXPECT_EQ(empty.on_demand_paging, defaults.on_demand_paging);
  EXPECT_EQ(empty.relaxed_ordering, defaults.relaxed_ordering);
  EXPECT_EQ(empty.dmabuf, defaults.dmabuf);
  EXPECT_EQ(empty.fork_safe, defaults.fork_safe);
  EXPECT_EQ(empty.preferred_slice_bytes, defaults.preferred_slice_bytes);
  EXPECT_EQ(empty.lanes, defaults.lanes);
  EXPECT_EQ(empty.queue_depth, defaults.queue_depth);
  EXPECT_EQ(empty.max_reads, defaults.max_reads);
  EXPECT_EQ(empty.inline_bytes, defaults.inline_bytes);
  EXPECT_EQ(empty.signal_interval, defaults.signal_interval);
  EXPECT_EQ(empty.mtu_bytes, defaults.mtu_bytes);
  EXPECT_EQ(empty.traffic_class, defaults.traffic_class);
  EXPECT_EQ(empty.completion, defaults.completion);
  EXPECT_EQ(empty.event_delay_us, defaults.event_delay_us);
}

TEST(ConfigTest, TheExampleHasEveryKeyAndItsPageExplainsThem) {
  const auto file = [](const std::string& name) {
    std::ifstream in(SLIPWAY_CONFIGS_DIR "/" + name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const Json schema = Json::parse(kConfigSchema);
  const Json whole = Json::parse(file("rdma.json"));
  Json options;
  for (const Json& t : whole["transports"]) {
    if (t["name"] == "rdma-verbs") options = t["options"];
  }
  Config example;
  Said said;
  ASSERT_EQ(Read(options.dump(), &example, &said), SLIPWAY_OK) << said.where << ": " << said.message;
  const std::string page = file("README.md");
  for (const auto& [key, value] : schema["properties"].items()) {
    EXPECT_EQ(options.contains(key), value.contains("default")) << key;
    EXPECT_NE(page.find("| `" + key + "` |"), std::string::npos) << key << " is not explained";
  }
}

TEST(ConfigTest, WhatIsWrongIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"lane": 1})", "/lane"},
      {R"({"lanes": 0})", "/lanes"},
      {R"({"lanes": "2"})", "/lanes"},
      {R"({"rnr_retry_count": 7})", "/rnr_retry_count"},  // would be without end
      {R"({"devices": "rxe0"})", "/devices"},
      {R"({"devices": ["rxe0:0"]})", "/devices"},
      {R"({"devices": [":1"]})", "/devices"},
      {R"({"devices": [1]})", "/devices/0"},
      {R"({"mtu_bytes": 1500})", "/mtu_bytes"},
      {R"({"completion": "sometimes"})", "/completion"},
      {R"({"max_slice_bytes": "1KiB"})", "/max_slice_bytes"},
      {R"({"max_slice_bytes": "1MiB", "preferred_slice_bytes": "2MiB"})", "/preferred_slice_bytes"},
  };
  for (const auto& [text, where] : cases) {
    Config c;
    Said said;
    EXPECT_EQ(Read(text, &c, &said), SLIPWAY_E_CONFIG) << text;
    EXPECT_STREQ(said.where, where) << text;
    EXPECT_STRNE(said.message, "");
  }
  Config c;
  Said said;
  EXPECT_EQ(Read(R"({"max_slice_bytes": "64KiB"})", &c, &said), SLIPWAY_OK);
  EXPECT_EQ(c.preferred_slice_bytes, 65536u);
}

TEST(ConfigTest, APeerIsGivenUpWithinItsTime) {
  for (const uint32_t timeout_ms : {100u, 1500u, 5000u, 60000u, 3600000u}) {
    const double time_ms = timeout_ms, give_up_ms = static_cast<double>(GiveUpNs(timeout_ms)) / 1e6;
    EXPECT_LE(give_up_ms + static_cast<double>(FlushNs(timeout_ms)) / 1e6, time_ms * 7 / 8)
        << "the rest is for taking down";
    for (const uint32_t retries : {0u, 1u, 6u, 7u}) {
      for (const bool software : {false, true}) {
        Config c;
        c.peer_timeout_ms = timeout_ms;
        c.retry_count = retries;
        const auto [t, count] = AckTimerOf(c, software);
        // In software 7 are without end.
        EXPECT_EQ(count, software ? std::min(retries, 6u) : retries);
        EXPECT_GE(t, 8);
        EXPECT_LE(t, 30);
        // A device may take four times as long as it was told.
        const double longest_ms = (software ? 1 : 4) * 4096e-6 * static_cast<double>(uint64_t{1} << t) * (count + 1);
        EXPECT_TRUE(t == 8 || longest_ms <= give_up_ms) << longest_ms;
        EXPECT_TRUE(t == 30 || t == 8 || longest_ms * 2 > give_up_ms) << "shorter than it might be: " << longest_ms;
      }
    }
  }
}

// ---- ports ---------------------------------------------------------------------------------------------------------

SocketAddress Address(uint8_t last, uint8_t family = 4) {
  SocketAddress a;
  a.family = family;
  a.bytes[family == 4 ? 3 : 15] = last;
  return a;
}
PortFacts Port(const std::string& device, uint32_t number, int32_t numa, uint8_t last, bool active = true) {
  PortFacts p{device, number, numa, active, active ? "PORT_ACTIVE" : "PORT_DOWN", {}};
  p.gids.push_back({1, GidFacts::Type::kRoceV1, Address(static_cast<uint8_t>(last + 100))});
  p.gids.push_back({2, GidFacts::Type::kRoceV2, Address(last, 6)});
  p.gids.push_back({3, GidFacts::Type::kRoceV2, Address(last)});
  return p;
}

struct Choosing {
  Config config;
  std::vector<PortFacts> ports = {Port("a", 1, 1, 1), Port("b", 1, 0, 2, false), Port("b", 2, 0, 3),
                                  Port("c", 1, 0, 4)};
  int32_t numa = 0;
  Said said;
  std::vector<PortChoice> chosen;

  slipway_status Choose() {
    sdk::Error err(&said);
    return ChoosePorts(config, ports, numa, &chosen, err);
  }
  std::string Names() {
    std::string out;
    for (const PortChoice& c : chosen) out += ports[c.port].device + ":" + std::to_string(ports[c.port].port) + " ";
    return out;
  }
};

TEST(Ports, TheNearestActiveOnesAreChosen) {
  Choosing c;
  ASSERT_EQ(c.Choose(), SLIPWAY_OK);
  EXPECT_EQ(c.Names(), "b:2 ");
  EXPECT_EQ(c.chosen[0].address, Address(3)) << "RoCE v2 and IPv4 come first";
  c.config.max_devices = 8;
  ASSERT_EQ(c.Choose(), SLIPWAY_OK);
  EXPECT_EQ(c.Names(), "b:2 c:1 a:1 ");
  c.numa = 1;
  ASSERT_EQ(c.Choose(), SLIPWAY_OK);
  EXPECT_EQ(c.Names(), "a:1 b:2 c:1 ");
}

TEST(Ports, NamedOnesAreTakenInTheirOrder) {
  Choosing c;
  c.config.devices = {"c", "b", "a:1"};
  ASSERT_EQ(c.Choose(), SLIPWAY_OK);
  EXPECT_EQ(c.Names(), "c:1 b:2 a:1 ") << "of b, the port that is up";
}

TEST(Ports, WhatCannotBeUsedIsSaid) {
  Choosing c;
  c.config.devices = {"d"};
  EXPECT_EQ(c.Choose(), SLIPWAY_E_CONFIG);
  EXPECT_STREQ(c.said.where, "/devices/0");
  EXPECT_NE(std::string(c.said.message).find("c:1 (PORT_ACTIVE)"), std::string::npos) << c.said.message;
  c.config.devices = {"b:1"};
  EXPECT_EQ(c.Choose(), SLIPWAY_E_DEVICE);
  EXPECT_NE(std::string(c.said.message).find("PORT_DOWN"), std::string::npos) << c.said.message;
  c.config.devices = {"a", "a"};
  EXPECT_EQ(c.Choose(), SLIPWAY_E_CONFIG);
  c.config.devices = {"a"};
  c.config.gid_index = 9;
  EXPECT_EQ(c.Choose(), SLIPWAY_E_DEVICE);
  c.config.gid_index = 1;
  ASSERT_EQ(c.Choose(), SLIPWAY_OK);
  EXPECT_EQ(c.chosen[0].address, Address(101));
  c.config.gid_index = Config::kAnyGid;
  c.config.address_family = Config::AddressFamily::kIpv6;
  ASSERT_EQ(c.Choose(), SLIPWAY_OK);
  EXPECT_EQ(c.chosen[0].address, Address(1, 6));
  c.config.devices.clear();
  c.ports = {Port("b", 1, 0, 2, false)};
  EXPECT_EQ(c.Choose(), SLIPWAY_E_DEVICE);
  c.ports.clear();
  EXPECT_EQ(c.Choose(), SLIPWAY_E_DEVICE);
  EXPECT_NE(std::string(c.said.message).find("no RDMA device"), std::string::npos);
}

// ---- a machine without ---------------------------------------------------------------------------------------------

TEST(Without, ALibraryThatIsNotThereIsNamed) {
  Verbs verbs;
  Said said;
  sdk::Error err(&said);
  EXPECT_EQ(verbs.LoadFrom("libno-such-verbs.so.1", "librdmacm.so.1", err), SLIPWAY_E_UNSUPPORTED);
  EXPECT_NE(std::string(said.message).find("libno-such-verbs.so.1"), std::string::npos) << said.message;
  EXPECT_NE(std::string(said.message).find("install"), std::string::npos);
  EXPECT_EQ(verbs.create_qp, nullptr);
}

TEST(Without, ALibraryThatLacksAFunctionIsNamed) {
  Verbs verbs;
  Said said;
  sdk::Error err(&said);
  EXPECT_EQ(verbs.LoadFrom("libc.so.6", "libc.so.6", err), SLIPWAY_E_UNSUPPORTED);
  EXPECT_NE(std::string(said.message).find("ibv_get_device_list"), std::string::npos) << said.message;
}

// Wherever this runs, probing says yes or why not, and leaves nothing.
TEST(Without, ProbingSaysWhatIsMissing) {
  slipway_host table{};
  table.struct_size = sizeof(table);
  Said said;
  sdk::Error err(&said);
  slipway_attrs attrs = sdk::DefaultAttrs(RdmaTransport::kInfo);
  const slipway_status s = RdmaTransport::Probe(sdk::Host(&table), "{}", attrs, err);
  if (s == SLIPWAY_OK) {
    EXPECT_GE(attrs.pins_per_reg, 1u);
  } else {
    EXPECT_TRUE(s == SLIPWAY_E_UNSUPPORTED || s == SLIPWAY_E_DEVICE) << s;
    EXPECT_STRNE(said.message, "");
  }
}

}  // namespace
}  // namespace slipway::rdma

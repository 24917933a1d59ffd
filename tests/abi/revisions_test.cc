// Programs of different minors together. This file is built twice, as a core of today (abi_revisions_test) and as one
// of a minor to come (abi_later_core_test), and both load plugins of revision 1.0, of today and of a minor to come with
// the real loader, and move bytes through them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/loader/host.h"
#include "core/loader/registry.h"
#include "tests/abi/boxed.h"

namespace slipway::abi {
namespace {

class SilentLogger : public Logger {
 public:
  LogLevel level() const override { return LogLevel::kError; }
  void Write(LogLevel, std::string_view) override {}
};

struct Subject {
  const char* folder;  // below the folder of this test's plugins
  const char* plugin;
  size_t extra;  // bytes that the core's structs are longer than this program knows
};

std::string NameOf(const testing::TestParamInfo<Subject>& info) {
  std::string name =
      std::string(info.param.folder) + "_" + info.param.plugin + "_plus" + std::to_string(info.param.extra);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

class RevisionsTest : public testing::TestWithParam<Subject> {
 protected:
  static constexpr uint32_t kPieces = 4;
  static constexpr uint64_t kPieceBytes = 1000;

  RevisionsTest()
      : registry_({std::string(std::getenv("SLIPWAY_TEST_ABI_DIR")) + "/" + GetParam().folder}),
        services_("test", logger_, SystemClock()),
        host_table_(services_),
        host_(extra(), *host_table_.table()) {}

  size_t extra() const { return GetParam().extra; }

  void SetUp() override {
    const Result<const LoadedPlugin*> loaded = registry_.Load(GetParam().plugin);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    t_ = (*loaded)->descriptor->transports[0];
    ASSERT_EQ(Create("{}", &source_), SLIPWAY_OK) << error_->message;
    ASSERT_EQ(Create("{}", &target_), SLIPWAY_OK) << error_->message;
  }
  void TearDown() override {
    if (target_ != nullptr) t_->destroy(target_);
    if (source_ != nullptr) t_->destroy(source_);
    EXPECT_TRUE(host_.TailUntouched());
    EXPECT_TRUE(error_.TailUntouched());
  }

  slipway_status Create(const std::string& json, slipway_instance** out) {
    return t_->create(host_.get(), json.data(), json.size(), out, error_.get());
  }

  slipway_mr* Register(slipway_instance* instance, void* addr, uint64_t length) {
    Boxed<slipway_range> range = Range(addr, length);
    slipway_mr* mr = nullptr;
    EXPECT_EQ(t_->register_memory(instance, range.get(), &mr, error_.get()), SLIPWAY_OK) << error_->message;
    EXPECT_TRUE(range.TailUntouched());
    return mr;
  }
  Boxed<slipway_range> Range(void* addr, uint64_t length) const {
    slipway_range r{};
    r.access = SLIPWAY_ACCESS_ALL;
    r.addr = addr;
    r.length = length;
    r.mem_kind = SLIPWAY_MEM_HOST;
    r.device_ordinal = r.dmabuf_fd = -1;
    return Boxed<slipway_range>(extra(), r);
  }
  template <typename Export>
  std::string Exported(Export&& fill) {
    size_t length = 0;
    EXPECT_EQ(fill(nullptr, &length), SLIPWAY_E_BUFFER_TOO_SMALL);
    const GuardedBytes bytes(length);
    EXPECT_EQ(fill(bytes.data(), &length), SLIPWAY_OK) << error_->message;
    return std::string(bytes.data(), length);
  }
  // From the source to what is registered at the target.
  slipway_remote* Reach(slipway_mr* mr) {
    const std::string address =
        Exported([&](void* buf, size_t* length) { return t_->export_address(target_, buf, length, error_.get()); });
    const std::string blob =
        Exported([&](void* buf, size_t* length) { return t_->export_mr(target_, mr, buf, length, error_.get()); });
    slipway_peer* peer = nullptr;
    EXPECT_EQ(t_->connect(source_, address.data(), address.size(), &peer, error_.get()), SLIPWAY_OK) << error_->message;
    slipway_remote* remote = nullptr;
    EXPECT_EQ(t_->peer_ready(peer, error_.get()), SLIPWAY_OK) << error_->message;
    EXPECT_EQ(t_->import_mr(peer, blob.data(), blob.size(), &remote, error_.get()), SLIPWAY_OK) << error_->message;
    return remote;
  }

  // Moves `local` in pieces, as one submission, and polls them one at a time.
  void Move(uint32_t op, char* local, slipway_mr* mr, slipway_remote* remote) {
    Spaced<slipway_slice> slices(kPieces, extra());
    for (uint32_t i = 0; i < kPieces; ++i) {
      slices[i] = {};
      slices[i].token = 100 + i;
      slices[i].op = op;
      slices[i].local_addr = local + i * kPieceBytes;
      slices[i].length = kPieceBytes;
      slices[i].local_mr = mr;
      slices[i].remote = remote;
      slices[i].remote_offset = i * kPieceBytes;
    }
    uint32_t accepted = 0;
    ASSERT_EQ(t_->submit(channel_, slices.get(), slices.stride(), kPieces, &accepted, error_.get()), SLIPWAY_OK)
        << error_->message;
    ASSERT_EQ(accepted, kPieces);
    for (uint32_t done = 0, polls = 0; done < kPieces; ++polls) {
      ASSERT_LT(polls, 100000u);
      Spaced<slipway_completion> completions(1, extra());
      uint32_t n = 0;
      ASSERT_EQ(t_->poll(channel_, completions.get(), completions.stride(), 1, &n), SLIPWAY_OK);
      EXPECT_TRUE(completions.TailsUntouched());
      if (n == 0) continue;
      EXPECT_EQ(completions[0].token, 100 + done++);
      EXPECT_EQ(completions[0].status, SLIPWAY_OK);
      EXPECT_EQ(completions[0].bytes, kPieceBytes);
    }
    EXPECT_TRUE(slices.TailsUntouched());
  }

  PluginRegistry registry_;
  SilentLogger logger_;
  BasicHostServices services_;
  HostTable host_table_;
  Boxed<slipway_host> host_;
  Boxed<slipway_error> error_{extra()};
  const slipway_transport* t_ = nullptr;
  slipway_instance *source_ = nullptr, *target_ = nullptr;
  slipway_channel* channel_ = nullptr;
};

TEST_P(RevisionsTest, BytesMove) {
  std::vector<char> near(kPieces * kPieceBytes), far(near.size());
  slipway_mr* const near_mr = Register(source_, near.data(), near.size());
  slipway_mr* const far_mr = Register(target_, far.data(), far.size());
  slipway_remote* const remote = Reach(far_mr);
  ASSERT_EQ(t_->channel_open(source_, this, &channel_, error_.get()), SLIPWAY_OK) << error_->message;

  for (size_t i = 0; i < near.size(); ++i) near[i] = static_cast<char>(i * 7);
  const std::vector<char> sent = near;
  Move(SLIPWAY_OP_WRITE, near.data(), near_mr, remote);
  EXPECT_EQ(far, sent);
  near.assign(near.size(), 0);
  Move(SLIPWAY_OP_READ, near.data(), near_mr, remote);
  EXPECT_EQ(near, sent);

  EXPECT_EQ(t_->channel_close(channel_), SLIPWAY_OK);
  EXPECT_EQ(t_->release_remote(remote), SLIPWAY_OK);
  EXPECT_EQ(t_->deregister_memory(source_, near_mr), SLIPWAY_OK);
  EXPECT_EQ(t_->deregister_memory(target_, far_mr), SLIPWAY_OK);
}

TEST_P(RevisionsTest, AttributesFillWhatTheCallerKnows) {
  Boxed<slipway_attrs> attrs(extra()), probed(extra());
  ASSERT_EQ(t_->get_attrs(source_, attrs.get()), SLIPWAY_OK);
  ASSERT_EQ(t_->probe(host_.get(), "{}", 2, probed.get(), error_.get()), SLIPWAY_OK) << error_->message;
  for (Boxed<slipway_attrs>* a : {&attrs, &probed}) {
    EXPECT_EQ((*a)->struct_size, sizeof(slipway_attrs) + extra());
    EXPECT_EQ((*a)->caps & ~t_->caps, 0u);
    EXPECT_GT((*a)->max_slice_bytes, 0u);
    EXPECT_NE((*a)->device[0], '\0');
  }
}

TEST_P(RevisionsTest, QueriesFillWhatTheCallerKnows) {
  char memory[256];
  slipway_mr* const mr = Register(source_, memory, sizeof(memory));
  Boxed<slipway_range> range = Range(memory, sizeof(memory));
  Boxed<slipway_reg_info> info(extra());
  ASSERT_EQ(t_->query_registered(source_, range.get(), info.get()), SLIPWAY_OK);
  EXPECT_EQ(info->struct_size, sizeof(slipway_reg_info) + extra());
  EXPECT_EQ(info->state, static_cast<uint32_t>(SLIPWAY_REG_FULL));
  EXPECT_EQ(info->prefix_bytes, sizeof(memory));
  EXPECT_EQ(info->mr, mr);
  EXPECT_TRUE(range.TailUntouched());
}

TEST_P(RevisionsTest, ErrorsAreTold) {
  slipway_instance* none = nullptr;
  EXPECT_EQ(Create(R"({"no-such-key": 1})", &none), SLIPWAY_E_CONFIG);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(error_->code, SLIPWAY_E_CONFIG);
  EXPECT_STREQ(error_->where, "/no-such-key");
  EXPECT_EQ(Create("[]", &none), SLIPWAY_E_CONFIG);
}

// A caller may know less of an error than revision 1.0 had in the same field group: what it does not cover stays.
TEST_P(RevisionsTest, AnErrorThatOnlyHasACodeGetsACode) {
  constexpr uint32_t kUpToCode = offsetof(slipway_error, code) + sizeof(slipway_status);
  const GuardedBytes bytes(kUpToCode);
  std::memcpy(bytes.data(), &kUpToCode, sizeof(kUpToCode));
  slipway_error* const error = reinterpret_cast<slipway_error*>(bytes.data());
  slipway_instance* none = nullptr;
  EXPECT_EQ(t_->create(host_.get(), "[]", 2, &none, error), SLIPWAY_E_CONFIG);
  EXPECT_EQ(error->code, SLIPWAY_E_CONFIG);
}

INSTANTIATE_TEST_SUITE_P(Minors, RevisionsTest,
                         testing::Values(Subject{"v1.0", "sample-loopback", 0}, Subject{"v1.0", "sample-loopback", 64},
                                         Subject{"today", "sample-loopback", 0},
                                         Subject{"today", "sample-loopback", 64},
                                         Subject{"later", "sample-loopback", 0},
                                         Subject{"later", "sample-loopback", 64}, Subject{"today", "fake", 0},
                                         Subject{"today", "fake", 64}, Subject{"later", "fake", 0},
                                         Subject{"later", "fake", 64}),
                         NameOf);

TEST(BoxedDeathTest, WhoReadsPastTheEndDies) {
  Boxed<slipway_range> range(8);
  const volatile char* const end = reinterpret_cast<const char*>(range.get()) + sizeof(slipway_range) + 8;
  EXPECT_DEATH(static_cast<void>(*end), "");
  EXPECT_TRUE(range.TailUntouched());
  const_cast<volatile char*>(end)[-1] = 0;
  EXPECT_FALSE(range.TailUntouched());
}

}  // namespace
}  // namespace slipway::abi

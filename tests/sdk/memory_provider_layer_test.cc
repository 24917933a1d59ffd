// The authoring layer of memory providers, called through the C table with arguments of every kind of wrong, structs
// shorter than its own, and an author's code that throws.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <stdexcept>

#include "slipway/sdk/memory_provider_plugin.hpp"
#include "tests/support/plugin_driver.h"

namespace slipway::sdk {
namespace {

using test::EmptyError;
using test::TestHost;

constexpr uint64_t kKind = SLIPWAY_MEM_ROCM;
constexpr uint64_t kPage = 65536;  // whole pages everywhere

// What the author's code does next; one test at a time.
struct Script {
  enum Mood { kWork, kThrowNoMemory, kThrowLogic, kRefuse, kMakeNothing } mood = kWork;
  uint32_t room = 1000;
  int alive = 0;
  std::set<uintptr_t> pinned;
};
Script g_script;

slipway_status Act() {
  if (g_script.mood == Script::kThrowNoMemory) throw std::bad_alloc();
  if (g_script.mood == Script::kThrowLogic) throw std::logic_error("the author's own words");
  return g_script.mood == Script::kRefuse ? SLIPWAY_E_PIN_LIMIT : SLIPWAY_OK;
}
template <typename T>
struct Counted : T {
  template <typename... Args>
  explicit Counted(Args&&... args) : T(std::forward<Args>(args)...) {
    ++g_script.alive;
  }
  ~Counted() override { --g_script.alive; }
};

// Completes what it accepts at the next poll.
struct EchoQueue : CopyQueue {
  EchoQueue() : CopyQueue(4) {}
  slipway_status Submit(const Copies& pieces, uint32_t& accepted, Error&) override {
    const slipway_status s = Act();
    for (; accepted < pieces.size() && accepted < g_script.room; ++accepted) tokens.push_back(pieces[accepted].token);
    return s;
  }
  slipway_status SubmitGroup(uint64_t token, const Copies& pieces, uint32_t& accepted, Error&) override {
    ++groups;
    const slipway_status s = Act();
    accepted = std::min(pieces.size(), g_script.room);
    if (accepted > 0) tokens.push_back(token);
    return s;
  }
  slipway_status Poll(Completions& out) override {
    for (; !tokens.empty() && !out.full(); tokens.pop_back()) out.Put(tokens.back(), SLIPWAY_OK, 1);
    return SLIPWAY_OK;
  }
  std::vector<uint64_t> tokens;
  int groups = 0;  // calls
};
struct EchoProvider : ProviderInstance {
  explicit EchoProvider(Host host) : ProviderInstance(host, kKind) {}
  void Stop() noexcept override {}
  slipway_status Classify(const void* addr, uint64_t, slipway_mem_info& out) override {
    if (addr == nullptr) return Act();
    out.mem_kind = kKind;
    out.device_ordinal = 3;
    out.allocation_id = 77;
    return SLIPWAY_OK;
  }
  slipway_status OpenQueue(void*, std::unique_ptr<CopyQueue>& out, Error&) override {
    const slipway_status s = Act();
    if (g_script.mood == Script::kWork) out = std::make_unique<Counted<EchoQueue>>();
    return s;
  }
  slipway_status PinHost(void* addr, uint64_t, std::unique_ptr<HostPin>& out, Error&) override {
    const slipway_status s = Act();
    if (g_script.mood != Script::kWork) return s;
    g_script.pinned.insert(reinterpret_cast<uintptr_t>(addr));
    out = std::make_unique<Counted<HostPin>>();
    return SLIPWAY_OK;
  }
  slipway_status UnpinHost(HostPin& pin, Error&) override {
    if (const slipway_status s = Act(); s != SLIPWAY_OK) return s;
    g_script.pinned.erase(pin.start());
    return SLIPWAY_OK;
  }
};
struct Echo : MemoryProvider {
  static constexpr ProviderInfo kInfo = {"echo", "1", "v", "d", nullptr, kKind};
  static constexpr bool kPinsHost = true;
  static slipway_status Probe(Host, std::string_view, Error&) { return Act(); }
  static slipway_status Create(Host host, std::string_view, std::unique_ptr<ProviderInstance>& out, Error&) {
    const slipway_status s = Act();
    if (g_script.mood == Script::kWork) out = std::make_unique<Counted<EchoProvider>>(host);
    return s;
  }
};
struct Plain : Echo {
  static constexpr bool kPinsHost = false, kExportsDmabuf = true;
  static const void* GetExtension(std::string_view id) { return id == "x/1" ? &kInfo : nullptr; }
};

class ProviderLayerTest : public testing::Test {
 protected:
  void SetUp() override {
    g_script = {};
    ASSERT_EQ(t_.create(host_.table(), "{}", 2, &provider_, nullptr), SLIPWAY_OK);
  }
  void TearDown() override {
    g_script.mood = Script::kWork;
    t_.destroy(provider_);
    EXPECT_EQ(g_script.alive, 0) << "objects left after destroy";
    EXPECT_TRUE(g_script.pinned.empty()) << "ranges left pinned after destroy";
  }
  static char* At(uint64_t page) { return reinterpret_cast<char*>(kPage * (page + 1)); }
  slipway_status Pin(char* addr, uint64_t length, slipway_pin** out = nullptr) {
    slipway_pin* pin = nullptr;
    error_ = EmptyError();
    return t_.pin_host(provider_, addr, length, out != nullptr ? out : &pin, &error_);
  }
  slipway_status Unpin(slipway_pin* pin) { return t_.unpin_host(provider_, pin, &error_); }
  slipway_copy Piece(uint64_t token) { return {token, memory_, memory_ + 32, 8, kKind, SLIPWAY_MEM_HOST}; }
  slipway_status Submit(const std::vector<slipway_copy>& pieces, uint32_t* accepted) {
    error_ = EmptyError();
    return t_.copy_submit(queue_, pieces.data(), sizeof(slipway_copy), uint32_t(pieces.size()), accepted, &error_);
  }
  slipway_status Group(uint64_t token, const std::vector<slipway_copy>& pieces, uint32_t* accepted) {
    error_ = EmptyError();
    return kGroupTable.submit(queue_, token, pieces.data(), sizeof(slipway_copy), uint32_t(pieces.size()), accepted,
                              &error_);
  }
  EchoQueue& queue() const { return static_cast<EchoQueue&>(*AsCopyQueue(queue_)); }
  void OpenQueue() { ASSERT_EQ(t_.queue_open(provider_, this, &queue_, nullptr), SLIPWAY_OK); }

  const slipway_memory_provider& t_ = detail::kProviderTable<Echo>;
  TestHost host_;
  slipway_error error_ = EmptyError();
  slipway_provider* provider_ = nullptr;
  slipway_copy_queue* queue_ = nullptr;
  char memory_[64] = {};
};

TEST_F(ProviderLayerTest, OptionalEntriesAreThereWhereTheAuthorHasThem) {
  EXPECT_NE(t_.pin_host, nullptr);
  EXPECT_NE(t_.unpin_host, nullptr);
  EXPECT_EQ(t_.export_dmabuf, nullptr);
  EXPECT_EQ(t_.get_extension, nullptr);
  const slipway_memory_provider& plain = detail::kProviderTable<Plain>;
  EXPECT_EQ(plain.pin_host, nullptr);
  EXPECT_EQ(plain.unpin_host, nullptr);
  EXPECT_NE(plain.export_dmabuf, nullptr);
  EXPECT_EQ(plain.get_extension("x/1"), &Plain::kInfo);
  EXPECT_EQ(plain.get_extension(nullptr), nullptr);
}

TEST_F(ProviderLayerTest, WhatIsNotItsOwnIsSaidInTheKindAlone) {
  slipway_mem_info info{sizeof(info), -77, 5, nullptr, 9, 9};
  ASSERT_EQ(t_.classify(provider_, nullptr, 0, &info), SLIPWAY_OK);
  EXPECT_EQ(info.mem_kind, 0u);
  EXPECT_EQ(info.device_ordinal, -77);
  ASSERT_EQ(t_.classify(provider_, memory_, 1, &info), SLIPWAY_OK);
  EXPECT_EQ(info.mem_kind, kKind);
  EXPECT_EQ(info.device_ordinal, 3);
  EXPECT_EQ(info.allocation_id, 77u);
}

TEST_F(ProviderLayerTest, AShorterCallersInfoIsFilledAsFarAsItReaches) {
  slipway_mem_info info{offsetof(slipway_mem_info, base), -77, 5, this, 9, 9};
  ASSERT_EQ(t_.classify(provider_, memory_, 1, &info), SLIPWAY_OK);
  EXPECT_EQ(info.mem_kind, kKind);
  EXPECT_EQ(info.base, this);
  EXPECT_EQ(info.allocation_id, 9u);
  info.struct_size = 8;
  EXPECT_EQ(t_.classify(provider_, memory_, 1, &info), SLIPWAY_E_INVALID);
}

TEST_F(ProviderLayerTest, PinsAreWholePagesAndDoNotOverlap) {
  EXPECT_EQ(Pin(At(0) + 1, kPage), SLIPWAY_E_INVALID);
  EXPECT_EQ(Pin(At(0), kPage - 1), SLIPWAY_E_INVALID);
  EXPECT_EQ(Pin(At(0), 0), SLIPWAY_E_INVALID);
  EXPECT_EQ(Pin(nullptr, kPage), SLIPWAY_E_INVALID);
  EXPECT_EQ(Pin(At(0), 0 - kPage), SLIPWAY_E_INVALID);
  slipway_pin *first = nullptr, *second = nullptr;
  ASSERT_EQ(Pin(At(2), 2 * kPage, &first), SLIPWAY_OK);
  EXPECT_EQ(Pin(At(1), 2 * kPage), SLIPWAY_E_BUSY);
  EXPECT_EQ(Pin(At(3), kPage), SLIPWAY_E_BUSY);
  EXPECT_EQ(Pin(At(0), 8 * kPage), SLIPWAY_E_BUSY);
  ASSERT_EQ(Pin(At(4), kPage, &second), SLIPWAY_OK) << "touching is not overlapping";
  EXPECT_EQ(Pin(At(1), kPage), SLIPWAY_OK);
  EXPECT_EQ(Unpin(first), SLIPWAY_OK);
  EXPECT_EQ(Pin(At(2), 2 * kPage), SLIPWAY_OK);
}

TEST_F(ProviderLayerTest, APinIsLetGoOnceAndOnlyByItsOwner) {
  slipway_pin* pin = nullptr;
  ASSERT_EQ(Pin(At(0), kPage, &pin), SLIPWAY_OK);
  slipway_provider* other = nullptr;
  ASSERT_EQ(t_.create(host_.table(), "{}", 2, &other, nullptr), SLIPWAY_OK);
  EXPECT_EQ(t_.unpin_host(other, pin, nullptr), SLIPWAY_E_INVALID);
  t_.destroy(other);
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
  EXPECT_EQ(Unpin(pin), SLIPWAY_E_INVALID);
  EXPECT_EQ(Unpin(nullptr), SLIPWAY_E_INVALID);
}

TEST_F(ProviderLayerTest, ARefusedPinLeavesNothingAndARefusedUnpinEverything) {
  slipway_pin* pin = nullptr;
  g_script.mood = Script::kRefuse;
  EXPECT_EQ(Pin(At(0), kPage), SLIPWAY_E_PIN_LIMIT);
  g_script.mood = Script::kMakeNothing;
  EXPECT_EQ(Pin(At(0), kPage), SLIPWAY_E_INTERNAL);
  g_script.mood = Script::kWork;
  ASSERT_EQ(Pin(At(0), kPage, &pin), SLIPWAY_OK);
  g_script.mood = Script::kRefuse;
  EXPECT_EQ(Unpin(pin), SLIPWAY_E_PIN_LIMIT);
  g_script.mood = Script::kWork;
  EXPECT_EQ(Pin(At(0), kPage), SLIPWAY_E_BUSY) << "still pinned";
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
}

TEST_F(ProviderLayerTest, ExceptionsBecomeStatuses) {
  g_script.mood = Script::kThrowNoMemory;
  EXPECT_EQ(Pin(At(0), kPage), SLIPWAY_E_NOMEM);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  slipway_mem_info info{sizeof(info), 0, 0, nullptr, 0, 0};
  EXPECT_EQ(t_.classify(provider_, nullptr, 0, &info), SLIPWAY_E_NOMEM);
  g_script.mood = Script::kThrowLogic;
  EXPECT_EQ(t_.queue_open(provider_, nullptr, &queue_, &error_), SLIPWAY_E_INTERNAL);
  EXPECT_STREQ(error_.message, "the author's own words");
  EXPECT_EQ(t_.probe(host_.table(), "{}", 2, &error_), SLIPWAY_E_INTERNAL);
}

TEST_F(ProviderLayerTest, ABadPieceIsToldOnlyWhenThoseBeforeItWereTaken) {
  OpenQueue();
  uint32_t accepted = 9;
  std::vector<slipway_copy> pieces = {Piece(1), Piece(2), Piece(3)};
  const auto refused = [&](void (*spoil)(slipway_copy&)) {
    pieces[1] = Piece(2);
    spoil(pieces[1]);
    g_script.room = 0;
    EXPECT_EQ(Submit(pieces, &accepted), SLIPWAY_E_AGAIN) << "the first could not be taken";
    g_script.room = 1000;
    const slipway_status s = Submit(pieces, &accepted);
    EXPECT_EQ(accepted, s == SLIPWAY_OK ? 3u : 1u);
    slipway_completion done[4];
    uint32_t n = 0;
    EXPECT_EQ(t_.copy_poll(queue_, done, sizeof(done[0]), 4, &n), SLIPWAY_OK);
    return s;
  };
  EXPECT_EQ(refused([](slipway_copy& c) { c.dst_kind = SLIPWAY_MEM_HOST; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_copy& c) { c.src_kind = 3; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_copy& c) { c.src_kind = SLIPWAY_MEM_CUDA; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_copy& c) { c.dst = nullptr; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_copy& c) { c.length = UINT64_MAX; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_copy& c) { c.length = 0, c.dst = nullptr; }), SLIPWAY_OK) << "nothing to copy";
}

TEST_F(ProviderLayerTest, TheLayerCountsWhatIsInFlight) {
  OpenQueue();
  uint32_t accepted = 0, n = 0;
  EXPECT_EQ(Submit({Piece(1), Piece(2), Piece(3), Piece(4), Piece(5)}, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 4u);
  EXPECT_EQ(Submit({Piece(5)}, &accepted), SLIPWAY_E_AGAIN);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  EXPECT_EQ(t_.queue_close(queue_), SLIPWAY_E_BUSY);
  slipway_completion done[8];
  EXPECT_EQ(t_.copy_poll(queue_, done, sizeof(done[0]), 8, &n), SLIPWAY_OK);
  EXPECT_EQ(n, 4u);
  EXPECT_EQ(t_.queue_close(queue_), SLIPWAY_OK);
}

TEST_F(ProviderLayerTest, AGroupIsOneCallOfTheAuthorsAndOneCompletion) {
  OpenQueue();
  uint32_t accepted = 9;
  const std::vector<slipway_copy> pieces(3000, Piece(7));
  ASSERT_EQ(Group(1, pieces, &accepted), SLIPWAY_OK) << "many more than may be in flight";
  EXPECT_EQ(accepted, 1000u) << "a prefix, as the queue had room";
  EXPECT_EQ(queue().groups, 1);
  ASSERT_EQ(Group(2, {Piece(7)}, &accepted), SLIPWAY_OK);
  ASSERT_EQ(kGroupTable.submit(queue_, 3, pieces.data(), sizeof(slipway_copy), 0, &accepted, nullptr), SLIPWAY_OK);
  EXPECT_EQ(accepted, 0u);
  EXPECT_EQ(t_.queue_close(queue_), SLIPWAY_E_BUSY);
  // Each counts as one: there is room for two more of four.
  ASSERT_EQ(Submit({Piece(4), Piece(5), Piece(6)}, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 2u);
  EXPECT_EQ(Group(7, {Piece(0)}, &accepted), SLIPWAY_E_AGAIN);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  EXPECT_EQ(accepted, 0u);
  slipway_completion out[8];
  uint32_t n = 0;
  ASSERT_EQ(t_.copy_poll(queue_, out, sizeof(out[0]), 8, &n), SLIPWAY_OK);
  std::set<uint64_t> tokens;
  for (uint32_t i = 0; i < n; ++i) tokens.insert(out[i].token);
  EXPECT_EQ(tokens, (std::set<uint64_t>{1, 2, 4, 5}));
  EXPECT_EQ(t_.queue_close(queue_), SLIPWAY_OK);
}

TEST_F(ProviderLayerTest, ABadPieceOfAGroupEndsItBeforeAndIsTold) {
  OpenQueue();
  uint32_t accepted = 9;
  std::vector<slipway_copy> pieces = {Piece(1), Piece(2), Piece(3)};
  pieces[2].src_kind = SLIPWAY_MEM_CUDA;
  EXPECT_EQ(Group(1, pieces, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 2u) << "the others are a group";
  pieces[0].dst = nullptr;
  EXPECT_EQ(Group(2, pieces, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 0u);
  pieces[0] = Piece(1);
  g_script.room = 1;
  EXPECT_EQ(Group(3, pieces, &accepted), SLIPWAY_OK) << "what was not reached is not told of";
  EXPECT_EQ(accepted, 1u);
  g_script.room = 0;
  EXPECT_EQ(Group(4, pieces, &accepted), SLIPWAY_E_AGAIN);
  g_script.mood = Script::kThrowNoMemory;
  EXPECT_EQ(Group(5, {Piece(1)}, &accepted), SLIPWAY_E_NOMEM);
  EXPECT_EQ(accepted, 0u);
  g_script.mood = Script::kWork;
  const slipway_copy piece = Piece(1);
  EXPECT_EQ(kGroupTable.submit(queue_, 6, &piece, 8, 1, &accepted, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(kGroupTable.submit(queue_, 6, nullptr, sizeof(piece), 1, &accepted, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(kGroupTable.submit(queue_, 6, &piece, sizeof(piece), 1, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(kGroupTable.submit(nullptr, 6, &piece, sizeof(piece), 1, &accepted, nullptr), SLIPWAY_E_INVALID);
  slipway_completion out[8];
  uint32_t n = 0;
  ASSERT_EQ(t_.copy_poll(queue_, out, sizeof(out[0]), 8, &n), SLIPWAY_OK);
  EXPECT_EQ(n, 2u) << "of those with a piece accepted";
  EXPECT_EQ(t_.queue_close(queue_), SLIPWAY_OK);
}

TEST_F(ProviderLayerTest, NullsAreRefused) {
  OpenQueue();
  uint32_t n = 0;
  slipway_copy piece = Piece(1);
  slipway_completion done;
  EXPECT_EQ(t_.create(host_.table(), nullptr, 0, &provider_, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.create(nullptr, "{}", 2, &provider_, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.create(host_.table(), "{}", 2, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.probe(nullptr, "{}", 2, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.classify(provider_, memory_, 1, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.pin_host(provider_, At(0), kPage, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.queue_open(provider_, nullptr, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.queue_close(nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.copy_submit(queue_, nullptr, sizeof(piece), 1, &n, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.copy_submit(queue_, &piece, sizeof(piece) - 8, 1, &n, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.copy_submit(queue_, &piece, sizeof(piece), 1, nullptr, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.copy_poll(queue_, nullptr, sizeof(done), 1, &n), SLIPWAY_E_INVALID);
  EXPECT_EQ(t_.copy_poll(queue_, &done, 8, 1, &n), SLIPWAY_E_INVALID);
  t_.destroy(nullptr);
}

TEST_F(ProviderLayerTest, AForkedChildIsTurnedAwayAndTheParentIsNot) {
  OpenQueue();
  slipway_pin* pin = nullptr;
  ASSERT_EQ(Pin(At(0), kPage, &pin), SLIPWAY_OK);
  const pid_t child = fork();
  if (child == 0) {
    uint32_t accepted = 0;
    const bool told = Unpin(pin) == SLIPWAY_E_FORKED && Submit({Piece(1)}, &accepted) == SLIPWAY_E_FORKED &&
                      t_.queue_close(queue_) == SLIPWAY_E_FORKED;
    t_.destroy(provider_);
    _exit(told && g_script.pinned.size() == 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Unpin(pin), SLIPWAY_OK);
}

}  // namespace
}  // namespace slipway::sdk

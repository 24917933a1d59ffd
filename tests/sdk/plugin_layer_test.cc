// The authoring layer, called through the C table as a core of any revision calls it: with arguments of every kind of
// wrong, structs shorter and longer than its own, and an author's code that throws.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "slipway/sdk/plugin.hpp"
#include "tests/support/plugin_driver.h"

namespace {

// The index of registrations finds no memory while it is set.
bool g_no_index_memory = false;

}  // namespace

void* operator new(size_t bytes, std::align_val_t align) {
  const size_t unit = static_cast<size_t>(align);
  void* const memory = g_no_index_memory ? nullptr : std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace slipway::sdk {
namespace {

using test::EmptyError;
using test::TestHost;
using testing::HasSubstr;

// What the author's code does next; one test at a time.
struct Script {
  enum Mood { kWork, kThrowNoMemory, kThrowLogic, kThrowInt, kMakeNothing } mood = kWork;
  uint32_t room = 1000;
  int alive = 0;
};
Script g_script;

void Act() {
  if (g_script.mood == Script::kThrowNoMemory) throw std::bad_alloc();
  if (g_script.mood == Script::kThrowLogic) throw std::logic_error("the author's own words");
  if (g_script.mood == Script::kThrowInt) throw 7;
}
template <typename T>
struct Counted : T {
  template <typename... Args>
  explicit Counted(Args&&... args) : T(std::forward<Args>(args)...) {
    ++g_script.alive;
  }
  ~Counted() override { --g_script.alive; }
};

struct EchoRemote : Remote {
  EchoRemote() : Remote(1000, SLIPWAY_ACCESS_REMOTE_WRITE) {}
};
struct EchoPeer : Peer {
  slipway_status Ready(Error&) override {
    Act();
    return SLIPWAY_OK;
  }
  slipway_status ImportMr(std::string_view, std::unique_ptr<Remote>& out, Error&) override {
    Act();
    if (g_script.mood != Script::kMakeNothing) out = std::make_unique<Counted<EchoRemote>>();
    return SLIPWAY_OK;
  }
};
// Completes what it accepts at the next poll.
struct EchoChannel : Channel {
  slipway_status Submit(const Slices& slices, uint32_t& accepted, Error&) override {
    Act();
    for (; accepted < slices.size() && accepted < g_script.room; ++accepted) tokens.push_back(slices[accepted].token);
    return SLIPWAY_OK;
  }
  slipway_status Poll(Completions& out) override {
    Act();
    for (; !tokens.empty() && !out.full(); tokens.pop_back()) out.Put(tokens.back(), SLIPWAY_OK, 1);
    return SLIPWAY_OK;
  }
  std::vector<uint64_t> tokens;
};
struct EchoInstance : Instance {
  using Instance::Instance;
  slipway_status Quiesce(uint64_t, Error&) override { return SLIPWAY_OK; }
  void Stop() noexcept override {}
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<Registration>& out, Error&) override {
    Act();
    last_range = range;
    if (g_script.mood != Script::kMakeNothing) out = std::make_unique<Counted<Registration>>();
    return SLIPWAY_OK;
  }
  slipway_status ExportAddress(std::string& out, Error&) override {
    out = "address";
    return SLIPWAY_OK;
  }
  slipway_status ExportMr(Registration&, std::string& out, Error&) override {
    out = std::string(100, 'x');  // longer than the attributes announce
    return SLIPWAY_OK;
  }
  slipway_status Connect(std::string_view, std::unique_ptr<Peer>& out, Error&) override {
    Act();
    out = std::make_unique<Counted<EchoPeer>>();
    return SLIPWAY_OK;
  }
  slipway_status OpenChannel(void*, std::unique_ptr<Channel>& out, Error&) override {
    Act();
    out = std::make_unique<Counted<EchoChannel>>();
    return SLIPWAY_OK;
  }
  slipway_range last_range{};
};
struct Echo : Transport {
  static constexpr TransportInfo kInfo = {
      "echo",           "1",    "v", "d",
      "echo",           1,      1,   SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_LOCAL_REG | SLIPWAY_CAP_NEEDS_REMOTE_REG,
      SLIPWAY_MEM_HOST, nullptr};
  static slipway_status Probe(Host, std::string_view, slipway_attrs&, Error&) {
    Act();
    return SLIPWAY_OK;
  }
  static slipway_status Create(Host host, std::string_view, std::unique_ptr<Instance>& out, Error&) {
    Act();
    if (g_script.mood == Script::kMakeNothing) return SLIPWAY_OK;
    slipway_attrs attrs = DefaultAttrs(kInfo);
    attrs.address_bytes_max = attrs.mr_blob_bytes_max = 16;
    attrs.max_channels = 2;
    attrs.max_mrs = 2;
    attrs.max_registered_bytes = 1000;
    attrs.max_inflight_per_channel = 4;
    attrs.max_submit_batch = 3;
    attrs.local_align = 8;
    out = std::make_unique<Counted<EchoInstance>>(host, attrs);
    return SLIPWAY_OK;
  }
};

class LayerTest : public testing::Test {
 protected:
  void SetUp() override {
    g_script = {};
    ASSERT_EQ(t_.create(host_.table(), "{}", 2, &instance_, nullptr), SLIPWAY_OK);
  }
  void TearDown() override {
    g_script.mood = Script::kWork;
    t_.destroy(instance_);
    EXPECT_EQ(g_script.alive, 0) << "objects left after destroy";
  }
  static slipway_range Range(void* addr, uint64_t length, uint32_t access = SLIPWAY_ACCESS_ALL) {
    return {sizeof(slipway_range), access, addr, length, SLIPWAY_MEM_HOST, -1, -1, 0};
  }
  slipway_status Register(const slipway_range& range, slipway_mr** out = nullptr) {
    slipway_mr* mr = nullptr;
    error_ = EmptyError();
    return t_.register_memory(instance_, &range, out != nullptr ? out : &mr, &error_);
  }
  void OpenPath() {
    ASSERT_EQ(t_.channel_open(instance_, this, &channel_, nullptr), SLIPWAY_OK);
    ASSERT_EQ(t_.connect(instance_, "x", 1, &peer_, nullptr), SLIPWAY_OK);
    ASSERT_EQ(t_.import_mr(peer_, "x", 1, &remote_, nullptr), SLIPWAY_OK);
    ASSERT_EQ(Register(Range(memory_, 256), &mr_), SLIPWAY_OK);
  }
  slipway_slice Slice(uint64_t token) { return {token, SLIPWAY_OP_WRITE, 0, memory_, 8, mr_, remote_, 0, 0}; }
  slipway_status Submit(const std::vector<slipway_slice>& slices, uint32_t* accepted) {
    error_ = EmptyError();
    return t_.submit(channel_, slices.data(), sizeof(slipway_slice), uint32_t(slices.size()), accepted, &error_);
  }

  const slipway_transport& t_ = detail::kTransportTable<Echo>;
  TestHost host_;
  slipway_error error_ = EmptyError();
  slipway_instance* instance_ = nullptr;
  slipway_channel* channel_ = nullptr;
  slipway_peer* peer_ = nullptr;
  slipway_remote* remote_ = nullptr;
  slipway_mr* mr_ = nullptr;
  alignas(64) char memory_[256] = {};
};

// A struct of the caller's that ends where a page does, so that one byte too far is a crash.
template <typename T>
class AtPageEnd {
 public:
  explicit AtPageEnd(uint32_t size) : page_(size_t(sysconf(_SC_PAGESIZE))) {
    map_ = static_cast<char*>(mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(map_ + page_, page_, PROT_NONE);
    it_ = reinterpret_cast<T*>(map_ + page_ - size);
    it_->struct_size = size;
  }
  ~AtPageEnd() { munmap(map_, 2 * page_); }
  T* get() { return it_; }

 private:
  const size_t page_;
  char* map_;
  T* it_;
};

TEST_F(LayerTest, OptionalEntriesAreNullWithoutTheirCapability) {
  EXPECT_EQ(t_.cancel, nullptr);
  EXPECT_EQ(t_.event_fd, nullptr);
  EXPECT_EQ(t_.get_extension, nullptr);
  EXPECT_NE(t_.stats_json, nullptr);
}

TEST_F(LayerTest, AShorterCallersAttributesAreFilledAsFarAsTheyReach) {
  AtPageEnd<slipway_attrs> attrs(offsetof(slipway_attrs, max_slice_bytes));
  ASSERT_EQ(t_.get_attrs(instance_, attrs.get()), SLIPWAY_OK);
  EXPECT_EQ(attrs.get()->caps, Echo::kInfo.caps);
  EXPECT_EQ(attrs.get()->struct_size, offsetof(slipway_attrs, max_slice_bytes));
}

TEST_F(LayerTest, ALongerCallersAttributesKeepWhatTheLayerDoesNotKnow) {
  struct {
    slipway_attrs known;
    unsigned char later[64];
  } attrs;
  std::memset(static_cast<void*>(&attrs), 0xa5, sizeof(attrs));
  attrs.known.struct_size = sizeof(attrs);
  ASSERT_EQ(t_.get_attrs(instance_, &attrs.known), SLIPWAY_OK);
  EXPECT_EQ(attrs.known.max_submit_batch, 3u);
  EXPECT_EQ(attrs.known.struct_size, sizeof(attrs));
  for (const unsigned char c : attrs.later) EXPECT_EQ(c, 0xa5);
}

TEST_F(LayerTest, AShorterCallersRangeHasTheDefaultsOfItsRevision) {
  AtPageEnd<slipway_range> range(offsetof(slipway_range, mem_kind));
  range.get()->addr = memory_;
  range.get()->length = 10;
  range.get()->access = SLIPWAY_ACCESS_LOCAL_READ;
  ASSERT_EQ(Register(*range.get()), SLIPWAY_OK);
  const slipway_range& seen = static_cast<EchoInstance*>(detail::Glue::From(instance_))->last_range;
  EXPECT_EQ(seen.mem_kind, SLIPWAY_MEM_HOST);
  EXPECT_EQ(seen.dmabuf_fd, -1);
  AtPageEnd<slipway_range> tiny(8);
  EXPECT_EQ(Register(*tiny.get()), SLIPWAY_E_INVALID);
}

TEST_F(LayerTest, AShorterCallersErrorAndInfoAreFilledAsFarAsTheyReach) {
  AtPageEnd<slipway_error> error(offsetof(slipway_error, where) + sizeof(slipway_error::where));
  const slipway_range bad = Range(nullptr, 5);
  slipway_mr* mr = nullptr;
  EXPECT_EQ(t_.register_memory(instance_, &bad, &mr, error.get()), SLIPWAY_E_INVALID);
  EXPECT_EQ(error.get()->code, SLIPWAY_E_INVALID);
  AtPageEnd<slipway_reg_info> info(offsetof(slipway_reg_info, mr));
  const slipway_range range = Range(memory_, 5);
  ASSERT_EQ(t_.query_registered(instance_, &range, info.get()), SLIPWAY_OK);
  EXPECT_EQ(info.get()->state, uint32_t{SLIPWAY_REG_NONE});
}

TEST_F(LayerTest, AHostTooShortOrOfAnotherMajorIsRefused) {
  slipway_host host = *host_.table();
  slipway_instance* out = nullptr;
  host.struct_size = offsetof(slipway_host, now_ns);
  EXPECT_EQ(t_.create(&host, "{}", 2, &out, &error_), SLIPWAY_E_INVALID);
  host.struct_size = offsetof(slipway_host, get_extension);
  slipway_attrs attrs{};
  attrs.struct_size = sizeof(attrs);
  EXPECT_EQ(t_.probe(&host, "{}", 2, &attrs, &error_), SLIPWAY_OK);
  EXPECT_EQ(Host(&host).GetExtension("x"), nullptr);
  host.abi_major = 2;
  EXPECT_EQ(t_.probe(&host, "{}", 2, &attrs, &error_), SLIPWAY_E_INVALID);
}

TEST_F(LayerTest, EveryWrongRangeIsRefused) {
  EXPECT_EQ(Register(Range(memory_, 0)), SLIPWAY_E_INVALID);
  EXPECT_EQ(Register(Range(nullptr, 1)), SLIPWAY_E_INVALID);
  EXPECT_EQ(Register(Range(memory_, UINT64_MAX)), SLIPWAY_E_INVALID);
  EXPECT_EQ(Register(Range(memory_, 1, 0)), SLIPWAY_E_INVALID);
  EXPECT_EQ(Register(Range(memory_, 1, 16)), SLIPWAY_E_INVALID);
  slipway_range range = Range(memory_, 1);
  range.mem_kind = 3;
  EXPECT_EQ(Register(range), SLIPWAY_E_INVALID);
  range.mem_kind = SLIPWAY_MEM_CUDA;
  EXPECT_EQ(Register(range), SLIPWAY_E_UNSUPPORTED);
  range = Range(memory_, 1);
  range.dmabuf_fd = 0;
  EXPECT_EQ(Register(range), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(t_.register_memory(instance_, nullptr, &mr_, nullptr), SLIPWAY_E_INVALID);
  EXPECT_EQ(g_script.alive, 1) << "only the instance";
}

TEST_F(LayerTest, TheLimitsOfRegistrationAreRetryable) {
  slipway_mr *a = nullptr, *b = nullptr;
  EXPECT_EQ(Register(Range(memory_, 1001)), SLIPWAY_E_NOMEM);
  ASSERT_EQ(Register(Range(memory_, 10), &a), SLIPWAY_OK);
  ASSERT_EQ(Register(Range(memory_, 10), &b), SLIPWAY_OK);
  EXPECT_EQ(Register(Range(memory_, 10)), SLIPWAY_E_NOMEM);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  ASSERT_EQ(t_.deregister_memory(instance_, a), SLIPWAY_OK);
  EXPECT_EQ(Register(Range(memory_, 991)), SLIPWAY_E_NOMEM) << "10 of 1000 bytes are taken";
  EXPECT_EQ(Register(Range(memory_, 990)), SLIPWAY_OK);
}

TEST_F(LayerTest, ARegistrationThatCannotBeRememberedIsTakenBack) {
  const int alive = g_script.alive;
  g_no_index_memory = true;
  EXPECT_EQ(Register(Range(memory_, 1000)), SLIPWAY_E_NOMEM);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  EXPECT_EQ(g_script.alive, alive);
  g_no_index_memory = false;
  EXPECT_EQ(Register(Range(memory_, 1000)), SLIPWAY_OK) << "none of the 1000 bytes is taken";
}

TEST_F(LayerTest, ExceptionsBecomeStatuses) {
  slipway_channel* channel = nullptr;
  slipway_peer* peer = nullptr;
  g_script.mood = Script::kThrowNoMemory;
  EXPECT_EQ(Register(Range(memory_, 1)), SLIPWAY_E_NOMEM);
  EXPECT_EQ(error_.flags, SLIPWAY_ERR_RETRYABLE);
  g_script.mood = Script::kThrowLogic;
  EXPECT_EQ(t_.connect(instance_, "x", 1, &peer, &error_), SLIPWAY_E_INTERNAL);
  EXPECT_STREQ(error_.message, "the author's own words");
  g_script.mood = Script::kThrowInt;
  EXPECT_EQ(t_.channel_open(instance_, nullptr, &channel, &error_), SLIPWAY_E_INTERNAL);
  g_script.mood = Script::kMakeNothing;
  EXPECT_EQ(Register(Range(memory_, 1)), SLIPWAY_E_INTERNAL);
  slipway_instance* out = reinterpret_cast<slipway_instance*>(this);
  EXPECT_EQ(t_.create(host_.table(), "{}", 2, &out, &error_), SLIPWAY_E_INTERNAL);
  EXPECT_EQ(out, reinterpret_cast<slipway_instance*>(this)) << "outputs are set on success alone";
  // What failed was not counted: both registrations and both channels are still to be had.
  g_script.mood = Script::kWork;
  EXPECT_EQ(Register(Range(memory_, 500)), SLIPWAY_OK);
  EXPECT_EQ(Register(Range(memory_, 500)), SLIPWAY_OK);
  EXPECT_EQ(t_.channel_open(instance_, nullptr, &channel, nullptr), SLIPWAY_OK);
  EXPECT_EQ(t_.channel_open(instance_, nullptr, &channel, nullptr), SLIPWAY_OK);
  EXPECT_EQ(t_.channel_open(instance_, nullptr, &channel, nullptr), SLIPWAY_E_NOMEM);
}

TEST_F(LayerTest, ABadSliceIsToldOnlyWhenThoseBeforeItWereTaken) {
  OpenPath();
  std::vector<slipway_slice> slices = {Slice(1), Slice(2), Slice(3)};
  slices[1].reserved = 1;
  uint32_t accepted = 9;
  EXPECT_EQ(Submit(slices, &accepted), SLIPWAY_E_INVALID);
  EXPECT_EQ(accepted, 1u);
  g_script.room = 0;
  EXPECT_EQ(Submit(slices, &accepted), SLIPWAY_E_AGAIN)
      << "the first could not be taken, so nothing is said of the second";
  EXPECT_EQ(accepted, 0u);
}

TEST_F(LayerTest, TheLayerCountsWhatIsInFlight) {
  OpenPath();
  uint32_t accepted = 0, n = 0;
  EXPECT_EQ(Submit({Slice(1), Slice(2), Slice(3), Slice(4), Slice(5)}, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 3u) << "max_submit_batch";
  EXPECT_EQ(Submit({Slice(4), Slice(5)}, &accepted), SLIPWAY_OK);
  EXPECT_EQ(accepted, 1u) << "max_inflight_per_channel";
  EXPECT_EQ(Submit({Slice(5)}, &accepted), SLIPWAY_E_AGAIN);
  EXPECT_EQ(t_.channel_close(channel_), SLIPWAY_E_BUSY);
  slipway_completion done[8];
  EXPECT_EQ(t_.poll(channel_, done, sizeof(done[0]), 8, &n), SLIPWAY_OK);
  EXPECT_EQ(n, 4u);
  EXPECT_EQ(t_.channel_close(channel_), SLIPWAY_OK);
}

TEST_F(LayerTest, SlicesAreHeldAgainstRegistrationsAndAttributes) {
  OpenPath();
  const auto refused = [&](void (*spoil)(slipway_slice&)) {
    slipway_slice bad = Slice(1);
    spoil(bad);
    uint32_t accepted = 0;
    return Submit({bad}, &accepted);
  };
  EXPECT_EQ(refused([](slipway_slice& s) { s.local_mr = nullptr; }), SLIPWAY_E_NOT_REGISTERED);
  EXPECT_EQ(refused([](slipway_slice& s) { s.length = 257; }), SLIPWAY_E_RANGE);
  EXPECT_EQ(refused([](slipway_slice& s) { s.local_addr = static_cast<char*>(s.local_addr) + 1; }), SLIPWAY_E_INVALID);
  EXPECT_EQ(refused([](slipway_slice& s) { s.op = SLIPWAY_OP_READ; }), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(refused([](slipway_slice& s) { s.remote_offset = 993; }), SLIPWAY_E_RANGE);
}

TEST_F(LayerTest, ObjectsInUseAreNotLetGo) {
  OpenPath();
  AsRemote(remote_)->Use();
  AsRegistration(mr_)->Use();
  EXPECT_EQ(t_.release_remote(remote_), SLIPWAY_E_BUSY);
  EXPECT_EQ(t_.deregister_memory(instance_, mr_), SLIPWAY_E_BUSY);
  EXPECT_EQ(t_.disconnect(peer_), SLIPWAY_E_BUSY);
  AsRemote(remote_)->Unuse();
  AsRegistration(mr_)->Unuse();
  EXPECT_EQ(t_.deregister_memory(instance_, mr_), SLIPWAY_OK);
  EXPECT_EQ(t_.release_remote(remote_), SLIPWAY_OK);
  EXPECT_EQ(t_.disconnect(peer_), SLIPWAY_OK);
}

TEST_F(LayerTest, LengthsAreAskedForInTwoCalls) {
  size_t length = 0;
  EXPECT_EQ(t_.export_address(instance_, nullptr, &length, &error_), SLIPWAY_E_BUFFER_TOO_SMALL);
  EXPECT_EQ(length, 7u);
  char small[3] = {1, 2, 3};
  length = 3;
  EXPECT_EQ(t_.export_address(instance_, small, &length, nullptr), SLIPWAY_E_BUFFER_TOO_SMALL);
  EXPECT_EQ(small[0], 1) << "untouched";
  char room[64];
  length = sizeof(room);
  EXPECT_EQ(t_.export_address(instance_, room, &length, nullptr), SLIPWAY_OK);
  EXPECT_EQ(std::string(room, length), "address");
  ASSERT_EQ(Register(Range(memory_, 8), &mr_), SLIPWAY_OK);
  EXPECT_EQ(t_.export_mr(instance_, mr_, room, &length, &error_), SLIPWAY_E_INTERNAL);
  EXPECT_THAT(error_.message, HasSubstr("announced"));
  length = sizeof(room);
  EXPECT_EQ(t_.stats_json(instance_, room, &length), SLIPWAY_OK);
  EXPECT_EQ(std::string(room, length), "{}");
}

TEST_F(LayerTest, AfterQuiesceNothingIsAccepted) {
  OpenPath();
  ASSERT_EQ(t_.quiesce(instance_, 0, nullptr), SLIPWAY_OK);
  uint32_t accepted = 0;
  EXPECT_EQ(Submit({Slice(1)}, &accepted), SLIPWAY_E_CANCELED);
}

TEST_F(LayerTest, AForkedChildIsTurnedAwayAndTheParentIsNot) {
  const pid_t child = fork();
  if (child == 0) {
    slipway_mr* mr = nullptr;
    const slipway_range range = Range(memory_, 8);
    const bool told = t_.register_memory(instance_, &range, &mr, nullptr) == SLIPWAY_E_FORKED;
    t_.destroy(instance_);
    _exit(told ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Register(Range(memory_, 8)), SLIPWAY_OK);
}

}  // namespace
}  // namespace slipway::sdk

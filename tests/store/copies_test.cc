// How often the bytes of a value are copied on their way, for every way to write one: by the counters of the engines.
#include <sys/mman.h>

#include <cstring>
#include <functional>

#include "tests/store/fixture.h"
#include "tests/store/source_device.h"
#include "tests/store/ways.h"

namespace slipway {
namespace {

constexpr size_t kBytes = 64 * kKiB;

// Pages of their own: what is registered of them covers nothing else.
class HostSource {
 public:
  HostSource()
      : data_(static_cast<std::byte*>(
            mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    const Bytes pattern = Pattern(kBytes, 7);
    std::copy(pattern.begin(), pattern.end(), data_);
  }
  ~HostSource() { munmap(data_, kBytes); }
  HostSource(const HostSource&) = delete;
  HostSource& operator=(const HostSource&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* const data_;
};

// What a way has to cost, given how long its headers are.
using Expected = std::function<CopyCounts(const Way& way, uint64_t header_bytes)>;

class CopiesTest : public testing::Test {
 protected:
  // A store, and another engine's that uses it over these transports.
  void Connect(const std::vector<Json>& transports, const std::function<void(Json*)>& change = {}) {
    home_ = MakeStore(StoreConfiguration(8 * kMiB, transports));
    Json json = StoreConfiguration(0, transports);
    json["store"].erase("bytes");
    json["store"]["connect"] = *home_.ControlAddress();
    json["control"]["listen"] = "";
    if (change) change(&json);
    client_ = MakeStore(json);
  }
  // Writes in every way through `store`, and compares what that cost; the home never copies.
  void CheckAll(const Store& store, std::byte* source, const Expected& expected) {
    for (const Way& way : AllWays()) {
      SCOPED_TRACE(way.name);
      const std::string key = way.name;
      const CopyCounts before = CountsOf(store), home_before = home_ ? CountsOf(home_) : CopyCounts();
      const Status status = Write(way, store, key, source, kBytes);
      ASSERT_TRUE(status.ok()) << status.message();
      const CopyCounts cost = CountsOf(store) - before;
      const Store& home = home_ ? home_ : store;
      const uint64_t headers = HeaderBytesOf(way, home, key, kBytes);
      EXPECT_EQ(headers > 0, way.tensors);
      EXPECT_EQ(Comparable(cost), expected(way, headers)) << ToJson(cost);
      EXPECT_EQ(WrittenBy(way, home, key, kBytes), AsText(value_));
      const CopyCounts at_home = home_ ? CountsOf(home_) - home_before : CopyCounts();
      EXPECT_EQ(Comparable(at_home), CopyCounts());
      EXPECT_EQ(*home.RemoveAll(), way.values);
    }
  }
  // How many slices went direct depends on what they were cut at.
  static CopyCounts Comparable(CopyCounts counts) {
    counts.slices_direct = 0;
    return counts;
  }

  const Bytes value_ = Pattern(kBytes, 7);
  Store home_, client_;
};

// Of what is staged, a slice is a copy.
CopyCounts StagedByTheHost(uint64_t slices, uint64_t bytes) {
  return {.host = slices, .staged_bytes = bytes, .slices_staged = slices};
}

// ---- from host memory
// ------------------------------------------------------------------------------------------------

TEST_F(CopiesTest, IntoTheProcesssOwnSegmentOnce) {
  const HostSource source;
  for (const std::vector<Json>& transports : {std::vector<Json>{}, {Use("local-memcpy")}, {Use("fake")}}) {
    const Store store = MakeStore(StoreConfiguration(8 * kMiB, transports));
    CheckAll(store, source.data(), [](const Way& way, uint64_t headers) {
      return CopyCounts{.store = way.values, .store_bytes = kBytes + headers};
    });
  }
}

TEST_F(CopiesTest, FromRegisteredMemoryNever) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  const HostSource source;
  Connect({Use("fake")}, [](Json* json) { (*json)["memory"]["pin_policy"] = "whole-region"; });
  ASSERT_TRUE(client_.RegisterBuffer(source.data(), kBytes).ok());
  // A tensor's header is nobody's registered memory, and is staged beside it.
  CheckAll(client_, source.data(),
           [](const Way& way, uint64_t headers) { return StagedByTheHost(way.tensors ? way.values : 0, headers); });
  ASSERT_TRUE(client_.UnregisterBuffer(source.data(), kBytes, 10'000).ok());
}

TEST_F(CopiesTest, FromUnregisteredMemoryOnceThroughStaging) {
  const HostSource source;
  Connect({Use("fake")});
  CheckAll(client_, source.data(), [](const Way& way, uint64_t headers) {
    // What adjoins here and at the home goes as one; between tensors lie their headers.
    return StagedByTheHost(way.tensors ? way.pieces + way.values : 1, kBytes + headers);
  });
}

TEST_F(CopiesTest, WhatIsHotGetsRegisteredAndIsCopiedNoMore) {
  if (!MayPin()) GTEST_SKIP() << "nothing is pinned here";
  const HostSource source;
  Connect({Use("fake")}, [](Json* json) { (*json)["memory"]["cache"] = {{"chunk_bytes", "64KiB"}}; });
  ASSERT_TRUE(client_.RegisterBuffer(source.data(), kBytes).ok());
  const auto staged = [&] {
    const CopyCounts before = CountsOf(client_);
    EXPECT_TRUE(client_.UpsertFrom("hot", source.data(), kBytes).ok());
    return (CountsOf(client_) - before).staged_bytes;
  };
  EXPECT_TRUE(test::WaitUntil([&] { return staged() == 0; })) << "never all direct";
  EXPECT_EQ(Read(home_, "hot"), AsText(value_));
  ASSERT_TRUE(client_.UnregisterBuffer(source.data(), kBytes, 10'000).ok());
}

TEST_F(CopiesTest, OverTransportsThatNeedNoRegistrationNever) {
  const HostSource source;
  for (const char* transport : {"tcp", "local-memcpy"}) {
    SCOPED_TRACE(transport);
    Connect({Use(transport)});
    CheckAll(client_, source.data(), [](const Way&, uint64_t) { return CopyCounts(); });
  }
}

// Runs that do not lie side by side are brought together once, wherever they go.
TEST_F(CopiesTest, AStridedTensorOnceMoreWhereItLeavesTheProcess) {
  const HostSource source;
  const int64_t shape[] = {64, kBytes / 256}, strides[] = {1, 64};
  const slipway_tensor tensor = {source.data(), shape, strides, 2, SLIPWAY_DTYPE_F32};
  Connect({Use("tcp")});
  CopyCounts before = CountsOf(client_);
  ASSERT_TRUE(client_.PutTensor("remote", tensor).ok());
  EXPECT_EQ(Comparable(CountsOf(client_) - before), (CopyCounts{.store = 1, .store_bytes = kBytes}));
  before = CountsOf(home_);
  ASSERT_TRUE(home_.PutTensor("local", tensor).ok());
  EXPECT_EQ(Comparable(CountsOf(home_) - before), (CopyCounts{.store = 1, .store_bytes = *home_.Size("local")}));
  EXPECT_EQ(Read(home_, "remote"), Read(home_, "local"));
}

// Every second row of a matrix whose rows are long.
TEST_F(CopiesTest, LongRunsOfATensorGoFromWhereTheyAre) {
  constexpr int64_t kRow = 64 * kKiB / 4;
  std::vector<float> matrix(8 * kRow);
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = static_cast<float>(i);
  const int64_t shape[] = {4, kRow}, strides[] = {2 * kRow, 1};
  const slipway_tensor rows = {matrix.data(), shape, strides, 2, SLIPWAY_DTYPE_F32};
  std::vector<float> expected;
  for (size_t i = 0; i < 4; ++i) {
    const auto row = matrix.begin() + static_cast<std::ptrdiff_t>(i) * 2 * kRow;
    expected.insert(expected.end(), row, row + kRow);
  }
  for (const char* transport : {"tcp", "fake"}) {
    SCOPED_TRACE(transport);
    Connect({Use(transport)});
    const CopyCounts before = CountsOf(client_);
    ASSERT_TRUE(client_.PutTensor("rows", rows).ok());
    const uint64_t staged = std::string(transport) == "fake" ? *home_.Size("rows") : 0;
    EXPECT_EQ(Comparable(CountsOf(client_) - before), StagedByTheHost(staged > 0 ? 5 : 0, staged));
    const Result<TensorView> tensor = home_.GetTensor("rows");
    ASSERT_TRUE(tensor.ok()) << tensor.status().message();
    EXPECT_EQ(std::memcmp(tensor->data(), expected.data(), expected.size() * sizeof(float)), 0);
    std::vector<float> back(matrix.size());
    ASSERT_TRUE(client_.GetTensorInto("rows", {back.data(), shape, strides, 2, SLIPWAY_DTYPE_F32}).ok());
    for (size_t i = 0; i < back.size(); ++i) {
      const bool in_a_row = i / static_cast<size_t>(kRow) % 2 == 0;
      ASSERT_EQ(back[i], in_a_row ? matrix[i] : 0.f) << i;
    }
  }
}

TEST_F(CopiesTest, WithoutStagingWhatNeedsNoneIsWrittenAndTheRestSaysWhy) {
  const HostSource source;
  const auto without = [](Json* json) { (*json)["memory"]["staging"] = {{"bytes", 0}}; };
  Connect({Use("tcp")}, without);
  CheckAll(client_, source.data(), [](const Way&, uint64_t) { return CopyCounts(); });
  Connect({Use("fake")}, without);
  for (const Way& way : AllWays()) {
    EXPECT_EQ(Write(way, client_, "k", source.data(), kBytes).code(), SLIPWAY_E_STAGING_NOT_CONFIGURED) << way.name;
  }
  EXPECT_TRUE(home_.List()->empty());
  EXPECT_EQ(UsedBytes(home_), 0u);
}

// ---- from a device's memory
// ------------------------------------------------------------------------------------------------

class DeviceCopiesTest : public CopiesTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    std::string why;
    device_ = SourceDevice::Find(GetParam(), &why);
    if (device_ == nullptr) GTEST_SKIP() << why;
  }
  void TearDown() override { device_.reset(); }
  void ConnectDevice(const std::vector<Json>& transports) {
    Connect(transports, [&](Json* json) { device_->AddTo(json); });
    source_ = device_->Allocate(client_, AsText(value_));
    ASSERT_NE(source_, nullptr);
  }

  std::unique_ptr<SourceDevice> device_;
  std::byte* source_ = nullptr;
};

TEST_P(DeviceCopiesTest, IntoTheProcesssOwnSegmentOnceByTheProvider) {
  Json json = StoreConfiguration(8 * kMiB, {Use("local-memcpy")});
  device_->AddTo(&json);
  const Store store = MakeStore(json);
  source_ = device_->Allocate(store, AsText(value_));
  ASSERT_NE(source_, nullptr);
  CheckAll(store, source_, [](const Way& way, uint64_t) { return CopyCounts{.direct = way.pieces}; });
  device_.reset();
}

TEST_P(DeviceCopiesTest, ToWhatReachesHostMemoryAloneOnceThroughStaging) {
  ConnectDevice({Use("tcp")});
  CheckAll(client_, source_, [](const Way& way, uint64_t) {
    return CopyCounts{.provider = way.pieces, .staged_bytes = kBytes, .slices_staged = way.pieces};
  });
}

TEST_P(DeviceCopiesTest, ToWhatNeedsRegistrationOnceThroughStaging) {
  ConnectDevice({Use("fake")});
  CheckAll(client_, source_, [](const Way& way, uint64_t headers) {
    const uint64_t header_slices = way.tensors ? way.values : 0;
    return CopyCounts{.host = header_slices,
                      .provider = way.pieces,
                      .staged_bytes = kBytes + headers,
                      .slices_staged = way.pieces + header_slices};
  });
}

// Between two engines of this host the provider reaches the segment itself.
TEST_P(DeviceCopiesTest, ToWhatReachesTheDeviceNeverThroughStaging) {
  ConnectDevice({Use("local-memcpy")});
  CheckAll(client_, source_, [](const Way& way, uint64_t) { return CopyCounts{.direct = way.pieces}; });
}

// Values so short that they come along with a look-up, too.
TEST_P(DeviceCopiesTest, AnyLengthIsReadIntoTheDevice) {
  ConnectDevice({Use("tcp")});
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{64}, size_t{4096}, size_t{4097}, kBytes}) {
    SCOPED_TRACE(bytes);
    const Bytes value = Pattern(bytes, static_cast<uint32_t>(bytes));
    ASSERT_TRUE(client_.Upsert("k", value).ok());
    Result<uint64_t> length = client_.GetInto("k", source_, kBytes);
    ASSERT_TRUE(length.ok()) << length.status().message();
    EXPECT_EQ(*length, bytes);
    ASSERT_TRUE(client_.UpsertFrom("back", source_, bytes).ok());
    EXPECT_EQ(Read(home_, "back"), AsText(value));
    const std::vector<slipway_store_range> ranges = {{source_ + 7, bytes / 2, bytes / 3}};
    const Status status = client_.GetIntoRanges("k", ranges);
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_TRUE(client_.UpsertFrom("back", source_ + 7, bytes / 2).ok());
    EXPECT_EQ(Read(home_, "back"), AsText(value).substr(bytes / 3, bytes / 2));
  }
}

INSTANTIATE_TEST_SUITE_P(From, DeviceCopiesTest, testing::Values("fake-memory", "cuda"), [](const auto& info) {
  return std::string(info.param) == "cuda" ? std::string("Cuda") : std::string("FakeMemory");
});

}  // namespace
}  // namespace slipway

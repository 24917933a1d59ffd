// A store used over another engine's control listener, and many threads at once.
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/store/fixture.h"

namespace slipway {
namespace {

class RemoteTest : public testing::Test {
 protected:
  RemoteTest() : home_(MakeStore(StoreConfiguration(4 * kMiB, {Use("local-memcpy"), Use("tcp")}))) {
    Json client = StoreConfiguration(0, {Use("local-memcpy"), Use("tcp")});
    client["store"].erase("bytes");
    client["store"]["connect"] = *home_.ControlAddress();
    client["control"]["listen"] = "";
    client_ = MakeStore(client);
  }
  Store home_, client_;
};

TEST_F(RemoteTest, BothSidesSeeTheSameObjects) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1024}, size_t{4096}, size_t{4097}, size_t{300'000}}) {
    const std::string key = "k" + std::to_string(bytes);
    const Bytes value = Pattern(bytes, static_cast<uint32_t>(bytes));
    const Result<PutOutcome> put = client_.Put(key, value);
    ASSERT_TRUE(put.ok()) << put.status().message();
    EXPECT_EQ(*client_.Put(key, value), PutOutcome::kExists);
    EXPECT_EQ(Read(home_, key), AsText(value));
    EXPECT_EQ(Read(client_, key), AsText(value));
    Bytes back(bytes);
    EXPECT_EQ(*client_.GetInto(key, back.data(), back.size()), bytes);
    EXPECT_EQ(back, value);
    const Bytes newer = Pattern(bytes / 2 + 10, 99);
    ASSERT_TRUE(home_.Upsert(key, newer).ok());
    EXPECT_EQ(Read(client_, key), AsText(newer));
    ASSERT_TRUE(client_.Upsert(key, value).ok());
    EXPECT_EQ(Read(home_, key), AsText(value));
  }
  EXPECT_EQ(client_.List()->size(), 6u);
  EXPECT_EQ(*client_.Size("k1024"), 1024u);
  EXPECT_TRUE(client_.Stat("k1024")->checksummed);
  EXPECT_TRUE(client_.Remove("k1024").ok());
  EXPECT_FALSE(*home_.Exists("k1024"));
  EXPECT_EQ(Read(client_, "k1024"), "[E_NOT_FOUND]");
  EXPECT_EQ(client_.GetBuffer("k4097").status().code(), SLIPWAY_E_UNSUPPORTED);
  EXPECT_EQ(*client_.RemoveAll("k"), 5u);
  EXPECT_EQ(UsedBytes(home_), 0u);
}

TEST_F(RemoteTest, BatchesAndTensorsGoOver) {
  const Bytes value = Pattern(20'000, 4);
  std::vector<std::string> keys;
  std::vector<ConstBytes> values;
  for (int i = 0; i < 50; ++i) {
    keys.push_back("b" + std::to_string(i));
    values.push_back(std::span(value).subspan(0, static_cast<size_t>(i) * 400));
  }
  const BatchStatus put = client_.PutBatch(keys, values);
  ASSERT_TRUE(put.ok()) << put.status().message();
  const ViewBatch got = client_.GetBatch(keys);
  ASSERT_TRUE(got.statuses.ok()) << got.statuses.status().message();
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(got.views[i].text(), AsText(value).substr(0, i * 400));
  }
  std::vector<int32_t> data(6000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<int32_t>(i);
  const std::vector<int64_t> shape = {60, 100}, transposed = {1, 60};
  const slipway_tensor tensor = {data.data(), shape.data(), transposed.data(), 2, SLIPWAY_DTYPE_I32};
  ASSERT_TRUE(client_.PutTensor("t", tensor).ok());
  const Result<TensorView> back = client_.GetTensor("t");
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(reinterpret_cast<const int32_t*>(back->data())[1], 60);
  std::vector<int32_t> into(6000);
  const slipway_tensor target = {into.data(), shape.data(), transposed.data(), 2, SLIPWAY_DTYPE_I32};
  const Status status = client_.GetTensorInto("t", target);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(into, data);
  Bytes part(1000);
  const std::vector<slipway_store_range> ranges = {{part.data(), 1000, 7777}};
  ASSERT_TRUE(client_.GetIntoRanges("b49", ranges).ok());
  EXPECT_EQ(AsText(part), AsText(value).substr(7777, 1000));
}

// Also where a range has no chunk as a whole.
TEST_F(RemoteTest, RangesAreComparedWithWhatWasWritten) {
  const Bytes value = Pattern(40'000, 6);
  ASSERT_TRUE(client_.Put("k", value).ok());
  Bytes part(40'000);
  const auto read = [&](uint64_t offset, uint64_t bytes, Verify verify = Verify::kOn) {
    std::fill(part.begin(), part.end(), std::byte{0});
    // As two ranges of one call, the second in front of the first.
    const std::vector<slipway_store_range> ranges = {{part.data() + bytes / 3, bytes - bytes / 3, offset + bytes / 3},
                                                     {part.data(), bytes / 3, offset}};
    return client_.GetIntoRanges("k", ranges, {.verify = verify});
  };
  for (const auto& [offset, bytes] : {std::pair{0, 40'000},
                                      {1, 39'999},
                                      {4095, 2},
                                      {4096, 4096},
                                      {8191, 20'000},
                                      {9000, 10},
                                      {36'863, 3137},
                                      {39'999, 1}}) {
    SCOPED_TRACE(std::to_string(bytes) + " from " + std::to_string(offset));
    const Status status = read(static_cast<uint64_t>(offset), static_cast<uint64_t>(bytes));
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(AsText(part).substr(0, static_cast<size_t>(bytes)),
              AsText(value).substr(static_cast<size_t>(offset), static_cast<size_t>(bytes)));
  }
  // A byte in the third chunk of 4 KiB changes where it lies.
  const Result<View> view = home_.GetBuffer("k");
  ASSERT_TRUE(view.ok());
  const_cast<std::byte&>(view->bytes()[10'000]) ^= std::byte{1};
  for (const auto& [offset, bytes] : {std::pair{9'999, 2}, {8192, 4096}, {8192, 100}, {12'287, 2}, {0, 40'000}}) {
    const Status status = read(static_cast<uint64_t>(offset), static_cast<uint64_t>(bytes));
    EXPECT_EQ(status.code(), SLIPWAY_E_CHECKSUM) << bytes << " from " << offset;
    EXPECT_THAT(status.message(), testing::HasSubstr("\"k\""));
  }
  EXPECT_TRUE(read(0, 8192).ok());
  EXPECT_TRUE(read(12'288, 27'712).ok());
  EXPECT_TRUE(read(9'999, 2, Verify::kOff).ok());
}

TEST_F(RemoteTest, ANodeWithoutAStoreSaysSo) {
  Result<Engine> plain = Engine::FromJson(StoreConfiguration(0, {}).dump());
  ASSERT_TRUE(plain.ok());
  const Result<Store> store = Store::Open(*plain, *plain->ControlAddress(), 5000);
  EXPECT_EQ(store.status().code(), SLIPWAY_E_NO_STORE) << store.status().message();
}

TEST_F(RemoteTest, AStoreThatIsGoneIsAnErrorAndNotAWait) {
  ASSERT_TRUE(client_.Put("k", "v").ok());
  home_ = Store();
  EXPECT_LT(client_.Get("k").status().code(), 0);
  EXPECT_LT(client_.Put("k", "v").status().code(), 0);
  EXPECT_LT(client_.List().status().code(), 0);
}

TEST_F(RemoteTest, FullIsToldAcross) {
  const Bytes large(5 * kMiB);
  EXPECT_EQ(client_.Put("large", large).status().code(), SLIPWAY_E_TOO_LARGE);
  const WriteOptions pinned{.keep = Keep::kPinned};
  ASSERT_TRUE(client_.Put("a", std::span(large).first(2 * kMiB), pinned).ok());
  ASSERT_TRUE(client_.Put("b", std::span(large).first(kMiB), pinned).ok());
  EXPECT_EQ(client_.Put("c", std::span(large).first(2 * kMiB)).status().code(), SLIPWAY_E_NO_SPACE);
  EXPECT_EQ(UsedBytes(home_), 3 * kMiB);
}

// Writers upsert a few keys; readers on both sides only ever see whole values, and always one.
TEST_F(RemoteTest, ReadersNeverSeeATornOrMissingValue) {
  constexpr int kKeys = 3, kRounds = 60;
  const auto value = [](int round) {
    return std::string(static_cast<size_t>(100 + 997 * (round % 9)), static_cast<char>('a' + round % 26));
  };
  for (int k = 0; k < kKeys; ++k) ASSERT_TRUE(home_.Put("k" + std::to_string(k), value(0)).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0}, missing{0}, reads{0};
  const auto read = [&](const Store& store) {
    while (!stop.load()) {
      for (int k = 0; k < kKeys; ++k) {
        const std::string text = Read(store, "k" + std::to_string(k));
        if (text.starts_with("[")) ++missing;
        if (text.find_first_not_of(text[0]) != std::string::npos) ++torn;
        ++reads;
      }
    }
  };
  std::vector<std::thread> readers;
  readers.emplace_back([&] { read(home_); });
  readers.emplace_back([&] { read(client_); });
  std::vector<std::thread> writers;
  for (const Store* store : {&home_, &client_}) {
    writers.emplace_back([&, store] {
      for (int round = 0; round < kRounds; ++round) {
        for (int k = 0; k < kKeys; ++k) EXPECT_TRUE(store->Upsert("k" + std::to_string(k), value(round)).ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn.load(), 0);
  EXPECT_EQ(missing.load(), 0);
  EXPECT_GT(reads.load(), 0);
  EXPECT_EQ(*home_.RemoveAll(), 3u);
}

}  // namespace
}  // namespace slipway

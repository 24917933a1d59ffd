// What a client of the store relies on, through the public API.
#include <cstring>
#include <numeric>

#include "tests/store/fixture.h"

namespace slipway {
namespace {

class StoreApiTest : public testing::Test {
 protected:
  StoreApiTest() : store_(MakeStore(StoreConfiguration(4 * kMiB))) {}
  Store store_;
};

TEST_F(StoreApiTest, WhatIsPutIsReadBack) {
  const Result<PutOutcome> put = store_.Put("greeting", "hello");
  ASSERT_TRUE(put.ok()) << put.status().message();
  EXPECT_EQ(*put, PutOutcome::kStored);
  EXPECT_EQ(Read(store_, "greeting"), "hello");
  EXPECT_EQ(Read(store_, "farewell"), "[E_NOT_FOUND]");
  EXPECT_TRUE(*store_.Exists("greeting"));
  EXPECT_FALSE(*store_.Exists("farewell"));
  EXPECT_EQ(*store_.Size("greeting"), 5u);
}

TEST_F(StoreApiTest, AKeyThatHasAValueKeepsIt) {
  ASSERT_TRUE(store_.Put("k", "first").ok());
  EXPECT_EQ(*store_.Put("k", "another, and longer"), PutOutcome::kExists);
  EXPECT_EQ(Read(store_, "k"), "first");
  EXPECT_EQ(store_.Put("k", "third", {.if_exists = IfExists::kError}).status().code(), SLIPWAY_E_EXISTS);
  const std::vector<ConstBytes> parts = {std::as_bytes(std::span("x", 1))};
  EXPECT_EQ(*store_.PutParts("k", parts), PutOutcome::kExists);
  EXPECT_EQ(Read(store_, "k"), "first");
}

TEST_F(StoreApiTest, UpsertReplacesWithAnyLength) {
  for (const std::string value : {"one", "", "three, which is longer", "4"}) {
    ASSERT_TRUE(store_.Upsert("k", value).ok());
    EXPECT_EQ(Read(store_, "k"), value);
  }
  EXPECT_EQ(store_.List()->size(), 1u);
}

TEST_F(StoreApiTest, EveryLengthComesBackWhole) {
  for (const size_t bytes : {1u, 63u, 64u, 65u, 4095u, 4096u, 4097u, 65535u, 65536u, 100'001u, 1u << 20}) {
    const Bytes value = Pattern(bytes, static_cast<uint32_t>(bytes));
    ASSERT_TRUE(store_.Upsert("k", value).ok());
    Bytes back(bytes + 1, std::byte{0x55});
    const Result<uint64_t> length = store_.GetInto("k", back.data(), bytes);
    ASSERT_TRUE(length.ok()) << length.status().message();
    EXPECT_EQ(*length, bytes);
    EXPECT_EQ(std::memcmp(back.data(), value.data(), bytes), 0);
    EXPECT_EQ(back[bytes], std::byte{0x55});
    EXPECT_EQ(Read(store_, "k"), AsText(value));
  }
}

TEST_F(StoreApiTest, PartsFollowOneAnother) {
  const Bytes value = Pattern(20'000, 3);
  const std::span<const std::byte> all(value);
  const std::vector<ConstBytes> parts = {
      all.first(1), {}, all.subspan(1, 4095), all.subspan(4096, 9000), all.subspan(13096)};
  ASSERT_TRUE(store_.PutParts("k", parts).ok());
  EXPECT_EQ(Read(store_, "k"), AsText(value));
  ASSERT_TRUE(store_.UpsertParts("k", std::span(parts).first(3)).ok());
  EXPECT_EQ(Read(store_, "k"), AsText(value).substr(0, 4096));
}

TEST_F(StoreApiTest, AValueOfNoBytesIsAValue) {
  ASSERT_TRUE(store_.Put("a", "").ok());
  ASSERT_TRUE(store_.PutFrom("b", nullptr, 0).ok());
  ASSERT_TRUE(store_.PutParts("c", {}).ok());
  for (const char* key : {"a", "b", "c"}) {
    EXPECT_TRUE(*store_.Exists(key));
    EXPECT_EQ(*store_.Size(key), 0u);
    EXPECT_EQ(Read(store_, key), "");
    EXPECT_EQ(*store_.GetInto(key, nullptr, 0), 0u);
    const Result<View> view = store_.GetBuffer(key);
    ASSERT_TRUE(view.ok());
    EXPECT_NE(view->bytes().data(), nullptr);
  }
  EXPECT_EQ(UsedBytes(store_), 0u);
}

TEST_F(StoreApiTest, MalformedCallsChangeNothing) {
  const char byte = 'x';
  const std::vector<std::string> keys = {"a", "b"};
  const auto refused = [&](const std::vector<const void*>& addrs, const std::vector<uint64_t>& sizes) {
    const BatchStatus status = store_.BatchPutFrom(keys, addrs, sizes);
    EXPECT_EQ(status.status().code(), SLIPWAY_E_INVALID);
    EXPECT_TRUE(store_.List()->empty());
    return status.status().message();
  };
  EXPECT_THAT(refused({&byte, nullptr}, {1, 1}), testing::HasSubstr("item 1, \"b\", buffer 0: the address is null"));
  EXPECT_THAT(refused({&byte, &byte}, {1, SIZE_MAX}), testing::HasSubstr("wrap around"));
  EXPECT_THAT(refused({&byte}, {1, 1}), testing::HasSubstr("addrs has 1 entries for 2 keys"));
  EXPECT_THAT(refused({&byte, &byte}, {1}), testing::HasSubstr("sizes has 1 entries for 2 keys"));
  EXPECT_EQ(store_.PutFrom("a", nullptr, 1).status().code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(store_.PutFrom("a", nullptr, SIZE_MAX).status().code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(store_.PutFrom("a", &byte, SIZE_MAX).status().code(), SLIPWAY_E_INVALID);

  const std::vector<std::string> twice = {"a", "b", "a"};
  const std::vector<ConstBytes> values(3);
  const BatchStatus same = store_.PutBatch(twice, values);
  EXPECT_THAT(same.status().message(), testing::HasSubstr("items 0 and 2 have the same key \"a\""));
  const std::vector<std::vector<const void*>> addrs = {{&byte, &byte}, {&byte}};
  const std::vector<std::vector<uint64_t>> sizes = {{1}, {1}};
  EXPECT_THAT(store_.BatchPutFromMultiBuffers(keys, addrs, sizes).status().message(),
              testing::HasSubstr("item 0 (\"a\") has 2 addresses and 1 sizes"));
  EXPECT_EQ(store_.Put("a", "x", {.keep = static_cast<Keep>(9)}).status().code(), SLIPWAY_E_INVALID);
  EXPECT_EQ(store_.Put("a", "x", {.replicas = 99}).status().code(), SLIPWAY_E_INVALID);
  EXPECT_TRUE(store_.List()->empty());
  EXPECT_EQ(UsedBytes(store_), 0u);
}

TEST_F(StoreApiTest, ABadKeyFailsAlone) {
  const std::vector<std::string> keys = {"good", "",         std::string("a\0b", 3), std::string(1025, 'k'),
                                         "\xff", "also good"};
  const std::vector<ConstBytes> values(keys.size(), std::as_bytes(std::span("v", 1)));
  const BatchStatus status = store_.PutBatch(keys, values);
  EXPECT_EQ(status.status().code(), SLIPWAY_E_INVALID);
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(status[i], i == 0 || i == 5 ? SLIPWAY_OK : SLIPWAY_E_INVALID) << i;
  }
  EXPECT_EQ(Read(store_, "good"), "v");
  EXPECT_EQ(Read(store_, "also good"), "v");
  EXPECT_TRUE(store_.Put(std::string(1024, 'k'), "v").ok());
  EXPECT_TRUE(store_.Put("schlüssel/鍵/🔑", "v").ok());
}

TEST_F(StoreApiTest, BatchesGiveEachItsOwnStatus) {
  ASSERT_TRUE(store_.Put("b", "old").ok());
  const std::vector<std::string> keys = {"a", "b", "c"};
  const std::vector<ConstBytes> values(3, std::as_bytes(std::span("new", 3)));
  const BatchStatus put = store_.PutBatch(keys, values);
  EXPECT_TRUE(put.ok());
  EXPECT_EQ(put[0], SLIPWAY_OK);
  EXPECT_EQ(put[1], SLIPWAY_EXISTS);
  EXPECT_EQ(Read(store_, "b"), "old");
  EXPECT_TRUE(store_.UpsertBatch(keys, values).ok());
  EXPECT_EQ(Read(store_, "b"), "new");
  const std::vector<std::string> asked = {"a", "missing", "c"};
  const ViewBatch got = store_.GetBatch(asked);
  EXPECT_EQ(got.statuses.status().code(), SLIPWAY_E_NOT_FOUND);
  EXPECT_THAT(got.statuses.status().message(), testing::HasSubstr("missing"));
  EXPECT_EQ(got.views[0].text(), "new");
  EXPECT_FALSE(got.views[1]);
  EXPECT_EQ(got.views[2].text(), "new");
  const BatchStatus removed = store_.BatchRemove(asked);
  EXPECT_EQ(removed[0], SLIPWAY_OK);
  EXPECT_EQ(removed[1], SLIPWAY_E_NOT_FOUND);
  EXPECT_EQ(store_.List()->size(), 1u);
}

TEST_F(StoreApiTest, MultiBuffersGoInAndOut) {
  const Bytes value = Pattern(9000, 5);
  const std::vector<std::string> keys = {"x", "y"};
  const std::vector<std::vector<const void*>> addrs = {{value.data(), value.data() + 100}, {value.data() + 5000}};
  const std::vector<std::vector<uint64_t>> sizes = {{100, 4900}, {4000}};
  ASSERT_TRUE(store_.BatchPutFromMultiBuffers(keys, addrs, sizes).ok());
  Bytes back(9000);
  const std::vector<std::vector<void*>> to = {{back.data(), back.data() + 77, back.data() + 4000},
                                              {back.data() + 5000, back.data() + 6000}};
  const std::vector<std::vector<uint64_t>> room = {{77, 3923, 1000}, {1000, 3000}};
  std::vector<uint64_t> lengths;
  ASSERT_TRUE(store_.BatchGetIntoMultiBuffers(keys, to, room, &lengths).ok());
  EXPECT_EQ(lengths, (std::vector<uint64_t>{5000, 4000}));
  EXPECT_EQ(back, value);
  const std::vector<std::vector<uint64_t>> other = {{50, 40}, {10}};
  EXPECT_TRUE(store_.BatchUpsertFromMultiBuffers(keys, addrs, other).ok());
  EXPECT_EQ(*store_.Size("x"), 90u);
}

TEST_F(StoreApiTest, ABufferThatIsTooSmallIsLeftAlone) {
  ASSERT_TRUE(store_.Put("k", "12345").ok());
  char room[4] = {'a', 'b', 'c', 'd'};
  const Result<uint64_t> got = store_.GetInto("k", room, sizeof room);
  EXPECT_EQ(got.status().code(), SLIPWAY_E_BUFFER_TOO_SMALL);
  EXPECT_EQ(std::string_view(room, 4), "abcd");
  uint64_t length = 0;
  EXPECT_EQ(slipway_store_get_into(store_.get(), "k", 1, room, 4, &length, nullptr, nullptr),
            SLIPWAY_E_BUFFER_TOO_SMALL);
  EXPECT_EQ(length, 5u);
}

TEST_F(StoreApiTest, RangesAreReadAndBounded) {
  const Bytes value = Pattern(10'000, 8);
  ASSERT_TRUE(store_.Put("k", value).ok());
  Bytes a(100), b(5000);
  const std::vector<slipway_store_range> ranges = {{a.data(), 100, 9900}, {b.data(), 5000, 3000}, {nullptr, 0, 10'000}};
  ASSERT_TRUE(store_.GetIntoRanges("k", ranges).ok());
  EXPECT_EQ(AsText(a), AsText(value).substr(9900, 100));
  EXPECT_EQ(AsText(b), AsText(value).substr(3000, 5000));
  const std::vector<slipway_store_range> beyond = {{a.data(), 100, 9901}};
  EXPECT_EQ(store_.GetIntoRanges("k", beyond).code(), SLIPWAY_E_RANGE);
  const std::vector<slipway_store_range> wrapping = {{a.data(), 100, UINT64_MAX}};
  EXPECT_EQ(store_.GetIntoRanges("k", wrapping).code(), SLIPWAY_E_RANGE);
  const std::vector<slipway_store_range> null = {{nullptr, 1, 0}};
  EXPECT_EQ(store_.GetIntoRanges("k", null).code(), SLIPWAY_E_INVALID);
}

TEST_F(StoreApiTest, AViewStaysAsItIs) {
  ASSERT_TRUE(store_.Put("k", "before").ok());
  const Result<View> view = store_.GetBuffer("k");
  ASSERT_TRUE(view.ok());
  EXPECT_FALSE(view->is_copy());
  ASSERT_TRUE(store_.Upsert("k", "after!").ok());
  ASSERT_TRUE(store_.Remove("k").ok());
  EXPECT_EQ(view->text(), "before");
  EXPECT_EQ(UsedBytes(store_), 64u);
  store_ = Store();
  EXPECT_EQ(view->text(), "before");
}

TEST_F(StoreApiTest, ListsInTheOrderOfBytes) {
  for (const char* key : {"b/2", "a", "b/10", "b/1", "c"}) ASSERT_TRUE(store_.Put(key, key).ok());
  const auto names = [&](const std::string& prefix) {
    std::string all;
    const Result<std::vector<ObjectInfo>> list = store_.List(prefix);
    for (const ObjectInfo& info : *list) all += info.key + " ";
    return all;
  };
  EXPECT_EQ(names(""), "a b/1 b/10 b/2 c ");
  EXPECT_EQ(names("b/"), "b/1 b/10 b/2 ");
  EXPECT_EQ(*store_.RemoveAll("b/"), 3u);
  EXPECT_EQ(names(""), "a c ");
  EXPECT_EQ(*store_.RemoveAll(), 2u);
  EXPECT_EQ(UsedBytes(store_), 0u);
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(store_.Put("key" + std::to_string(i), "").ok());
  EXPECT_EQ(store_.List()->size(), 3000u);
}

TEST_F(StoreApiTest, TensorsAreFilesOfTheFormat) {
  std::vector<float> data(12);
  std::iota(data.begin(), data.end(), 0.f);
  const std::vector<int64_t> shape = {3, 4};
  ASSERT_TRUE(store_.PutTensor("t", {data.data(), shape.data(), nullptr, 2, SLIPWAY_DTYPE_F32}).ok());
  const std::string file = Read(store_, "t");
  uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  EXPECT_EQ((8 + header) % 64, 0u);
  const Json json = Json::parse(file.substr(8, header));
  EXPECT_EQ(json.at("tensor").at("dtype"), "F32");
  EXPECT_EQ(json.at("tensor").at("shape"), Json(shape));
  EXPECT_EQ(file.size(), 8 + header + 48);
  const Result<TensorView> tensor = store_.GetTensor("t");
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(std::memcmp(tensor->data(), data.data(), 48), 0);
  EXPECT_EQ(std::vector<int64_t>(tensor->shape().begin(), tensor->shape().end()), shape);
}

TEST_F(StoreApiTest, StridedTensorsArePutInOrder) {
  std::vector<int16_t> data(60'000);
  std::iota(data.begin(), data.end(), int16_t{0});
  const std::vector<int64_t> shape = {200, 300}, transposed = {1, 200};
  ASSERT_TRUE(store_.PutTensor("t", {data.data(), shape.data(), transposed.data(), 2, SLIPWAY_DTYPE_I16}).ok());
  const Result<TensorView> tensor = store_.GetTensor("t");
  ASSERT_TRUE(tensor.ok());
  const auto* got = reinterpret_cast<const int16_t*>(tensor->data());
  for (int i = 0; i < 200; ++i) {
    for (int j = 0; j < 300; ++j) ASSERT_EQ(got[i * 300 + j], data[static_cast<size_t>(j * 200 + i)]);
  }
  // Back into the same order, which gives the same elements.
  std::vector<int16_t> back(60'000);
  const slipway_tensor target = {back.data(), shape.data(), transposed.data(), 2, SLIPWAY_DTYPE_I16};
  const Status into = store_.GetTensorInto("t", target);
  ASSERT_TRUE(into.ok()) << into.message();
  EXPECT_EQ(back, data);
}

TEST_F(StoreApiTest, TensorsOfAllKindsAndNone) {
  std::vector<std::string> keys;
  std::vector<slipway_tensor> tensors;
  const Bytes data = Pattern(64, 1);
  static const int64_t kShape[] = {2, 0};
  static const int64_t kTwo[] = {2};
  for (uint32_t dtype = 1; slipway_dtype_bytes(dtype) != 0; ++dtype) {
    const std::string name = slipway_dtype_name(dtype);
    EXPECT_EQ(slipway_dtype_from_name(name.c_str()), dtype);
    for (uint32_t rank : {0u, 1u, 2u}) {
      keys.push_back(name + std::to_string(rank));
      tensors.push_back({const_cast<std::byte*>(data.data()), rank == 2 ? kShape : kTwo, nullptr, rank, dtype});
    }
  }
  EXPECT_EQ(keys.size(), 51u);
  ASSERT_TRUE(store_.BatchPutTensor(keys, tensors).ok());
  EXPECT_TRUE(store_.BatchUpsertTensor(keys, tensors).ok());
  const TensorBatch got = store_.BatchGetTensor(keys);
  ASSERT_TRUE(got.statuses.ok()) << got.statuses.status().message();
  for (size_t i = 0; i < keys.size(); ++i) {
    const TensorInfo& info = got.tensors[i].info;
    EXPECT_EQ(info.dtype, tensors[i].dtype);
    EXPECT_EQ(info.rank, tensors[i].rank);
    EXPECT_EQ(info.data_length, slipway_dtype_bytes(info.dtype) * (info.rank == 0 ? 1 : info.rank == 1 ? 2 : 0));
    EXPECT_EQ(std::memcmp(got.tensors[i].data(), data.data(), info.data_length), 0);
  }
}

TEST_F(StoreApiTest, WhatIsNoTensorSaysSo) {
  ASSERT_TRUE(store_.Put("bytes", "just bytes, no tensor").ok());
  ASSERT_TRUE(store_.Put("none", "").ok());
  EXPECT_EQ(store_.GetTensor("bytes").status().code(), SLIPWAY_E_NOT_TENSOR);
  EXPECT_EQ(store_.GetTensor("none").status().code(), SLIPWAY_E_NOT_TENSOR);
  EXPECT_EQ(store_.TensorInfoOf("bytes").status().code(), SLIPWAY_E_NOT_TENSOR);
  EXPECT_EQ(store_.TensorInfoOf("none").status().code(), SLIPWAY_E_NOT_TENSOR);
  float value = 1;
  const int64_t shape[] = {1};
  ASSERT_TRUE(store_.PutTensor("t", {&value, shape, nullptr, 1, SLIPWAY_DTYPE_F32}).ok());
  const slipway_tensor other = {&value, shape, nullptr, 1, SLIPWAY_DTYPE_I32};
  EXPECT_EQ(store_.GetTensorInto("t", other).code(), SLIPWAY_E_NOT_TENSOR);
  const slipway_tensor scalar = {&value, nullptr, nullptr, 0, SLIPWAY_DTYPE_F32};
  EXPECT_EQ(store_.GetTensorInto("t", scalar).code(), SLIPWAY_E_NOT_TENSOR);
}

}  // namespace
}  // namespace slipway

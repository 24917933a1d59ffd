// What clients of such a store do, right and wrong, in every way that there is to write: to a store of their own, and
// to another node's over a transport that needs no registration and over one that does.
#include <cstring>

#include "tests/store/fixture.h"
#include "tests/store/ways.h"

namespace slipway {
namespace {

constexpr uint64_t kHalf = uint64_t{1} << 63;

class ClientCasesTest : public testing::TestWithParam<const char*> {
 protected:
  ClientCasesTest() {
    const std::string over = GetParam();
    if (over == "own") {
      home_ = MakeStore(StoreConfiguration(kMiB));
      return;
    }
    home_ = MakeStore(StoreConfiguration(kMiB, {Use(over)}));
    Json json = StoreConfiguration(0, {Use(over)});
    json["store"].erase("bytes");
    json["store"]["connect"] = *home_.ControlAddress();
    json["control"]["listen"] = "";
    client_ = MakeStore(json);
  }
  const Store& store() const { return client_ ? client_ : home_; }
  static bool IsUpsert(const Way& way) { return std::string_view(way.name).find("upsert") != std::string_view::npos; }
  // What there is, by key.
  std::string Sizes() {
    std::string all;
    const Result<std::vector<ObjectInfo>> list = store().List();
    for (const ObjectInfo& info : *list) all += info.key + ":" + std::to_string(info.length) + " ";
    return all;
  }
  void ExpectNothing() {
    EXPECT_EQ(Sizes(), "");
    EXPECT_EQ(UsedBytes(home_), 0u);
  }

  Store home_, client_;
  Bytes data_ = Pattern(64 * kKiB, 1);
};

TEST_P(ClientCasesTest, AKeyWithAValueOfAnotherSizeKeepsItUnlessItIsUpserted) {
  for (const Way& way : AllWays()) {
    for (const size_t old_bytes : {size_t{0}, 100 * kKiB}) {
      SCOPED_TRACE(std::string(way.name) + " over " + std::to_string(old_bytes));
      const std::string old(old_bytes, 'o');
      for (size_t i = 0; i < way.values; ++i) ASSERT_TRUE(store().Upsert("k/" + std::to_string(i), old).ok());
      const Status status = Write(way, store(), "k", data_.data(), data_.size());
      ASSERT_TRUE(status.ok()) << status.message();
      if (IsUpsert(way)) {
        EXPECT_EQ(WrittenBy(way, store(), "k", data_.size()), AsText(data_));
      } else {
        for (size_t i = 0; i < way.values; ++i) EXPECT_EQ(Read(store(), "k/" + std::to_string(i)), old);
      }
      EXPECT_EQ(store().List()->size(), way.values);
      EXPECT_EQ(*store().RemoveAll(), way.values);
      ExpectNothing();
    }
  }
}

TEST_P(ClientCasesTest, AFullStoreRefusesAndStaysAsItIs) {
  const std::string pinned(kMiB - 16 * kKiB, 'p');
  ASSERT_TRUE(store().Put("pinned", pinned, {.keep = Keep::kPinned}).ok());
  const uint64_t used = UsedBytes(home_);
  for (const Way& way : AllWays()) {
    const Status status = Write(way, store(), "k", data_.data(), data_.size());
    EXPECT_EQ(status.code(), SLIPWAY_E_NO_SPACE) << way.name << ": " << status.message();
    EXPECT_EQ(UsedBytes(home_), used) << way.name;
    EXPECT_EQ(store().List()->size(), 1u) << way.name;
  }
  // One key of a batch fails for lack of space, the others do not.
  const std::vector<std::string> keys = {"a", "b", "c"};
  const std::vector<const void*> addrs = {data_.data(), data_.data(), data_.data()};
  const BatchStatus put = store().BatchPutFrom(keys, addrs, std::vector<uint64_t>{1000, 64 * kKiB, 2000});
  EXPECT_EQ(put.status().code(), SLIPWAY_E_NO_SPACE);
  EXPECT_EQ(put[0], SLIPWAY_OK);
  EXPECT_EQ(put[1], SLIPWAY_E_NO_SPACE);
  EXPECT_EQ(put[2], SLIPWAY_OK);
  EXPECT_EQ(Sizes(), "a:1000 c:2000 pinned:" + std::to_string(pinned.size()) + " ");
  EXPECT_EQ(Read(store(), "pinned"), pinned);
}

TEST_P(ClientCasesTest, WhatIsLargerThanEverySegmentIsRefused) {
  Bytes large(4 * kMiB);
  for (const Way& way : AllWays()) {
    EXPECT_EQ(Write(way, store(), "k", large.data(), large.size()).code(), SLIPWAY_E_TOO_LARGE) << way.name;
  }
  ExpectNothing();
}

TEST_P(ClientCasesTest, SizesUpToTheLargestAreRefusedAndChangeNothing) {
  std::byte byte{1};
  for (const uint64_t size : {kHalf, UINT64_MAX - 4096, UINT64_MAX - 1, UINT64_MAX}) {
    SCOPED_TRACE(size);
    const std::vector<std::string> keys = {"a", "b"};
    const std::vector<const void*> addrs = {&byte, &byte};
    const std::vector<uint64_t> sizes = {1, size};
    const std::vector<std::vector<const void*>> all_addrs = {{&byte}, {&byte, &byte}};
    const std::vector<std::vector<uint64_t>> all_sizes = {{1}, {1, size}};
    for (const Status& status :
         {store().PutFrom("a", &byte, size).status(), store().UpsertFrom("a", &byte, size),
          store().BatchPutFrom({keys.data() + 1, 1}, {addrs.data(), 1}, {sizes.data() + 1, 1}).status(),
          store().BatchUpsertFrom({keys.data() + 1, 1}, {addrs.data(), 1}, {sizes.data() + 1, 1}).status(),
          store().BatchPutFromMultiBuffers({keys.data() + 1, 1}, {&all_addrs[1], 1}, {&all_sizes[1], 1}).status(),
          store().BatchUpsertFromMultiBuffers({keys.data() + 1, 1}, {&all_addrs[1], 1}, {&all_sizes[1], 1}).status()}) {
      EXPECT_TRUE(status.code() == SLIPWAY_E_INVALID || status.code() == SLIPWAY_E_TOO_LARGE) << status.message();
    }
    EXPECT_FALSE(store().BatchPutFrom(keys, addrs, sizes).ok());
    EXPECT_FALSE(store().BatchUpsertFromMultiBuffers(keys, all_addrs, all_sizes).ok());
    (void)store().RemoveAll("a");  // a size that makes sense and does not fit fails alone
    EXPECT_EQ(store().GetInto("a", &byte, size).status().code() == SLIPWAY_OK, false);
  }
  // Each makes sense, and both together do not.
  const std::vector<std::string> keys = {"a"};
  const std::vector<std::vector<const void*>> addrs = {{&byte, &byte}};
  const std::vector<std::vector<uint64_t>> sizes = {{kHalf, kHalf}};
  const BatchStatus sum = store().BatchPutFromMultiBuffers(keys, addrs, sizes);
  EXPECT_EQ(sum.status().code(), SLIPWAY_E_INVALID);
  EXPECT_THAT(sum.status().message(), testing::HasSubstr("add up to more than 64 bits"));
  ExpectNothing();
}

TEST_P(ClientCasesTest, ANullAddressWithASizeIsRefusedAndChangesNothing) {
  const std::byte byte{1};
  const std::vector<std::string> keys = {"a", "b"};
  const std::vector<const void*> addrs = {&byte, nullptr};
  const std::vector<uint64_t> sizes = {1, 1};
  const std::vector<std::vector<const void*>> all_addrs = {{&byte}, {&byte, nullptr}};
  const std::vector<std::vector<uint64_t>> all_sizes = {{1}, {1, 1}};
  for (const Status& status :
       {store().PutFrom("a", nullptr, 1).status(), store().UpsertFrom("a", nullptr, 1),
        store().BatchPutFrom(keys, addrs, sizes).status(), store().BatchUpsertFrom(keys, addrs, sizes).status(),
        store().BatchPutFromMultiBuffers(keys, all_addrs, all_sizes).status(),
        store().BatchUpsertFromMultiBuffers(keys, all_addrs, all_sizes).status()}) {
    EXPECT_EQ(status.code(), SLIPWAY_E_INVALID);
    EXPECT_THAT(status.message(), testing::HasSubstr("the address is null"));
  }
  ExpectNothing();
  ASSERT_TRUE(store().Put("k", "value").ok());
  EXPECT_EQ(store().GetInto("k", nullptr, 5).status().code(), SLIPWAY_E_INVALID);
}

TEST_P(ClientCasesTest, ListsOfOtherLengthsAndKeysThatComeTwiceAreRefused) {
  const std::byte byte{1};
  const std::vector<std::string> two = {"a", "b"}, same = {"a", "a"};
  const std::vector<const void*> one_addr = {&byte}, addrs = {&byte, &byte};
  const std::vector<uint64_t> one_size = {1}, sizes = {1, 1};
  const std::vector<std::vector<const void*>> lists = {{&byte}, {&byte}}, longer = {{&byte}, {&byte, &byte}};
  const std::vector<std::vector<uint64_t>> size_lists = {{1}, {1}};
  const std::vector<ConstBytes> value = {{&byte, 1}}, values = {{&byte, 1}, {&byte, 1}};
  for (const BatchStatus& status :
       {store().PutBatch(two, value), store().UpsertBatch(two, value), store().BatchPutFrom(two, one_addr, sizes),
        store().BatchPutFrom(two, addrs, one_size), store().BatchUpsertFrom(two, one_addr, sizes),
        store().BatchUpsertFrom(two, addrs, one_size), store().BatchPutFromMultiBuffers(two, longer, size_lists),
        store().BatchUpsertFromMultiBuffers(two, longer, size_lists), store().PutBatch(same, values),
        store().UpsertBatch(same, values), store().BatchPutFrom(same, addrs, sizes),
        store().BatchUpsertFrom(same, addrs, sizes), store().BatchPutFromMultiBuffers(same, lists, size_lists),
        store().BatchUpsertFromMultiBuffers(same, lists, size_lists)}) {
    EXPECT_EQ(status.status().code(), SLIPWAY_E_INVALID) << status.status().message();
    EXPECT_EQ(status[0], SLIPWAY_E_INVALID);
  }
  ExpectNothing();
}

TEST_P(ClientCasesTest, ValuesAndBuffersOfNoBytesAreFoundAndReadBack) {
  const std::byte byte{'x'};
  const std::vector<std::string> keys = {"a", "b", "c"};
  const std::vector<const void*> addrs = {nullptr, &byte, &byte};
  const std::vector<uint64_t> sizes = {0, 0, 1};
  const std::vector<std::vector<const void*>> all_addrs = {{}, {nullptr, nullptr}, {nullptr, &byte, nullptr}};
  const std::vector<std::vector<uint64_t>> all_sizes = {{}, {0, 0}, {0, 1, 0}};
  const std::vector<ConstBytes> values = {{}, {&byte, 0}, {&byte, 1}};
  for (int way = 0; way < 6; ++way) {
    const BatchStatus put = way == 0   ? store().PutBatch(keys, values)
                            : way == 1 ? store().UpsertBatch(keys, values)
                            : way == 2 ? store().BatchPutFrom(keys, addrs, sizes)
                            : way == 3 ? store().BatchUpsertFrom(keys, addrs, sizes)
                            : way == 4 ? store().BatchPutFromMultiBuffers(keys, all_addrs, all_sizes)
                                       : store().BatchUpsertFromMultiBuffers(keys, all_addrs, all_sizes);
    ASSERT_TRUE(put.ok()) << way << ": " << put.status().message();
    EXPECT_EQ(Sizes(), "a:0 b:0 c:1 ") << way;
    const ViewBatch got = store().GetBatch(keys);
    ASSERT_TRUE(got.statuses.ok()) << got.statuses.status().message();
    EXPECT_EQ(std::string(got.views[0].text()) + std::string(got.views[1].text()), "");
    EXPECT_EQ(got.views[2].text(), "x");
    std::byte back{0};
    std::vector<uint64_t> lengths;
    const std::vector<void*> to = {nullptr, &back, &back};
    ASSERT_TRUE(store().BatchGetInto(keys, to, sizes, &lengths).ok());
    EXPECT_EQ(lengths, sizes);
    EXPECT_EQ(back, byte);
    EXPECT_EQ(*store().RemoveAll(), 3u);
  }
  ExpectNothing();
}

INSTANTIATE_TEST_SUITE_P(Over, ClientCasesTest, testing::Values("own", "tcp", "fake"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace slipway

// Strided elements as runs, and the header of the file.
#include "core/store/tensor.h"

#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

#include "core/store/safetensors.h"

namespace slipway {
namespace {

std::vector<int32_t> Gathered(const slipway_tensor& tensor) {
  const Result<Layout> layout = Layout::Of(tensor);
  EXPECT_TRUE(layout.ok()) << layout.status().message();
  std::vector<int32_t> out(layout->bytes() / sizeof(int32_t));
  char* to = reinterpret_cast<char*>(out.data());
  layout->ForEachRun(0, layout->bytes(), [&](const char* from, uint64_t n) {
    std::memcpy(to, from, n);
    to += n;
  });
  // Any cut gives the same bytes.
  std::vector<int32_t> again(out.size());
  to = reinterpret_cast<char*>(again.data());
  for (uint64_t at = 0; at < layout->bytes(); at += 3) {
    layout->ForEachRun(at, std::min<uint64_t>(3, layout->bytes() - at), [&](const char* from, uint64_t n) {
      std::memcpy(to, from, n);
      to += n;
    });
  }
  EXPECT_EQ(out, again);
  return out;
}

class LayoutTest : public testing::Test {
 protected:
  LayoutTest() { std::iota(data_.begin(), data_.end(), 0); }
  slipway_tensor Tensor(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, int64_t first = 0) {
    shape_ = shape;
    strides_ = strides;
    return {data_.data() + first, shape_.data(), strides_.empty() ? nullptr : strides_.data(),
            static_cast<uint32_t>(shape_.size()), SLIPWAY_DTYPE_I32};
  }
  std::vector<int32_t> data_ = std::vector<int32_t>(24);
  std::vector<int64_t> shape_, strides_;
};

TEST_F(LayoutTest, WhatLiesSideBySideIsOneRun) {
  EXPECT_TRUE(Layout::Of(Tensor({2, 3, 4}, {}))->contiguous());
  EXPECT_TRUE(Layout::Of(Tensor({2, 3, 4}, {12, 4, 1}))->contiguous());
  EXPECT_TRUE(Layout::Of(Tensor({2, 1, 12}, {12, 999, 1}))->contiguous());
  EXPECT_EQ(Layout::Of(Tensor({2, 2, 4}, {12, 4, 1}))->run_bytes(), 32u);
}

TEST_F(LayoutTest, TransposedSlicedReversedAndRepeated) {
  EXPECT_THAT(Gathered(Tensor({3, 2}, {1, 3})), testing::ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(Gathered(Tensor({2, 2}, {12, 2}, 1)), testing::ElementsAre(1, 3, 13, 15));
  EXPECT_THAT(Gathered(Tensor({4}, {-2}, 6)), testing::ElementsAre(6, 4, 2, 0));
  EXPECT_THAT(Gathered(Tensor({2, 3}, {0, 1})), testing::ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(Gathered(Tensor({}, {})), testing::ElementsAre(0));
  EXPECT_THAT(Gathered(Tensor({3, 0, 2}, {})), testing::ElementsAre());
}

TEST_F(LayoutTest, KnowsWhereItsBytesLie) {
  const Result<Layout> layout = Layout::Of(Tensor({4}, {-2}, 6));
  EXPECT_EQ(layout->low(), reinterpret_cast<char*>(data_.data()));
  EXPECT_EQ(layout->extent_bytes(), 7 * sizeof(int32_t));
}

TEST_F(LayoutTest, KnowsWhetherElementsOverlap) {
  EXPECT_TRUE(Layout::Of(Tensor({3, 2}, {1, 3}))->Disjoint());
  EXPECT_TRUE(Layout::Of(Tensor({4}, {-2}, 6))->Disjoint());
  EXPECT_FALSE(Layout::Of(Tensor({2, 3}, {0, 1}))->Disjoint());
  EXPECT_FALSE(Layout::Of(Tensor({3, 3}, {2, 1}))->Disjoint());
}

TEST_F(LayoutTest, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(Layout::Of(Tensor({-1}, {})).ok());
  EXPECT_FALSE(Layout::Of(Tensor({INT64_MAX, INT64_MAX}, {})).ok());
  EXPECT_FALSE(Layout::Of(Tensor({2, 2}, {INT64_MAX, 1})).ok());
  slipway_tensor tensor = Tensor({2}, {});
  tensor.dtype = 99;
  EXPECT_FALSE(Layout::Of(tensor).ok());
  tensor = Tensor({2}, {});
  tensor.data = nullptr;
  EXPECT_FALSE(Layout::Of(tensor).ok());
  tensor.rank = 33;
  EXPECT_FALSE(Layout::Of(tensor).ok());
  EXPECT_TRUE(Layout::Of(Tensor({INT64_MAX, 0, INT64_MAX}, {})).ok());
}

TEST_F(LayoutTest, TheHeaderIsReadBack) {
  for (const DtypeInfo& dtype : Dtypes()) {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{}, {0}, {2, 3}, {1, 1, 1, 1, 1, 1, 1}}) {
      slipway_tensor tensor = Tensor(shape, {});
      tensor.dtype = dtype.dtype;
      uint64_t bytes = dtype.bytes;
      for (const int64_t extent : shape) bytes *= static_cast<uint64_t>(extent);
      const std::string header = TensorHeader(tensor, bytes);
      EXPECT_EQ(header.size() % 64, 0u);
      EXPECT_EQ(*TensorHeaderBytes(header, header.size() + bytes), header.size());
      slipway_tensor_info info{};
      ASSERT_TRUE(ParseTensorHeader(header, header.size() + bytes, &info).ok());
      EXPECT_EQ(info.dtype, dtype.dtype);
      EXPECT_EQ(std::vector<int64_t>(info.shape, info.shape + info.rank), shape);
      EXPECT_EQ(info.data_offset, header.size());
      EXPECT_EQ(info.data_length, bytes);
    }
  }
}

TEST_F(LayoutTest, OtherHeadersAreNone) {
  const auto code = [](const std::string& json, uint64_t data_bytes) {
    std::string header(8, '\0');
    header[0] = static_cast<char>(json.size());
    header += json;
    slipway_tensor_info info{};
    return ParseTensorHeader(header, header.size() + data_bytes, &info).code();
  };
  EXPECT_EQ(code(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), SLIPWAY_OK);
  EXPECT_EQ(code(R"({"__metadata__":{"a":"b"},"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1), SLIPWAY_OK);
  for (
      const char* json :
      {"", "{", "[]", "{}", R"({"x":1})", R"({"x":{"dtype":"F32"}})",
       R"({"x":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})",
       R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
       R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
       R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
       R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
       R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})"}) {
    EXPECT_EQ(code(json, 8), SLIPWAY_E_NOT_TENSOR) << json;
  }
  EXPECT_FALSE(TensorHeaderBytes("short", 5).ok());
  EXPECT_FALSE(TensorHeaderBytes(std::string(8, '\xff'), 1000).ok());
}

}  // namespace
}  // namespace slipway

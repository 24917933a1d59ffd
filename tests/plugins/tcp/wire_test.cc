// Frames and blobs: what is encoded is decoded, and nothing else is.
#include "plugins/tcp/wire.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "slipway/abi/memory.h"

namespace slipway::tcp {
namespace {

constexpr uint64_t kMax = 1 << 20;

Frame Sample(Op op) {
  Frame f;
  f.op = op;
  f.id = 0x1122334455667788;
  f.registration = 42;
  f.key = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  f.offset = op == Op::kReadData ? kLent : 0xfedcba9876543210;
  f.length = 4711;
  return f;
}

TEST(TcpWire, FramesComeBackAsTheyWere) {
  for (uint8_t op = 1; op <= kOpMax; ++op) {
    Frame in = Sample(static_cast<Op>(op)), out;
    if (in.op == Op::kWriteAck) in.status = SLIPWAY_E_ACCESS;
    uint8_t header[kHeaderBytes];
    EncodeHeader(in, header);
    ASSERT_EQ(DecodeHeader(header, kMax, &out), DecodeError::kNone);
    EXPECT_EQ(out.op, in.op);
    EXPECT_EQ(out.id, in.id);
    EXPECT_EQ(out.registration, in.registration);
    EXPECT_EQ(out.key, in.key);
    EXPECT_EQ(out.offset, in.offset);
    EXPECT_EQ(out.length, in.length);
    EXPECT_EQ(out.status, in.status);
    EXPECT_EQ(out.body_bytes(), in.op == Op::kWrite || in.op == Op::kReadData ? 4711u : 0u);
  }
}

TEST(TcpWire, EverySingleBitOfAHeaderMatters) {
  uint8_t header[kHeaderBytes];
  EncodeHeader(Sample(Op::kWrite), header);
  for (size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    header[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    Frame out;
    EXPECT_NE(DecodeHeader(header, kMax, &out), DecodeError::kNone) << bit;
    header[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  }
}

// By an implementation apart from this one: words of eight bytes, the last of four.
TEST(TcpWire, TheSumOfAKnownHeader) {
  Frame f;
  f.op = Op::kWriteAck;
  f.id = 0x1122334455667788;
  f.registration = 7;
  for (uint8_t i = 0; i < f.key.size(); ++i) f.key[i] = static_cast<uint8_t>(i + 1);
  f.offset = 4096;
  f.length = 65536;
  f.status = -2;
  uint8_t header[kHeaderBytes];
  EncodeHeader(f, header);
  uint32_t sum = 0;
  std::memcpy(&sum, header + 60, sizeof sum);
  EXPECT_EQ(sum, 0x5d097306u);
}

TEST(TcpWire, WhatBreaksARuleIsNamed) {
  const auto error = [](const Frame& f) {
    uint8_t header[kHeaderBytes];
    EncodeHeader(f, header);
    Frame out;
    return DecodeHeader(header, kMax, &out);
  };
  Frame f = Sample(Op::kWrite);
  f.length = kMax + 1;
  EXPECT_EQ(error(f), DecodeError::kLength);
  f.length = 0;
  EXPECT_EQ(error(f), DecodeError::kLength);
  f = Sample(Op::kRead);
  f.status = SLIPWAY_E_ACCESS;
  EXPECT_EQ(error(f), DecodeError::kStatus);
  f = Sample(Op::kReadData);
  f.status = 5;
  EXPECT_EQ(error(f), DecodeError::kStatus);
  f = Sample(Op::kReadData);
  f.offset = kLent + 1;
  EXPECT_EQ(error(f), DecodeError::kReserved);
  f = Sample(static_cast<Op>(kOpMax + 1));
  EXPECT_EQ(error(f), DecodeError::kOp);
  f = Sample(static_cast<Op>(0));
  EXPECT_EQ(error(f), DecodeError::kOp);
}

// However a stream is cut, the same frames come out.
TEST(TcpWire, TheReaderDoesNotMindHowAStreamIsCut) {
  std::mt19937 random(3);
  std::vector<uint8_t> stream;
  std::vector<uint64_t> ids;
  for (uint64_t i = 0; i < 50; ++i) {
    Frame f = Sample(i % 3 == 0 ? Op::kWrite : Op::kRead);
    f.id = i;
    f.length = 1 + random() % 300;
    ids.push_back(i);
    uint8_t header[kHeaderBytes];
    EncodeHeader(f, header);
    stream.insert(stream.end(), header, header + kHeaderBytes);
    stream.resize(stream.size() + f.body_bytes());
  }
  for (int round = 0; round < 200; ++round) {
    FrameReader reader(kMax);
    std::vector<uint64_t> seen;
    for (size_t at = 0; at < stream.size();) {
      size_t chunk = std::min<size_t>(1 + random() % 100, stream.size() - at);
      while (chunk > 0) {
        size_t n;
        if (reader.body_left() != 0) {
          n = std::min<size_t>(chunk, reader.body_left());
          reader.Body(n);
        } else {
          Frame f;
          bool complete;
          n = reader.Header(stream.data() + at, chunk, &f, &complete);
          if (complete) seen.push_back(f.id);
        }
        at += n;
        chunk -= n;
      }
    }
    ASSERT_EQ(seen, ids);
    ASSERT_TRUE(reader.between_frames());
  }
}

TEST(TcpWire, TheReaderStopsForGoodAtTheFirstError) {
  FrameReader reader(kMax);
  std::vector<uint8_t> zeros(200);
  Frame f;
  bool complete = true;
  reader.Header(zeros.data(), zeros.size(), &f, &complete);
  EXPECT_FALSE(complete);
  EXPECT_EQ(reader.error(), DecodeError::kMagic);
  EXPECT_EQ(reader.Header(zeros.data(), zeros.size(), &f, &complete), 0u);
}

TEST(TcpWire, BlobsComeBackAndEveryBitAndLengthMatters) {
  InstanceAddress address;
  address.instance = Sample(Op::kPing).key;
  address.addresses = {{4, 1234, 0, {127, 0, 0, 1}}, {6, 99, 3, {0xfe, 0x80}}};
  const std::string a = EncodeAddress(address);
  EXPECT_LE(a.size(), kAddressBlobBytesMax);
  ASSERT_TRUE(DecodeAddress(a));
  EXPECT_EQ(DecodeAddress(a)->addresses, address.addresses);
  EXPECT_EQ(DecodeAddress(a)->instance, address.instance);
  const std::string r = EncodeRegistration({address.instance, 7, address.instance, 4096, SLIPWAY_ACCESS_REMOTE_READ});
  EXPECT_EQ(r.size(), kRegistrationBlobBytes);
  ASSERT_TRUE(DecodeRegistration(r));
  EXPECT_EQ(DecodeRegistration(r)->length, 4096u);
  for (const std::string& blob : {a, r}) {
    for (size_t n = 0; n < blob.size(); ++n) {
      EXPECT_FALSE(DecodeAddress(blob.substr(0, n)));
      EXPECT_FALSE(DecodeRegistration(blob.substr(0, n)));
    }
    for (size_t bit = 0; bit < blob.size() * 8; ++bit) {
      std::string damaged = blob;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(DecodeAddress(damaged)) << bit;
      EXPECT_FALSE(DecodeRegistration(damaged)) << bit;
    }
  }
  EXPECT_FALSE(DecodeAddress(r));
  EXPECT_FALSE(DecodeRegistration(a));
}

TEST(TcpWire, KeysAreCompared) {
  Key a, b;
  ASSERT_TRUE(RandomKey(&a) && RandomKey(&b));
  EXPECT_TRUE(EqualConstantTime(a, a));
  EXPECT_FALSE(EqualConstantTime(a, b));
}

}  // namespace
}  // namespace slipway::tcp

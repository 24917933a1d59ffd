// Names and private data: what was made is read back, and nothing else is accepted.
#include "plugins/rdma-verbs/wire.h"

#include <gtest/gtest.h>

#include <random>

#include "plugins/rdma-verbs/digest.h"
#include "slipway/abi/memory.h"

namespace slipway::rdma {
namespace {

std::string Hex(const Digest& d) {
  std::string out;
  for (const uint8_t b : d) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

Key KeyOf(uint8_t seed) {
  Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(seed + i * 7);
  return key;
}
SocketAddress Ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) {
  SocketAddress out;
  out.port = port;
  out.bytes = {a, b, c, d};
  return out;
}

// FIPS 180-4's examples, and lengths around the block's end, whose digests other tools agree on.
TEST(DigestTest, KnownAnswers) {
  EXPECT_EQ(Hex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hex(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hex(Sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Hex(Sha256(std::string(1000, 'a'))), "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
}

// RFC 4231, test cases 1 and 2.
TEST(DigestTest, HmacKnownAnswers) {
  EXPECT_EQ(Hex(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

InstanceAddress SampleAddress() {
  InstanceAddress a;
  a.instance = KeyOf(1);
  a.secret = KeyOf(2);
  a.endpoints = {Ipv4(10, 0, 0, 1, 4242), Ipv4(192, 168, 7, 9, 1)};
  SocketAddress six;
  six.family = 6;
  six.port = 65535;
  for (size_t i = 0; i < 16; ++i) six.bytes[i] = static_cast<uint8_t>(i + 1);
  a.endpoints.push_back(six);
  return a;
}
RemoteRegistration SampleRegistration() {
  RemoteRegistration r;
  r.instance = KeyOf(1);
  r.base = 0x123456789000;
  r.length = 1 << 20;
  r.access = SLIPWAY_ACCESS_REMOTE_READ;
  r.rkeys = {0xdeadbeef, 1, 2};
  return r;
}

TEST(Names, AnAddressComesBack) {
  const InstanceAddress a = SampleAddress();
  const std::string blob = EncodeAddress(a);
  EXPECT_LE(blob.size(), kAddressBlobBytesMax);
  const auto back = DecodeAddress(blob);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->instance, a.instance);
  EXPECT_EQ(back->secret, a.secret);
  EXPECT_EQ(back->endpoints, a.endpoints);
  EXPECT_EQ(back->endpoints[0].ToString(), "10.0.0.1:4242");
  EXPECT_EQ(back->endpoints[2].ToString(), "[102:304:506:708:90a:b0c:d0e:f10]:65535");
}

TEST(Names, ARegistrationComesBack) {
  const RemoteRegistration r = SampleRegistration();
  const auto back = DecodeRegistration(EncodeRegistration(r));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->instance, r.instance);
  EXPECT_EQ(back->base, r.base);
  EXPECT_EQ(back->length, r.length);
  EXPECT_EQ(back->access, r.access);
  EXPECT_EQ(back->rkeys, r.rkeys);
}

TEST(Names, EveryChangedBitIsNoticed) {
  for (const std::string& blob : {EncodeAddress(SampleAddress()), EncodeRegistration(SampleRegistration())}) {
    for (size_t bit = 0; bit < blob.size() * 8; ++bit) {
      std::string damaged = blob;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(DecodeAddress(damaged)) << bit;
      EXPECT_FALSE(DecodeRegistration(damaged)) << bit;
    }
    for (size_t n = 0; n < blob.size(); ++n) {
      EXPECT_FALSE(DecodeAddress(std::string_view(blob).substr(0, n)));
      EXPECT_FALSE(DecodeRegistration(std::string_view(blob).substr(0, n)));
    }
  }
  EXPECT_FALSE(DecodeAddress(EncodeRegistration(SampleRegistration())));
  EXPECT_FALSE(DecodeRegistration(EncodeAddress(SampleAddress())));
}

// Well sealed, by somebody who wants to do harm.
TEST(Names, NonsenseIsRefusedThoughItIsSealed) {
  RemoteRegistration r = SampleRegistration();
  r.length = 0;
  EXPECT_FALSE(DecodeRegistration(EncodeRegistration(r)));
  r = SampleRegistration();
  r.base = ~uint64_t{0} - 10;
  EXPECT_FALSE(DecodeRegistration(EncodeRegistration(r)));
  r = SampleRegistration();
  r.access = 0x100;
  EXPECT_FALSE(DecodeRegistration(EncodeRegistration(r)));
  r = SampleRegistration();
  r.rkeys.clear();
  EXPECT_FALSE(DecodeRegistration(EncodeRegistration(r)));
  InstanceAddress a = SampleAddress();
  a.endpoints[0].port = 0;
  EXPECT_FALSE(DecodeAddress(EncodeAddress(a)));
  a = SampleAddress();
  a.endpoints[0].family = 5;
  EXPECT_FALSE(DecodeAddress(EncodeAddress(a)));
  a = SampleAddress();
  a.endpoints.clear();
  EXPECT_FALSE(DecodeAddress(EncodeAddress(a)));
  a = SampleAddress();
  a.protocol_min = 2;
  EXPECT_FALSE(DecodeAddress(EncodeAddress(a)));
}

TEST(Names, RandomBytesAreRefused) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 240, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_FALSE(DecodeAddress(bytes));
    EXPECT_FALSE(DecodeRegistration(bytes));
    ConnectRequest request;
    EXPECT_TRUE(CheckRequest(bytes, KeyOf(1), KeyOf(2), &request));
    EXPECT_FALSE(DecodeReply(bytes, "request", KeyOf(2)));
  }
}

TEST(Names, HowAlikeAddressesAre) {
  EXPECT_EQ(CommonPrefixBits(Ipv4(10, 0, 0, 1, 1), Ipv4(10, 0, 0, 1, 2)), 32);
  EXPECT_EQ(CommonPrefixBits(Ipv4(10, 0, 0, 1, 1), Ipv4(10, 0, 0, 2, 1)), 30);
  EXPECT_EQ(CommonPrefixBits(Ipv4(10, 0, 0, 1, 1), Ipv4(192, 0, 0, 1, 1)), 0);
  SocketAddress six;
  six.family = 6;
  EXPECT_EQ(CommonPrefixBits(Ipv4(10, 0, 0, 1, 1), six), -1);
}

// ---- connecting ----------------------------------------------------------------------------------------------------

const Key kInstance = KeyOf(11), kSecret = KeyOf(22);

ConnectRequest SampleRequest() {
  ConnectRequest r;
  r.mtu = 5;
  r.epoch = EpochOf(kInstance);
  r.initiator = KeyOf(33);
  r.nonce = 0x1122334455667788;
  return r;
}
// As the connection manager hands it over: padded with zeros.
std::string Bytes(const auto& array, size_t padded = 0) {
  std::string out(reinterpret_cast<const char*>(array.data()), array.size());
  if (out.size() < padded) out.resize(padded, '\0');
  return out;
}

TEST(ConnectingTest, AGenuineRequestIsAccepted) {
  ConnectRequest back;
  EXPECT_FALSE(CheckRequest(Bytes(EncodeRequest(SampleRequest(), kSecret), 92), kInstance, kSecret, &back));
  EXPECT_EQ(back.mtu, 5);
  EXPECT_EQ(back.initiator, KeyOf(33));
  EXPECT_EQ(back.nonce, SampleRequest().nonce);
}

TEST(ConnectingTest, EveryRequestThatIsNotGenuineIsRefusedWithItsReason) {
  ConnectRequest out;
  const std::string good = Bytes(EncodeRequest(SampleRequest(), kSecret));
  EXPECT_EQ(CheckRequest(good, kInstance, KeyOf(23), &out), Refusal::kProof);
  EXPECT_EQ(CheckRequest(good, KeyOf(12), kSecret, &out), Refusal::kEpoch);
  EXPECT_EQ(CheckRequest(good.substr(1), kInstance, kSecret, &out), Refusal::kMalformed);
  EXPECT_EQ(CheckRequest("", kInstance, kSecret, &out), Refusal::kMalformed);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string damaged = good;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_TRUE(CheckRequest(damaged, kInstance, kSecret, &out)) << "bit " << bit;
  }
  ConnectRequest later = SampleRequest();
  later.version_min = later.version_max = 2;
  EXPECT_EQ(CheckRequest(Bytes(EncodeRequest(later, kSecret)), kInstance, kSecret, &out), Refusal::kVersion);
  ConnectRequest odd = SampleRequest();
  odd.mtu = 9;
  EXPECT_EQ(CheckRequest(Bytes(EncodeRequest(odd, kSecret)), kInstance, kSecret, &out), Refusal::kMalformed);
}

TEST(ConnectingTest, OnlyTheAnswerToThisRequestIsAccepted) {
  const std::string request = Bytes(EncodeRequest(SampleRequest(), kSecret));
  ConnectReply reply;
  reply.mtu = 3;
  reply.slice_bytes_max = 1 << 20;
  const std::string bytes = Bytes(EncodeReply(reply, request, kSecret), 196);
  const auto back = DecodeReply(bytes, request, kSecret);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->mtu, 3);
  EXPECT_EQ(back->slice_bytes_max, 1u << 20);
  ConnectRequest other = SampleRequest();
  ++other.nonce;
  EXPECT_FALSE(DecodeReply(bytes, Bytes(EncodeRequest(other, kSecret)), kSecret)) << "replayed";
  EXPECT_FALSE(DecodeReply(bytes, request, KeyOf(23)));
  for (size_t bit = 0; bit < kReplyBytes * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeReply(damaged, request, kSecret)) << "bit " << bit;
  }
}

TEST(ConnectingTest, ARefusalSaysWhy) {
  for (uint8_t i = 1; i <= 6; ++i) {
    const auto why = static_cast<Refusal>(i);
    EXPECT_EQ(DecodeRefusal(Bytes(EncodeRefusal(why), 148)), why);
  }
  EXPECT_FALSE(DecodeRefusal(std::string(148, '\0')));
  EXPECT_FALSE(DecodeRefusal("RF"));
}

}  // namespace
}  // namespace slipway::rdma

// Messages between a store and its clients in other processes: little-endian numbers and texts with their length.
//
// Both directions are frames of a 4-byte length and that many bytes. What is read is hostile: a reader that was asked
// for more than there is gives zeros from then on and says so.
#ifndef SLIPWAY_CORE_STORE_WIRE_H_
#define SLIPWAY_CORE_STORE_WIRE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace slipway {

inline constexpr uint32_t kStoreWireVersion = 1;
inline constexpr std::string_view kStoreProtocol = "slipway-store/1";
inline constexpr size_t kFrameHead = 4;

enum class WireOp : uint8_t {
  kHello = 1,
  kBegin,
  kCommit,
  kAbort,
  kLookup,
  kRelease,  // has no reply
  kStat,
  kRemove,
  kRemoveAll,
  kList,
  kDescribe
};

class WireWriter {
 public:
  WireWriter() : bytes_(kFrameHead, '\0') {}

  void U8(uint8_t v) { bytes_ += static_cast<char>(v); }
  void U32(uint32_t v) { Number(v, 4); }
  void U64(uint64_t v) { Number(v, 8); }
  void I32(int32_t v) { U32(static_cast<uint32_t>(v)); }
  void Text(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    bytes_ += text;
  }
  size_t payload_bytes() const { return bytes_.size() - kFrameHead; }
  // The frame, whole.
  std::string Finish() && {
    uint64_t length = payload_bytes();
    for (size_t i = 0; i < kFrameHead; ++i, length >>= 8) bytes_[i] = static_cast<char>(length & 0xff);
    return std::move(bytes_);
  }

 private:
  void Number(uint64_t v, int bytes) {
    for (; bytes > 0; --bytes, v >>= 8) bytes_ += static_cast<char>(v & 0xff);
  }
  std::string bytes_;
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t U64() { return Number(8); }
  int32_t I32() { return static_cast<int32_t>(U32()); }
  std::string_view Text(size_t most) {
    const size_t length = U32();
    if (length > most) ok_ = false;
    return Take(length);
  }
  // How many entries follow, each of at least `least` bytes: never more than what is there could hold.
  uint32_t Count(size_t least) {
    const uint32_t count = U32();
    if (count > rest_.size() / least) ok_ = false;
    return ok_ ? count : 0;
  }
  bool ok() const { return ok_; }
  bool AllRead() const { return ok_ && rest_.empty(); }

 private:
  std::string_view Take(size_t bytes) {
    if (!ok_ || bytes > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  uint64_t Number(int bytes) {
    const std::string_view taken = Take(static_cast<size_t>(bytes));
    uint64_t v = 0;
    for (size_t i = taken.size(); i-- > 0;) v = v << 8 | static_cast<unsigned char>(taken[i]);
    return v;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_WIRE_H_

// Whatever bytes come over a connection, or as a blob: the parser neither reads nor writes beyond its bounds, and what
// it makes of a stream does not depend on how the stream was cut.
//
// The first byte chooses: odd, and every header is given a check sum that fits, so that the fields behind it are
// reached; the second is the size of the pieces.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "plugins/tcp/receive.h"

namespace slipway::tcp {
namespace {

constexpr uint64_t kLengthMax = 4096;

struct Collector {
  explicit Collector(FrameReader& r) : reader(r) {}
  bool OnFrame(const Frame& f) {
    if (f.body_bytes() > kLengthMax) std::abort();
    frames.push_back(f);
    // Exactly as long as the body, so that a sanitizer sees the first byte beyond it.
    body.assign(f.body_bytes(), 0);
    body.shrink_to_fit();
    done = 0;
    return f.op != Op::kGoodbye;
  }
  uint8_t* BodyBegin() { return frames.size() % 3 == 0 ? nullptr : body.data() + done; }
  bool BodyDetours() const { return frames.size() % 2 == 0; }
  bool BodyEnd(uint64_t n) {
    done += n;
    if (done > body.size() || body.size() - done != reader.body_left()) std::abort();
    if (reader.body_left() == 0) sum = sum * 31 + (body.empty() ? 0u : body[body.size() / 2]);
    return true;
  }
  FrameReader& reader;
  std::vector<Frame> frames;
  std::vector<uint8_t> body;
  uint64_t done = 0, sum = 0;
};

// Returns what came out, as one number.
uint64_t Parse(const uint8_t* data, size_t size, size_t piece) {
  ReceiveState state(kLengthMax);
  Collector collector(state.reader);
  for (size_t at = 0; at < size;) {
    const size_t n = std::min({piece, size - at, ReceiveState::kBufferBytes});
    std::memcpy(state.buffer.get(), data + at, n);
    state.begin = 0;
    state.end = n;
    at += n;
    if (!ConsumeBuffer(state, collector)) break;
  }
  uint64_t h = collector.sum + static_cast<uint64_t>(state.reader.error());
  for (const Frame& f : collector.frames) h = h * 1099511628211u + f.id + f.length + static_cast<uint64_t>(f.op);
  return h;
}

// Gives the header at `at` the check sum it needs, and says how long its frame is.
size_t Mend(std::vector<uint8_t>& stream, size_t at) {
  Frame f;
  uint8_t* h = stream.data() + at;
  f.op = static_cast<Op>(h[5] % (kOpMax + 2));
  std::memcpy(&f.id, h + 8, 8);
  std::memcpy(&f.registration, h + 16, 8);
  std::memcpy(f.key.data(), h + 24, 16);
  std::memcpy(&f.offset, h + 40, 8);
  std::memcpy(&f.length, h + 48, 8);
  std::memcpy(&f.status, h + 56, 4);
  if (h[55] == 0) f.length %= kLengthMax + 2;
  if (h[59] == 0) f.status = -(f.status & 0xff);
  EncodeHeader(f, h);
  return kHeaderBytes + static_cast<size_t>(std::min(f.body_bytes(), kLengthMax));
}

}  // namespace
}  // namespace slipway::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace slipway::tcp;
  if (size < 2) return 0;
  std::vector<uint8_t> stream(data + 2, data + size);
  if (data[0] & 1) {
    for (size_t at = 0; at + kHeaderBytes <= stream.size();) at += Mend(stream, at);
  }
  const uint64_t whole = Parse(stream.data(), stream.size(), stream.size() + 1);
  if (stream.size() <= ReceiveState::kBufferBytes && whole != Parse(stream.data(), stream.size(), 1 + data[1])) {
    std::abort();
  }
  const std::string_view blob(reinterpret_cast<const char*>(stream.data()), stream.size());
  if (const auto a = DecodeAddress(blob); a && EncodeAddress(*a).size() != blob.size()) std::abort();
  if (const auto r = DecodeRegistration(blob); r && EncodeRegistration(*r) != blob) std::abort();
  return 0;
}

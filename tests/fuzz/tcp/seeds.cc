// tcp_fuzz_seeds DIR: writes the corpus that frame_fuzz starts from. The same every time.
#include <cstdio>
#include <fstream>
#include <string>

#include "plugins/tcp/wire.h"

int main(int argc, char** argv) {
  using namespace slipway::tcp;
  if (argc != 2) return 2;
  const std::string dir = argv[1];
  const auto save = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(dir + "/" + name, std::ios::binary) << bytes;
  };
  const auto wire = [](Op op, uint64_t length, int32_t status) {
    Frame f;
    f.op = op;
    f.id = 3;
    f.registration = (uint64_t{1} << 32) | 5;
    f.key.fill(0xab);
    f.offset = 128;
    f.length = length;
    f.status = status;
    std::string bytes(kHeaderBytes, '\0');
    EncodeHeader(f, reinterpret_cast<uint8_t*>(bytes.data()));
    return bytes + std::string(f.body_bytes(), 'b');
  };
  const std::string plain("\0\x07", 2), mended("\x01\x29", 2);
  const char* const names[] = {"hello",     "hello-ack", "write", "write-ack", "read",
                               "read-data", "ping",      "pong",  "goodbye"};
  std::string all;
  for (uint8_t op = 1; op <= kOpMax; ++op) {
    const std::string one = wire(static_cast<Op>(op), 100, 0);
    save(names[op - 1], plain + one);
    save(std::string(names[op - 1]) + "-mended", mended + one);
    if (static_cast<Op>(op) != Op::kGoodbye) all += one;
  }
  save("stream", plain + all);
  save("refused", plain + wire(Op::kWriteAck, 0, SLIPWAY_E_ACCESS) + wire(Op::kReadData, 0, SLIPWAY_E_STALE_REMOTE));
  save("too-long", plain + wire(Op::kRead, uint64_t{1} << 60, 0));
  save("truncated", plain + all.substr(0, all.size() - 30));
  InstanceAddress address;
  address.instance.fill(0x11);
  address.addresses = {{4, 80, 0, {127, 0, 0, 1}}, {6, 80, 2, {0xfe, 0x80}}};
  save("address", plain + EncodeAddress(address));
  save("registration", plain + EncodeRegistration({address.instance, 7, address.instance, 4096, 12}));
  return 0;
}

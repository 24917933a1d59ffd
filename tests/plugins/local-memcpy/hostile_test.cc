// A peer that says anything at all: on its socket, on the board that it keeps, in the lanes that it fills.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "plugins/local-memcpy/exchange.h"
#include "tests/support/plugin_driver.h"

namespace slipway::local_memcpy {
namespace {

using test::WaitUntil;

constexpr uint64_t kBytes = 64 << 10;
constexpr uint32_t kBoth = SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;

// One instance's side of the exchange, and its memory.
class Side {
 public:
  explicit Side(test::TestHost& host, uint32_t timeout_ms = 5000) : host_(host.table()) {
    config.peer_timeout_ms = timeout_ms;
    std::string why;
    exchange = Exchange::Make(
        config, host_, *endpoint, shared, [] {}, why);
    EXPECT_NE(exchange, nullptr) << why;
    exchange->Start();
  }
  ~Side() { Process::Get().Close(*endpoint); }

  // A registration of shared memory, as an instance makes it.
  MrBlob Register() {
    void* memory = nullptr;
    sdk::Error none(nullptr);
    EXPECT_EQ(shared.Allocate(kBytes, -1, false, &memory, none), SLIPWAY_OK);
    slipway_range range{};
    range.addr = memory;
    range.length = kBytes;
    range.mem_kind = SLIPWAY_MEM_HOST;
    auto grant = std::make_shared<Grant>(range, kBoth, RandomKey());
    grant->reach = Grant::Reach::kShared;
    id = endpoint->Add(grant);
    slot = exchange->Admit(id);
    grant->slot.store(slot);
    return {Process::Get().id(), endpoint->id, id, kBytes, grant->access, grant->reach, grant->key};
  }
  AddressBlob Address() const { return {Process::Get().id(), endpoint->id, exchange->name()}; }
  slipway_status Connect(const AddressBlob& to, std::shared_ptr<Neighbour>& out) {
    sdk::Error none(nullptr);
    return exchange->Connect(to, out, none);
  }
  // Connects, imports, and writes through the mapping.
  void ExpectToReach(Side& other) {
    const MrBlob blob = other.Register();
    std::shared_ptr<Neighbour> neighbour;
    sdk::Error none(nullptr);
    ASSERT_EQ(Connect(other.Address(), neighbour), SLIPWAY_OK);
    ASSERT_TRUE(WaitUntil([&] { return neighbour->Ready(none) != SLIPWAY_IN_PROGRESS; }));
    ASSERT_EQ(neighbour->Ready(none), SLIPWAY_OK);
    std::shared_ptr<Import> import;
    ASSERT_EQ(exchange->Ask(*neighbour, blob, import, none), SLIPWAY_OK);
    ASSERT_TRUE(WaitUntil([&] { return !import->pending(); }));
    ASSERT_EQ(import->state.load(), Import::kMapped);
    ASSERT_TRUE(neighbour->Enter(0, *import));
    std::memset(import->base, 3, kBytes);
    neighbour->Leave(0);
    exchange->Disconnect(neighbour);
  }

  Config config;
  const sdk::Host host_;
  const std::shared_ptr<Endpoint> endpoint = Process::Get().Open();
  SharedMemory shared;
  std::unique_ptr<Exchange> exchange;
  uint64_t id = 0;
  uint32_t slot = 0;
};

class HostileTest : public testing::Test {
 protected:
  uint64_t Below(uint64_t n) { return random_() % n; }
  template <typename T>
  std::string Bytes(const T& message) {
    return std::string(reinterpret_cast<const char*>(&message), sizeof(message));
  }
  // Most of the time a flipped bit or two, sometimes more or fewer bytes.
  std::string Damaged(std::string bytes) {
    for (uint64_t flips = Below(3); flips > 0; --flips) bytes[Below(bytes.size())] ^= static_cast<char>(1 << Below(8));
    if (Below(16) == 0) bytes.resize(Below(300), 'x');
    return bytes;
  }
  // What a stranger may send in place of sealed memory.
  Fd SomeFile(uint64_t bytes) {
    switch (Below(8)) {
      case 0:
        return Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
      case 1: {
        Fd unsealed(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        EXPECT_EQ(ftruncate(unsealed.get(), static_cast<off_t>(bytes)), 0);
        return unsealed;
      }
      case 2:
        return NewSharedFile("x", bytes / 2);
      case 3:
        return Fd();
      default:
        return NewSharedFile("x", bytes);
    }
  }
  static bool Send(const Fd& socket, const std::string& bytes, std::array<int, kMostFds> fds = {-1, -1}) {
    return SendPacket(socket.get(), bytes.data(), bytes.size(), fds) == Sent::kDone;
  }
  template <typename T>
  static bool Receive(const Fd& socket, T& out) {
    Received got = Received::kNothing;
    size_t size = 0;
    std::array<Fd, kMostFds> fds;
    WaitUntil([&] {
      size = sizeof(out);
      return (got = ReceivePacket(socket.get(), &out, size, fds)) != Received::kNothing;
    });
    return got == Received::kPacket && size == sizeof(out);
  }

  test::TestHost host_;
  std::mt19937_64 random_{20};
};

TEST_F(HostileTest, ATargetThatAnswersAnythingIsSurvived) {
  Side side(host_);
  const Key name = RandomKey();
  const Fd listener = ListenAs(name);
  ASSERT_TRUE(listener);
  MrBlob blob{Process::Get().id(),   1, 7, kBytes, SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE,
              Grant::Reach::kShared, {}};
  int mapped = 0, refused = 0;
  for (int i = 0; i < 1000; ++i) {
    std::shared_ptr<Neighbour> neighbour;
    ASSERT_EQ(side.Connect({Process::Get().id(), 1, name}, neighbour), SLIPWAY_OK);
    const Fd socket = Accept(listener.get());
    Hello hello;
    ASSERT_TRUE(Receive(socket, hello));
    Fd board = SomeFile(sizeof(Board)), lanes = SomeFile(sizeof(Lanes));
    Welcome welcome;
    welcome.life = 1;
    welcome.probe_address = random_();
    Mapping mine;
    if (board && IsSharedFile(board.get(), sizeof(Board))) mine = Mapping(board.get(), sizeof(Board), true);
    if (mine) reinterpret_cast<Board*>(mine.data())->life.store(1);
    if (mine) reinterpret_cast<Board*>(mine.data())->slots[5].store(blob.registration);
    Send(socket, Damaged(Bytes(welcome)), {board.get(), lanes.get()});
    sdk::Error none(nullptr);
    ASSERT_TRUE(WaitUntil([&] { return neighbour->Ready(none) != SLIPWAY_IN_PROGRESS; }));
    std::shared_ptr<Import> import;
    if (neighbour->Ready(none) == SLIPWAY_OK && side.exchange->Ask(*neighbour, blob, import, none) == SLIPWAY_OK) {
      Answer answer;
      answer.request = 1;
      answer.slot = 5;
      answer.region = 2;
      answer.region_bytes = 2 * kBytes;
      answer.offset = Below(3) * kBytes;
      const Fd file = SomeFile(answer.region_bytes);
      Send(socket, Damaged(Bytes(answer)), {file.get(), -1});
      shutdown(socket.get(), SHUT_RDWR);  // whatever it was, nothing follows
      ASSERT_TRUE(WaitUntil([&] { return !import->pending(); }));
      if (import->state.load() == Import::kMapped) {
        ++mapped;
        std::memset(import->base, 1, kBytes);  // all of it is there
        if (neighbour->Enter(3, *import)) neighbour->Leave(3);
      } else {
        ++refused;
      }
    }
    side.exchange->Disconnect(neighbour);
  }
  EXPECT_GT(mapped, 20);
  EXPECT_GT(refused, 100);
}

TEST_F(HostileTest, AVisitorThatSaysAnythingIsShownOut) {
  Side side(host_), honest(host_);
  const MrBlob blob = side.Register();
  for (int i = 0; i < 1000; ++i) {
    const Fd socket = ConnectTo(side.exchange->name());
    ASSERT_TRUE(socket) << strerror(errno);
    Hello hello;
    hello.endpoint = side.endpoint->id;
    const bool polite = Below(2) == 0;
    Send(socket, polite ? Bytes(hello) : Damaged(Bytes(hello)), {Below(4) == 0 ? 0 : -1, -1});
    Welcome welcome;
    if (!Receive(socket, welcome) || welcome.status != SLIPWAY_OK) continue;
    Ask ask;
    ask.registration = Below(4);
    ask.length = blob.length;
    ask.access = blob.access;
    if (Below(2) == 0) ask.key = blob.key;
    const std::string bytes = Damaged(Bytes(ask));
    Send(socket, bytes);
    Answer answer;
    if (!Receive(socket, answer)) continue;
    if (answer.status == SLIPWAY_OK) {
      Ask right;
      std::memcpy(&right, bytes.data(), sizeof(right));
      EXPECT_TRUE(right.registration == blob.registration && right.key == blob.key && right.length == blob.length &&
                  right.access == blob.access)
          << "a descriptor was given away for a wrong key";
    }
  }
  honest.ExpectToReach(side);
  EXPECT_TRUE(WaitUntil([&] { return side.exchange->visitors() == 0; })) << "everybody left";
}

TEST_F(HostileTest, ALaneThatIsNeverLeftMakesDeregisteringBusyAndNoMore) {
  Side side(host_);
  side.Register();
  Fd socket = ConnectTo(side.exchange->name());
  Hello hello;
  hello.endpoint = side.endpoint->id;
  ASSERT_TRUE(Send(socket, Bytes(hello)));
  Welcome welcome;
  size_t size = sizeof(welcome);
  std::array<Fd, kMostFds> fds;
  ASSERT_TRUE(WaitUntil([&] { return ReceivePacket(socket.get(), &welcome, size, fds) == Received::kPacket; }));
  const Mapping lanes(fds[1].get(), sizeof(Lanes), true);
  ASSERT_TRUE(lanes);
  EXPECT_FALSE(Mapping(fds[0].get(), sizeof(Board), true)) << "the board is for reading";
  for (Lane& lane : reinterpret_cast<Lanes*>(lanes.data())->lane) lane.registration.store(random_());
  EXPECT_TRUE(side.exchange->Revoke(side.slot, side.id, host_.NowNs() + 1'000'000'000));
  side.Register();
  reinterpret_cast<Lanes*>(lanes.data())->lane[127].registration.store(side.id);
  EXPECT_FALSE(side.exchange->Revoke(side.slot, side.id, host_.NowNs()));
  socket = Fd();
  EXPECT_TRUE(WaitUntil([&] { return side.exchange->Revoke(side.slot, side.id, host_.NowNs()); }));
}

TEST_F(HostileTest, WhoSaysNothingIsShownOut) {
  Side side(host_, 100);
  const Fd silent = ConnectTo(side.exchange->name());
  Welcome welcome;
  EXPECT_FALSE(Receive(silent, welcome)) << "the connection was closed";
  EXPECT_EQ(side.exchange->visitors(), 0u);
}

}  // namespace
}  // namespace slipway::local_memcpy

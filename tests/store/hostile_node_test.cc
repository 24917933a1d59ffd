// What a client of another node's store believes of it.
#include <fcntl.h>
#include <sys/socket.h>

#include <functional>
#include <thread>
#include <vector>

#include "core/store/remote_directory.h"
#include "slipway/sdk/mutex.hpp"
#include "tests/store/fake_plane.h"
#include "tests/store/fixture.h"

namespace slipway {
namespace {

constexpr uint64_t kLeaseMs = 10'000;

// Answers greetings as it should, and everything else as it is told.
class HostileNode {
 public:
  ~HostileNode() {
    for (std::thread& thread : threads_) thread.join();
  }
  RemoteDirectory::Connect connect() {
    return [this](uint64_t) -> Result<std::unique_ptr<Channel>> {
      int ends[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
      threads_.emplace_back([this, fd = ends[1]] { Serve(fd); });
      return std::make_unique<Channel>(UniqueFd(ends[0]), SystemClock());
    };
  }
  using Answer = std::function<void(WireOp, WireWriter&)>;
  void set_answer(Answer answer) SLIPWAY_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    answer_ = std::move(answer);
  }

 private:
  void Serve(int fd) {
    Channel channel{UniqueFd(fd), SystemClock()};
    std::string message(1 << 16, '\0');
    for (;;) {
      const IoResult got = channel.Read(message.data(), message.size());
      if (got.outcome != IoOutcome::kOk) return;
      const auto op = static_cast<WireOp>(message[kFrameHead]);
      WireWriter out;
      out.I32(SLIPWAY_OK);
      if (op == WireOp::kHello) {
        out.U64(1);
        out.U64(kLeaseMs);
      } else {
        MutexLock lock(mutex_);
        answer_(op, out);
      }
      if (op != WireOp::kRelease && channel.Write(std::move(out).Finish()).outcome != IoOutcome::kOk) return;
    }
  }

  Mutex mutex_;
  Answer answer_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

class HostileNodeTest : public testing::Test {
 protected:
  // The client goes before the node, whose threads end with its connections.
  HostileNode node_;
  FakePlane plane_;
  RemoteDirectory client_{{.address = "node:1", .deadline_ms = 10'000}, plane_, node_.connect(), SystemClock()};
};

// 64 bits a chunk: a node may not have its client take eight times as much memory as the value is long.
TEST_F(HostileNodeTest, ChunksOfNoSensibleLengthAreRefused) {
  constexpr uint64_t kLength = 100'000;
  for (const uint32_t chunk_bytes : {0u, 1u, 4095u, (1u << 30) + 1, UINT32_MAX}) {
    SCOPED_TRACE(chunk_bytes);
    const auto sums = static_cast<uint32_t>(chunk_bytes == 0 ? kLength : (kLength + chunk_bytes - 1) / chunk_bytes);
    node_.set_answer([chunk_bytes, sums](WireOp op, WireWriter& out) {
      if (op == WireOp::kAbort) return;
      out.I32(SLIPWAY_OK);
      if (op == WireOp::kLookup) {
        out.U64(kLength);
        out.U64(1);  // version
      }
      out.U32(chunk_bytes);
      out.U32(sums);
      for (uint32_t i = 0; i < sums && op == WireOp::kLookup; ++i) out.U64(i);
      if (op == WireOp::kLookup) out.U8(0);
      out.U64(kLeaseMs * 1'000'000);
      out.U8(0);  // lies nowhere
      out.U64(7);
    });
    const WriteIntent intent{"k", kLength};
    Ticket ticket;
    client_.Begin({&intent, 1}, {}, {&ticket, 1});
    EXPECT_EQ(ticket.code, SLIPWAY_E_BAD_REPLY);
    EXPECT_TRUE(ticket.own_checksums.empty());
    const std::string_view key = "k";
    Ticket found;
    client_.Lookup({&key, 1}, true, kNoDeadline, {&found, 1});
    EXPECT_EQ(found.code, SLIPWAY_E_BAD_REPLY);
    EXPECT_TRUE(found.own_checksums.empty());
  }
}

}  // namespace
}  // namespace slipway

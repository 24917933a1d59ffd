// Connections to another node's store, and one question at a time over each.
#include <algorithm>
#include <array>
#include <chrono>

#include "core/store/remote_directory.h"

namespace slipway {

RemoteDirectory::RemoteDirectory(RemoteOptions options, DataPlane& plane, Connect connect, const Clock& clock)
    : options_(std::move(options)), plane_(plane), connect_(std::move(connect)), clock_(clock) {}

RemoteDirectory::~RemoteDirectory() = default;

uint64_t RemoteDirectory::DeadlineOr(uint64_t deadline_ns) const {
  return deadline_ns != kNoDeadline ? deadline_ns : DeadlineAfter(clock_.NowNs(), options_.deadline_ms * 1'000'000);
}

uint64_t RemoteDirectory::MsUntil(uint64_t deadline_ns) const {
  const uint64_t now_ns = clock_.NowNs();
  return deadline_ns > now_ns ? (deadline_ns - now_ns + 999'999) / 1'000'000 : 0;
}

Result<std::string> RemoteDirectory::Exchange(Channel& channel, std::string_view frame, uint64_t deadline_ns) {
  channel.set_deadline_ns(deadline_ns);
  const auto failed = [&](IoOutcome outcome) {
    return outcome == IoOutcome::kTimedOut
               ? Status(SLIPWAY_E_DEADLINE, options_.address + ": no answer before the deadline")
               : Status(SLIPWAY_E_PEER, options_.address +
                                            ": the connection ended before the answer came; what was "
                                            "asked for may have been done");
  };
  if (const IoResult sent = channel.Write(frame); sent.outcome != IoOutcome::kOk) return failed(sent.outcome);
  std::string got;
  std::array<char, 16384> buffer;
  uint64_t want = kFrameHead;
  while (got.size() < want) {
    const IoResult read = channel.Read(buffer.data(), buffer.size());
    if (read.outcome != IoOutcome::kOk) return failed(read.outcome);
    got.append(buffer.data(), read.bytes);
    if (want == kFrameHead && got.size() >= kFrameHead) {
      const uint64_t length = WireReader(std::string_view(got).substr(0, kFrameHead)).U32();
      if (length > options_.max_body_bytes) {
        return Status(SLIPWAY_E_TOO_LARGE, options_.address + ": the answer has " + std::to_string(length) +
                                               " bytes, more than control.max_body_bytes");
      }
      want += length;
    }
  }
  if (got.size() > want) return Status(SLIPWAY_E_BAD_REPLY, options_.address + ": more was answered than asked");
  got.erase(0, kFrameHead);
  return got;
}

Result<RemoteDirectory::Connection> RemoteDirectory::Fresh(uint64_t deadline_ns) {
  Result<std::unique_ptr<Channel>> channel = connect_(deadline_ns);
  if (!channel.ok()) return channel.status();
  WireWriter hello;
  hello.U8(static_cast<uint8_t>(WireOp::kHello));
  hello.U32(kStoreWireVersion);
  Result<std::string> answer = Exchange(**channel, std::move(hello).Finish(), deadline_ns);
  if (!answer.ok()) return answer.status();
  WireReader in(*answer);
  const int32_t code = in.I32();
  const uint64_t instance = in.U64();
  (void)in.U64();  // how long leases last at most: each says so itself
  if (code != SLIPWAY_OK || !in.AllRead()) {
    return Status(SLIPWAY_E_BAD_REPLY, options_.address + ": what answers is not a store of this version");
  }
  MutexLock lock(mutex_);
  if (opened_ == nullptr || opened_->instance != instance) {
    opened_ = std::make_shared<Opened>();
    opened_->instance = instance;
  }
  return Connection{std::move(*channel), opened_};
}

Result<RemoteDirectory::Connection> RemoteDirectory::Take(uint64_t deadline_ns) {
  {
    MutexLock lock(mutex_);
    for (;;) {
      while (!idle_.empty()) {
        Connection kept = std::move(idle_.back());
        idle_.pop_back();
        if (kept.channel->IsQuiet()) return kept;
        --made_;  // the node closed it
      }
      if (made_ < kConnections) break;
      const uint64_t now_ns = clock_.NowNs();
      if (now_ns >= deadline_ns) {
        return Status(SLIPWAY_E_DEADLINE, options_.address + ": every connection was busy until the deadline");
      }
      constexpr uint64_t kLookNs = 100'000'000;
      returned_.WaitFor(mutex_, std::chrono::nanoseconds(std::min(deadline_ns - now_ns, kLookNs)));
    }
    ++made_;
  }
  Result<Connection> fresh = Fresh(deadline_ns);
  if (!fresh.ok()) Lost();
  return fresh;
}

void RemoteDirectory::PutBack(Connection connection) {
  MutexLock lock(mutex_);
  idle_.push_back(std::move(connection));
  returned_.NotifyOne();
}

void RemoteDirectory::Lost() {
  MutexLock lock(mutex_);
  --made_;
  returned_.NotifyOne();
}

Result<RemoteDirectory::Answer> RemoteDirectory::Ask(WireWriter request, uint64_t deadline_ns) {
  if (request.payload_bytes() > options_.max_body_bytes) {
    return Status(SLIPWAY_E_TOO_LARGE, "the request is longer than control.max_body_bytes: ask for fewer keys at once");
  }
  deadline_ns = DeadlineOr(deadline_ns);
  Result<Connection> connection = Take(deadline_ns);
  if (!connection.ok()) return connection.status();
  Result<std::string> payload = Exchange(*connection->channel, std::move(request).Finish(), deadline_ns);
  if (!payload.ok()) {
    Lost();
    return payload.status();
  }
  std::shared_ptr<Opened> opened = connection->opened;
  PutBack(std::move(*connection));
  WireReader in(*payload);
  const int32_t code = in.I32();
  if (code != SLIPWAY_OK) {
    std::string message(in.Text(1u << 16));
    for (char& c : message) c = static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    if (!in.ok() || code > 0) return Status(SLIPWAY_E_BAD_REPLY, options_.address + ": the answer is not the protocol");
    return Status(code, options_.address + " says: " + message);
  }
  payload->erase(0, 4);
  return Answer{std::move(*payload), std::move(opened)};
}

Status RemoteDirectory::Greet(uint64_t deadline_ns) {
  Result<Connection> connection = Take(deadline_ns);
  if (!connection.ok()) return connection.status();
  PutBack(std::move(*connection));
  return {};
}

}  // namespace slipway

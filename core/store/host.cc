#include "core/store/host.h"

#include <array>

namespace slipway {

StoreHost::StoreHost(std::shared_ptr<LocalDirectory> directory, const HostOptions& options, Counters& counters,
                     const Clock& clock)
    : directory_(std::move(directory)),
      options_(options),
      counters_(counters),
      clock_(clock),
      leases_(*directory_, options.write_grace_ns, counters, clock) {
  directory_->set_reclaim([this] { leases_.Sweep(); });
}

StoreHost::~StoreHost() {
  Close();
  directory_->set_reclaim(nullptr);
}

bool StoreHost::Enter(Channel& channel) {
  MutexLock lock(mutex_);
  if (closed_ || channels_.size() >= options_.max_clients) return false;
  channels_.insert(&channel);
  counters_.Add(Counter::kStoreClients);
  return true;
}

void StoreHost::Leave(Channel& channel) {
  MutexLock lock(mutex_);
  channels_.erase(&channel);
  counters_.Sub(Counter::kStoreClients);
  left_.NotifyAll();
}

void StoreHost::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  for (Channel* channel : channels_) channel->Interrupt();
  while (!channels_.empty()) left_.Wait(mutex_);  // an answer takes no longer than the directory's own work
}

bool StoreHost::ReadMessage(Channel& channel, std::string* received, std::string* message) {
  std::array<char, 16384> buffer;
  uint64_t want = kFrameHead;
  channel.set_deadline_ns(
      DeadlineAfter(clock_.NowNs(), received->empty() ? options_.idle_timeout_ns : options_.request_timeout_ns));
  for (;;) {
    if (want == kFrameHead && received->size() >= kFrameHead) {
      want += WireReader(std::string_view(*received).substr(0, kFrameHead)).U32();
      if (want > kFrameHead + options_.max_message_bytes) {
        counters_.Add(Counter::kStoreBadInput);
        return false;
      }
    }
    if (want > kFrameHead && received->size() >= want) break;
    if (want == kFrameHead && received->size() >= kFrameHead) return false;  // a message of nothing
    const bool first = received->empty();
    const IoResult got = channel.Read(buffer.data(), buffer.size());
    if (got.outcome != IoOutcome::kOk) return false;
    received->append(buffer.data(), got.bytes);
    if (first) channel.set_deadline_ns(DeadlineAfter(clock_.NowNs(), options_.request_timeout_ns));
  }
  message->assign(*received, kFrameHead, want - kFrameHead);
  received->erase(0, want);
  return true;
}

void StoreHost::Serve(Channel& channel, std::string received) {
  if (!Enter(channel)) return;
  struct Leaving {
    StoreHost& host;
    Channel& channel;
    ~Leaving() { host.Leave(channel); }
  } const leaving{*this, channel};
  Session session(*directory_, leases_, options_.session, counters_);
  std::string message;
  while (ReadMessage(channel, &received, &message)) {
    const std::optional<std::string> answer = session.Answer(message);
    if (!answer) return;
    if (answer->empty()) continue;
    channel.set_deadline_ns(DeadlineAfter(clock_.NowNs(), options_.request_timeout_ns));
    if (channel.Write(*answer).outcome != IoOutcome::kOk) return;
  }
}

}  // namespace slipway

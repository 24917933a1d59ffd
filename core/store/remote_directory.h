// The directory of another node, asked over a few connections that stay.
#ifndef SLIPWAY_CORE_STORE_REMOTE_DIRECTORY_H_
#define SLIPWAY_CORE_STORE_REMOTE_DIRECTORY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/control/channel.h"
#include "core/store/directory.h"
#include "core/store/wire.h"
#include "slipway/sdk/mutex.hpp"

namespace slipway {

struct RemoteOptions {
  std::string address;            // host:port of the node's control listener
  uint64_t deadline_ms = 60'000;  // of calls that are given none
  uint64_t max_body_bytes = 4u << 20;
  uint32_t inline_bytes = 4096;  // values up to here come along with a look-up
};

// Thread-safe.
class RemoteDirectory final : public Directory {
 public:
  // Connects, with the protocol switched to ours. Any thread.
  using Connect = std::function<Result<std::unique_ptr<Channel>>(uint64_t deadline_ns)>;

  RemoteDirectory(RemoteOptions options, DataPlane& plane, Connect connect, const Clock& clock);
  ~RemoteDirectory() override;

  // Whether the node is there and has a store.
  Status Greet(uint64_t deadline_ns);

  void Begin(std::span<const WriteIntent> intents, const WritePolicy& policy, std::span<Ticket> tickets) override;
  void Commit(std::span<Ticket> tickets, const WritePolicy& policy) override;
  void Abort(Ticket& ticket, bool may_be_written) override;
  void Lookup(std::span<const std::string_view> keys, bool along, uint64_t deadline_ns,
              std::span<Ticket> tickets) override;
  void Release(std::span<Ticket> tickets) override;
  Status Stat(std::span<const std::string_view> keys, std::span<ObjectStat> out) override;
  Status Remove(std::span<const std::string_view> keys, std::span<slipway_status> out) override;
  Result<uint64_t> RemoveAll(std::string_view prefix) override;
  Result<std::vector<ObjectStat>> List(std::string_view prefix, std::string_view after, size_t most) override;
  Result<std::string> DescribeJson() override;

 private:
  static constexpr size_t kConnections = 4;

  // The node's segments as this process opened them; another set for each life of the node's store.
  struct Opened {
    uint64_t instance = 0;
    Mutex mutex;
    std::map<uint32_t, std::unique_ptr<OpenSegment>> segments SLIPWAY_GUARDED_BY(mutex);
  };
  struct Connection {
    std::unique_ptr<Channel> channel;
    std::shared_ptr<Opened> opened;
  };
  struct Answer {
    std::string payload;
    std::shared_ptr<Opened> opened;
  };

  Result<Answer> Ask(WireWriter request, uint64_t deadline_ns);
  Result<std::string> Exchange(Channel& channel, std::string_view frame, uint64_t deadline_ns);
  Result<Connection> Fresh(uint64_t deadline_ns);
  Result<Connection> Take(uint64_t deadline_ns) SLIPWAY_EXCLUDES(mutex_);
  void PutBack(Connection connection) SLIPWAY_EXCLUDES(mutex_);
  void Lost() SLIPWAY_EXCLUDES(mutex_);
  Status Locate(WireReader& in, const std::shared_ptr<Opened>& opened, uint64_t deadline_ns, Ticket& ticket);
  Status ReadValue(WireReader& in, const std::shared_ptr<Opened>& opened, uint64_t deadline_ns, uint64_t asked_ns,
                   Ticket& ticket);
  Status ReadSpace(WireReader& in, const std::shared_ptr<Opened>& opened, uint64_t deadline_ns, uint64_t asked_ns,
                   Ticket& ticket);
  uint64_t DeadlineOr(uint64_t deadline_ns) const;
  uint64_t MsUntil(uint64_t deadline_ns) const;

  const RemoteOptions options_;
  DataPlane& plane_;
  const Connect connect_;
  const Clock& clock_;

  Mutex mutex_;
  CondVar returned_;
  std::vector<Connection> idle_ SLIPWAY_GUARDED_BY(mutex_);
  size_t made_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<Opened> opened_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_REMOTE_DIRECTORY_H_

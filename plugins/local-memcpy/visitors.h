// The target's side of connections: who may reach this instance's registrations, and who is using them.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_VISITORS_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_VISITORS_H_

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "plugins/local-memcpy/board.h"
#include "plugins/local-memcpy/config.h"
#include "plugins/local-memcpy/poller.h"
#include "slipway/sdk/host.hpp"

namespace slipway::local_memcpy {

// Thread-safe. The functions that begin with On are called by the exchange's thread alone.
class Visitors {
 public:
  // All outlive this.
  Visitors(const Config& config, const sdk::Host& host, const Endpoint& endpoint, const SharedMemory& shared,
           const OwnBoard& board, Poller& poller)
      : config_(config), host_(host), endpoint_(endpoint), shared_(shared), board_(board), poller_(poller) {}

  // Waits until no visitor is using the registration, which is shut on the board. False: one still was at `deadline_ns`
  // of the host's clock.
  bool WaitFor(uint64_t registration, uint64_t deadline_ns) const SLIPWAY_EXCLUDES(mutex_);
  // The same for whatever they use.
  bool WaitForAll(uint64_t deadline_ns) const { return WaitFor(kAny, deadline_ns); }
  size_t count() const SLIPWAY_EXCLUDES(mutex_);

  // `id` and the number after it are the new visitor's.
  void OnConnection(Fd socket, uint64_t id) SLIPWAY_EXCLUDES(mutex_);
  // False: no visitor has this id.
  bool OnEvent(uint64_t id, uint32_t events) SLIPWAY_EXCLUDES(mutex_);
  void OnTime(uint64_t now_ns) SLIPWAY_EXCLUDES(mutex_);
  bool waits() const SLIPWAY_EXCLUDES(mutex_);
  void Clear() SLIPWAY_EXCLUDES(mutex_);

 private:
  static constexpr uint64_t kAny = 0;

  struct Reply {
    Answer answer;
    std::shared_ptr<const SharedBlock> block;  // NULL: no descriptor
    bool writable = false;
  };
  struct Visitor {
    Fd socket, process;
    Mapping lanes;  // none before it has said hello
    uint64_t since_ns = 0;
    std::optional<Reply> unsent;  // nothing more is read before it is sent
  };

  // False: the visitor is to be shown out.
  bool Read(Visitor& visitor, uint64_t id);
  bool Welcomed(Visitor& visitor, const Hello& hello);
  bool Send(Visitor& visitor, uint64_t id, Reply reply);
  Reply Find(const Ask& ask) const;
  void ShowOut(uint64_t id) SLIPWAY_EXCLUDES(mutex_);
  bool Uses(uint64_t registration) const SLIPWAY_EXCLUDES(mutex_);

  const Config& config_;
  const sdk::Host& host_;
  const Endpoint& endpoint_;
  const SharedMemory& shared_;
  const OwnBoard& board_;
  Poller& poller_;
  const Key probe_ = RandomKey();
  mutable Mutex mutex_;
  // Changed by the exchange's thread alone, which therefore may look without the lock at what others only read.
  std::map<uint64_t, std::unique_ptr<Visitor>> visitors_ SLIPWAY_GUARDED_BY(mutex_);
};

// Whether processes of this user may come in, and are trusted with an answer.
bool Allowed(const Config& config, uid_t user);

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_VISITORS_H_

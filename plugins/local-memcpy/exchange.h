// How instances of different processes come to know each other: a thread, a listening socket, connections both ways.
// Nothing of it is on the way of a slice.
#ifndef SLIPWAY_PLUGINS_LOCAL_MEMCPY_EXCHANGE_H_
#define SLIPWAY_PLUGINS_LOCAL_MEMCPY_EXCHANGE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "plugins/local-memcpy/neighbour.h"
#include "plugins/local-memcpy/visitors.h"

namespace slipway::local_memcpy {

// Of one instance. Thread-safe.
class Exchange {
 public:
  // Whether the system allows what is needed; leaves nothing behind. `why` says what it refuses.
  static bool Possible(std::string& why);
  // NULL where the system refuses what is needed; `why` says what. All arguments outlive it. `resolved` is called, from
  // the exchange's thread, when imports are not pending any more.
  static std::unique_ptr<Exchange> Make(const Config& config, const sdk::Host& host, const Endpoint& endpoint,
                                        const SharedMemory& shared, std::function<void()> resolved, std::string& why);
  ~Exchange() { Stop(); }

  void Start();  // throws std::system_error when the system refuses a thread
  // Joins the thread. Peers are told that the instance is gone.
  void Stop();
  // Refuses all peers from now on.
  void Close() { board_->End(); }

  const Key& name() const { return name_; }
  // A new connection; see sdk::Instance::Connect. It is given back with Disconnect.
  slipway_status Connect(const AddressBlob& address, std::shared_ptr<Neighbour>& out, sdk::Error& err)
      SLIPWAY_EXCLUDES(mutex_);
  void Disconnect(const std::shared_ptr<Neighbour>& neighbour) SLIPWAY_EXCLUDES(mutex_);
  // As Neighbour::Ask.
  slipway_status Ask(Neighbour& neighbour, const MrBlob& blob, std::shared_ptr<Import>& out, sdk::Error& err);

  // Lets other processes use a registration. Returns its slot; kNoSlot: only this process can.
  uint32_t Admit(uint64_t registration) { return board_->Open(registration); }
  // After it no other process uses the registration. False when one still did at `deadline_ns`: it is admitted again.
  bool Revoke(uint32_t slot, uint64_t registration, uint64_t deadline_ns);

  size_t visitors() const { return visitors_.count(); }

 private:
  Exchange(const Config& config, const sdk::Host& host, const Endpoint& endpoint, const SharedMemory& shared,
           std::unique_ptr<OwnBoard> board, std::function<void()> resolved);
  void Run();
  void OnEvent(uint64_t id, uint32_t events) SLIPWAY_EXCLUDES(mutex_);
  void OnTime() SLIPWAY_EXCLUDES(mutex_);
  bool Waits() const SLIPWAY_EXCLUDES(mutex_);
  void Ring();

  const Config& config_;
  const sdk::Host& host_;
  const Key name_ = RandomKey();
  Poller poller_;
  Fd listener_, bell_;
  const std::unique_ptr<OwnBoard> board_;
  Visitors visitors_;
  const std::function<void()> resolved_;
  std::thread thread_;
  std::atomic<bool> stopping_{false}, started_{false};
  std::atomic<bool> told_{false};  // that something does not work with some peer
  std::atomic<uint64_t> next_id_;

  mutable Mutex mutex_;
  std::map<uint64_t, std::shared_ptr<Neighbour>> neighbours_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::local_memcpy

#endif  // SLIPWAY_PLUGINS_LOCAL_MEMCPY_EXCHANGE_H_

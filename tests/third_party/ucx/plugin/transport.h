// The transport's objects. One mutex of the instance guards them all, and every call of UCX; what is marked [lock] is
// called with it held. UCX calls back from inside ucp_worker_progress(), so with it held as well.
#ifndef SLIPWAY_TESTS_THIRD_PARTY_UCX_PLUGIN_TRANSPORT_H_
#define SLIPWAY_TESTS_THIRD_PARTY_UCX_PLUGIN_TRANSPORT_H_

#include <ucp/api/ucp.h>

#include <map>
#include <set>
#include <thread>
#include <vector>

#include "slipway/sdk/plugin.hpp"
#include "wire.h"

namespace ucx {

namespace sdk = slipway::sdk;

class UcxInstance;
class UcxChannel;
class UcxRemote;

struct Config {
  std::string tls = "tcp,self";
  uint32_t max_inflight = 256;
};

// One accepted slice: in its channel's free list, waiting for its claim, with UCX, or in its channel's done list.
struct Op {
  UcxChannel* channel = nullptr;
  UcxRemote* remote = nullptr;
  slipway_slice slice{};
  uint32_t parts = 0;  // requests of UCX that are not complete
  slipway_status status = SLIPWAY_OK;
  int32_t native = 0;
  Op* next = nullptr;
};
class OpQueue {
 public:
  bool empty() const { return head_ == nullptr; }
  void Push(Op* op) {
    op->next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = op;
    tail_ = op;
  }
  Op* Pop() {
    Op* const op = head_;
    if (op != nullptr) head_ = op->next;
    return op;
  }

 private:
  Op *head_ = nullptr, *tail_ = nullptr;
};

// An endpoint of UCX to another instance.
struct End {
  explicit End(UcxInstance& o) : owner(o) {}
  UcxInstance& owner;
  ucp_ep_h ep = nullptr;
  bool failed = false;
  ucs_status_t reason = UCS_OK;
};

// A peer's registration as this side wants to use it, however often it was imported.
struct Claim {
  enum State { kAsking, kHeld, kGone } state = kAsking;
  uint32_t remotes = 0, inflight = 0;
  bool release_due = false;  // the owner waits for the last slice
  OpQueue waiting;
};

class UcxPeer final : public sdk::Peer {
 public:
  explicit UcxPeer(UcxInstance& owner) : end(owner) {}
  ~UcxPeer() override;
  slipway_status Ready(sdk::Error& err) override;
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<sdk::Remote>& out, sdk::Error& err) override;

  void Fail(slipway_status status, const char* why);      // [lock]
  void FailWaiting(Claim& claim, slipway_status status);  // [lock]

  End end;
  Address address;
  uint64_t link = 0, deadline_ns = 0;
  bool welcome = false, bye_due = false;
  uint32_t inflight = 0;
  slipway_status status = SLIPWAY_OK;
  std::string why;
  std::map<uint64_t, Claim> claims;
};

// Who connected to this instance.
struct Client {
  explicit Client(UcxInstance& owner) : end(owner) {}
  End end;
  std::set<uint64_t> keys;      // claimed and granted
  std::set<uint64_t> awaiting;  // revoked and not released; 0: everything
};

class UcxRemote final : public sdk::Remote {
 public:
  UcxRemote(UcxPeer& p, const Key& k, ucp_rkey_h r)
      : Remote(k.length, static_cast<uint32_t>(k.access)), peer(p), key(k), rkey(r) {}
  ~UcxRemote() override;
  bool Overlaps(const slipway_slice& s) const;

  UcxPeer& peer;
  const Key key;
  const ucp_rkey_h rkey;
};

class UcxChannel final : public sdk::Channel {
 public:
  UcxChannel(UcxInstance& owner, void* cookie, uint32_t room);
  slipway_status Submit(const sdk::Slices& slices, uint32_t& accepted, sdk::Error& err) override;
  slipway_status Poll(sdk::Completions& out) override;
  void Done(Op* op);  // [lock]

 private:
  friend class UcxInstance;
  UcxInstance& owner_;
  void* const cookie_;
  std::vector<Op> ops_;
  OpQueue free_, done_;
};

struct UcxRegistration final : sdk::Registration {
  ~UcxRegistration() override;
  UcxInstance* owner = nullptr;
  ucp_mem_h memh = nullptr;
  Key key;
};

class UcxInstance final : public sdk::Instance {
 public:
  UcxInstance(sdk::Host host, const slipway_attrs& attrs) : Instance(host, attrs) {}
  ~UcxInstance() override;
  slipway_status Open(const Config& config, sdk::Error& err);

  slipway_status Quiesce(uint64_t timeout_ns, sdk::Error& err) override;
  void Stop() noexcept override;
  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<sdk::Registration>& out,
                                sdk::Error& err) override;
  slipway_status DeregisterMemory(sdk::Registration& mr) override;
  slipway_status ExportAddress(std::string& out, sdk::Error& err) override;
  slipway_status ExportMr(sdk::Registration& mr, std::string& out, sdk::Error& err) override;
  slipway_status Connect(std::string_view address, std::unique_ptr<sdk::Peer>& out, sdk::Error& err) override;
  slipway_status OpenChannel(void* cookie, std::unique_ptr<sdk::Channel>& out, sdk::Error& err) override;

  // ---- endpoints and messages (links.cc), all [lock] -----------------------------------------------------------
  slipway_status OpenEnd(End& end, std::string_view worker_address);
  void CloseEnd(End& end);
  void Send(const End& end, Kind kind, uint64_t link, uint64_t value, std::string_view payload = {});
  void Handle(const Message& m, std::string_view payload);
  bool HandleAsTarget(const Message& m, std::string_view payload);
  void HandleAsInitiator(UcxPeer& peer, const Message& m);
  void Greet(const Message& m, std::string_view payload);
  void Progress();
  void ReapClients();

  // ---- slices (channel.cc), all [lock] -------------------------------------------------------------------------
  void Start(Op* op);
  void Issue(Op* op, Claim& claim);
  void PartDone(Op* op, ucs_status_t status);
  void Finish(Op* op);
  void LetGo(UcxPeer& peer, uint64_t key, Claim& claim);

  slipway::Mutex mutex;
  ucp_context_h context = nullptr;
  ucp_worker_h worker = nullptr;
  std::map<uint64_t, UcxPeer*> peers;                   // by link
  std::map<uint64_t, std::unique_ptr<Client>> clients;  // by link
  std::map<uint64_t, UcxRegistration*> registrations;   // by key; those that may be claimed
  uint32_t inflight = 0, closing = 0;
  bool quiesced = false, stopped = false;

 private:
  struct Received {
    Message message;
    std::string payload;
  };
  static ucs_status_t Receive(void* arg, const void* header, size_t header_length, void* data, size_t length,
                              const ucp_am_recv_param_t* param);
  void Run();
  // Asks those who claimed `key` (0: everybody, about everything) to let go; false when some did not in time.
  bool Revoke(uint64_t key, uint64_t deadline_ns);
  template <typename Until>
  bool ProgressUntil(uint64_t deadline_ns, Until&& until);

  uint64_t id_ = 0, last_key_ = 0;
  std::string worker_address_;
  std::vector<Received> inbox_;
  std::atomic<bool> stopping_{false};
  int wake_fd_ = -1;
  std::thread thread_;
};

uint64_t Random();
uint64_t ProcessId();  // random, of this process
slipway_status StatusOf(ucs_status_t status);

}  // namespace ucx

#endif  // SLIPWAY_TESTS_THIRD_PARTY_UCX_PLUGIN_TRANSPORT_H_

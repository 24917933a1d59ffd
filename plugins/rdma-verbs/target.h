// The side that peers connect to: where it listens, and the connections that were accepted. On the loop's thread, but
// for what says otherwise.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_TARGET_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_TARGET_H_

#include <memory>
#include <optional>
#include <vector>

#include "plugins/rdma-verbs/progress.h"
#include "plugins/rdma-verbs/queue_pair.h"
#include "plugins/rdma-verbs/stats.h"
#include "plugins/rdma-verbs/wire.h"

namespace slipway::rdma {

class RdmaInstance;
class Target;

// An accepted connection. Its queue pair lets the peer read and write what was registered for that, and does nothing by
// itself but to ask now and then whether the peer is there still.
class Session final : public CmHandler, public ControlUser {
 public:
  Session(Target* target, uint32_t device, rdma_cm_id* id);
  ~Session();

  // Accepts the request, or says why not.
  std::optional<Refusal> Accept(const CmEvent& event, const ConnectRequest& request);
  void OnCmEvent(const CmEvent& event) override;
  void OnControl(const ibv_wc& wc) override;
  void OnTick(uint64_t now_ns);

  uint32_t device() const { return device_; }
  uint32_t queue_pair() const { return qp_.number(); }
  bool closed() const { return closed_; }
  void Close(Counter why);

 private:
  Target* const target_;
  const uint32_t device_;
  rdma_cm_id* id_;
  QueuePair qp_;
  uint64_t control_id_ = 0;
  bool established_ = false, closed_ = false, probing_ = false;
  uint64_t deadline_ns_ = 0;  // to be established; afterwards, when to ask next
};

class Target final : public Member {
 public:
  explicit Target(RdmaInstance* instance) : instance_(instance) {}
  ~Target() override;

  // [control] Before the loop's thread runs: listens on every device's address. Fills in the ports.
  slipway_status Listen(rdma_event_channel* channel, std::vector<SocketAddress>* endpoints, sdk::Error& err);
  // Ends everything; nothing is accepted any more.
  void Close();
  bool empty() const { return sessions_.empty(); }
  size_t session_count() const { return sessions_.size(); }

  void OnTick(uint64_t now_ns) override;
  void OnScheduled() override { Reap(); }
  // A queue pair of a session's is in error.
  void OnQueuePairEvent(uint32_t device, uint32_t queue_pair, ibv_event_type type);
  void OnConnectRequest(uint32_t device, const CmEvent& event);
  void OnSessionClosed();

  RdmaInstance* instance() const { return instance_; }

 private:
  struct Listener final : public CmHandler {
    Listener(Target* owner, uint32_t device_index) : target(owner), device(device_index) {}
    void OnCmEvent(const CmEvent& event) override {
      if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) target->OnConnectRequest(device, event);
    }
    Target* const target;
    const uint32_t device;
    rdma_cm_id* id = nullptr;
  };
  void Refuse(const CmEvent& event, Refusal why);
  void Reap();

  RdmaInstance* const instance_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<Session>> sessions_;
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_TARGET_H_

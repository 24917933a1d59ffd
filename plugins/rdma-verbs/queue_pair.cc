#include "plugins/rdma-verbs/queue_pair.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace slipway::rdma {
namespace {

constexpr uint32_t kReceives = 2;
constexpr uint8_t kRnrTimer = 12;  // 0.64 ms: the encoding of the InfiniBand architecture, table 45

}  // namespace

AckTimer AckTimerOf(const Config& config, bool software_device) {
  constexpr uint8_t kLeast = 8, kMost = 30;  // 1 ms: below it, a busy processor looks like a dead peer
  // Devices may take up to four times as long (InfiniBand architecture, C9-140). The one in software takes exactly as
  // long as it is told, so it can be told more; but 7 retries it takes for any number of them.
  const uint64_t slack = software_device ? 1 : 4;
  const uint32_t retries = software_device ? std::min(config.retry_count, 6u) : config.retry_count;
  const uint64_t ns = GiveUpNs(config.peer_timeout_ms) / (slack * (uint64_t{retries} + 1));
  uint8_t t = kLeast;
  while (t < kMost && (uint64_t{4096} << (t + 1)) <= ns) ++t;
  return {t, static_cast<uint8_t>(retries)};
}

int QueuePair::Make(const Device& device, ibv_cq* send_cq, ibv_cq* receive_cq, uint32_t depth, uint32_t inline_bytes) {
  device_ = &device;
  // How much fits inline is known only by trying; what devices refuse differs by driver.
  for (const uint32_t wanted : {inline_bytes, std::min(inline_bytes, 64u), 0u}) {
    ibv_qp_init_attr attr{};
    attr.send_cq = send_cq;
    attr.recv_cq = receive_cq;
    attr.qp_type = IBV_QPT_RC;
    attr.sq_sig_all = 0;
    attr.cap.max_send_wr = std::min(depth, static_cast<uint32_t>(device.attr().max_qp_wr));
    attr.cap.max_recv_wr = kReceives;
    attr.cap.max_send_sge = attr.cap.max_recv_sge = 1;
    attr.cap.max_inline_data = wanted;
    const uint32_t asked = attr.cap.max_send_wr;
    qp_ = device_->verbs().create_qp(device.pd(), &attr);
    if (qp_ == nullptr) continue;
    depth_ = asked;
    inline_bytes_ = std::min(attr.cap.max_inline_data, inline_bytes);
    return 0;
  }
  return errno != 0 ? errno : ENOMEM;
}

int QueuePair::Connect(rdma_cm_id* id, const Config& config, const ConnectionLimits& limits) {
  for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
    ibv_qp_attr attr{};
    int mask = 0;
    attr.qp_state = state;
    if (device_->verbs().init_qp_attr(id, &attr, &mask) != 0) return errno;
    if (state == IBV_QPS_INIT) attr.qp_access_flags = limits.access;
    if (state == IBV_QPS_RTR) {
      attr.path_mtu = std::min(attr.path_mtu, limits.mtu);
      attr.max_dest_rd_atomic = limits.reads_in;
      attr.min_rnr_timer = kRnrTimer;
    }
    if (state == IBV_QPS_RTS) {
      attr.max_rd_atomic = limits.reads_out;
      const AckTimer timer = AckTimerOf(config, device_->in_software());
      attr.timeout = timer.exponent;
      attr.retry_cnt = timer.retry_count;
      attr.rnr_retry = static_cast<uint8_t>(config.rnr_retry_count);
    }
    if (const int error = device_->verbs().modify_qp(qp_, &attr, mask); error != 0) return error;
  }
  return 0;
}

void QueuePair::Break() {
  if (qp_ == nullptr) return;
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_ERR;
  device_->verbs().modify_qp(qp_, &attr, IBV_QP_STATE);
}

void QueuePair::Destroy() {
  if (qp_ == nullptr) return;
  device_->verbs().destroy_qp(qp_);
  qp_ = nullptr;
}

int QueuePair::Receive(uint64_t wr_id) {
  ibv_recv_wr wr{};
  ibv_recv_wr* bad = nullptr;
  wr.wr_id = wr_id;
  return ibv_post_recv(qp_, &wr, &bad);
}

int QueuePair::Probe(uint64_t wr_id) {
  ibv_send_wr wr{};
  ibv_send_wr* bad = nullptr;
  wr.wr_id = wr_id;
  wr.opcode = IBV_WR_SEND;
  wr.send_flags = IBV_SEND_SIGNALED;
  return ibv_post_send(qp_, &wr, &bad);
}

// ---- the control queue ---------------------------------------------------------------------------------------------

slipway_status ControlQueue::Make(const Device& device, uint32_t entries, std::unique_ptr<ControlQueue>* out,
                                  sdk::Error& err) {
  const auto n = std::min(entries, static_cast<uint32_t>(device.attr().max_cqe));
  ibv_cq* cq = device.verbs().create_cq(device.context(), static_cast<int>(n), nullptr, nullptr, 0);
  if (cq == nullptr) {
    return err.FailRetryable(SLIPWAY_E_NOMEM, "no completion queue: " + ErrnoText(errno), device.name(), errno);
  }
  out->reset(new ControlQueue(device, cq));
  return SLIPWAY_OK;
}

ControlQueue::~ControlQueue() { device_.verbs().destroy_cq(cq_); }

uint64_t ControlQueue::Add(ControlUser* user) {
  users_.emplace(++last_id_, user);
  return last_id_;
}

void ControlQueue::Poll() {
  ibv_wc wc[16];
  int n = 0;
  while ((n = ibv_poll_cq(cq_, 16, wc)) > 0) {
    for (int i = 0; i < n; ++i) {
      const auto user = users_.find(wc[i].wr_id);
      if (user != users_.end()) user->second->OnControl(wc[i]);
    }
  }
}

}  // namespace slipway::rdma

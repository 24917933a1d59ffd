// Devices that are not there: functions for a Verbs table that record what they are asked, for what a test's machine
// has no device for. Two ports, one a device; nothing moves.
#ifndef SLIPWAY_TESTS_PLUGINS_RDMA_VERBS_FAKE_VERBS_H_
#define SLIPWAY_TESTS_PLUGINS_RDMA_VERBS_FAKE_VERBS_H_

#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "plugins/rdma-verbs/verbs.h"

namespace slipway::rdma {

// One at a time: the functions of the libraries have no place for a context of ours.
class FakeVerbs {
 public:
  static constexpr int kDevices = 2;

  struct Registered {
    int device = 0;
    void* address = nullptr;
    uint64_t length = 0, wire_address = 0, dmabuf_offset = 0;
    int dmabuf_fd = -1;
    unsigned access = 0;
  };

  FakeVerbs() {
    current_ = this;
    for (int i = 0; i < kDevices; ++i) {
      std::snprintf(devices_[i].name, sizeof(devices_[i].name), "fake%d", i);
      contexts_[i].context.device = &devices_[i];
      contexts_[i].context.abi_compat = __VERBS_ABI_IS_EXTENDED;
      contexts_[i].sz = sizeof(verbs_context);
      contexts_[i].query_device_ex = QueryDeviceEx;
      pds_[i].context = &contexts_[i].context;
    }
    FillDevices();
    FillMemory();
    FillQueuePairs();
  }
  ~FakeVerbs() { current_ = nullptr; }
  FakeVerbs(const FakeVerbs&) = delete;

  Verbs table;

  // What the devices can, and what the next registrations come to.
  bool pages_on_demand = false, takes_dmabuf = false;
  int refuse_on_device = -1, refusal = 0;
  // What was asked of them.
  std::vector<Registered> registered;
  std::set<ibv_mr*> alive;
  int open_contexts = 0;
  std::vector<ibv_qp_attr> states;  // that a queue pair was put into
  ibv_qp_init_attr queue_pair{};
  uint32_t inline_bytes_max = 512, vendor_id = 0x2c9;

 private:
  static FakeVerbs& Now() { return *current_; }
  static int NumberOf(const ibv_context* context) { return context == &Now().contexts_[1].context ? 1 : 0; }

  static int QueryDeviceEx(ibv_context*, const ibv_query_device_ex_input*, ibv_device_attr_ex* out, size_t) {
    if (!Now().pages_on_demand) return 0;
    out->odp_caps.general_caps = IBV_ODP_SUPPORT;
    out->odp_caps.per_transport_caps.rc_odp_caps = IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE;
    return 0;
  }

  void FillDevices() {
    for (int i = 0; i < kDevices; ++i) list_[i] = &devices_[i];
    table.get_device_list = [](int* count) {
      *count = kDevices;
      return Now().list_;
    };
    table.free_device_list = [](ibv_device**) {};
    table.get_device_name = [](ibv_device* device) -> const char* { return device->name; };
    table.open_device = [](ibv_device* device) {
      ++Now().open_contexts;
      return &Now().contexts_[device == &Now().devices_[1] ? 1 : 0].context;
    };
    table.close_device = [](ibv_context*) {
      --Now().open_contexts;
      return 0;
    };
    table.query_device = [](ibv_context*, ibv_device_attr* out) {
      *out = {};
      out->phys_port_cnt = 1;
      out->max_qp_wr = 1000;
      out->vendor_id = Now().vendor_id;
      out->max_cqe = 4096;
      return 0;
    };
    table.query_port = [](ibv_context*, uint8_t, _compat_ibv_port_attr* attr) {
      auto* out = reinterpret_cast<ibv_port_attr*>(attr);
      out->state = IBV_PORT_ACTIVE;
      out->active_mtu = IBV_MTU_4096;
      out->max_msg_sz = 1u << 30;
      out->link_layer = IBV_LINK_LAYER_ETHERNET;
      return 0;
    };
    table.query_gid_table = [](ibv_context* context, ibv_gid_entry* out, size_t, uint32_t, size_t) -> ssize_t {
      *out = {};
      out->port_num = 1;
      out->gid_type = IBV_GID_TYPE_ROCE_V2;
      const uint8_t gid[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, uint8_t(1 + NumberOf(context))};
      std::memcpy(out->gid.raw, gid, sizeof(gid));
      return 1;
    };
  }

  static ibv_mr* Register(const Registered& r) {
    FakeVerbs& now = Now();
    if (now.refuse_on_device == r.device) {
      errno = now.refusal;
      return nullptr;
    }
    now.registered.push_back(r);
    auto* mr = new ibv_mr{};
    mr->lkey = static_cast<uint32_t>(now.registered.size());
    mr->rkey = mr->lkey + 1000;
    now.alive.insert(mr);
    return mr;
  }

  void FillMemory() {
    table.alloc_pd = [](ibv_context* context) { return &Now().pds_[NumberOf(context)]; };
    table.dealloc_pd = [](ibv_pd*) { return 0; };
    table.reg_mr_iova2 = [](ibv_pd* pd, void* address, size_t length, uint64_t at, unsigned access) {
      return Register({NumberOf(pd->context), address, length, at, 0, -1, access});
    };
    table.reg_dmabuf_mr = [](ibv_pd* pd, uint64_t offset, size_t length, uint64_t at, int fd, int access) -> ibv_mr* {
      errno = Now().takes_dmabuf ? EBADF : EOPNOTSUPP;
      if (!Now().takes_dmabuf || fd < 0) return nullptr;
      return Register({NumberOf(pd->context), nullptr, length, at, offset, fd, static_cast<unsigned>(access)});
    };
    table.dereg_mr = [](ibv_mr* mr) {
      Now().alive.erase(mr);
      delete mr;
      return 0;
    };
  }

  void FillQueuePairs() {
    table.create_qp = [](ibv_pd*, ibv_qp_init_attr* attr) -> ibv_qp* {
      errno = EINVAL;
      if (attr->cap.max_inline_data > Now().inline_bytes_max) return nullptr;
      Now().queue_pair = *attr;
      return &Now().qp_;
    };
    table.destroy_qp = [](ibv_qp*) { return 0; };
    table.modify_qp = [](ibv_qp*, ibv_qp_attr* attr, int) {
      Now().states.push_back(*attr);
      return 0;
    };
    // What a connection manager says before anybody has an opinion.
    table.init_qp_attr = [](rdma_cm_id*, ibv_qp_attr* attr, int*) {
      attr->path_mtu = IBV_MTU_2048;
      attr->max_rd_atomic = attr->max_dest_rd_atomic = 99;
      attr->timeout = 31;
      attr->retry_cnt = attr->rnr_retry = 7;
      return 0;
    };
  }

  static inline FakeVerbs* current_ = nullptr;
  ibv_device devices_[kDevices]{};
  ibv_device* list_[kDevices]{};
  verbs_context contexts_[kDevices]{};
  ibv_pd pds_[kDevices]{};
  ibv_qp qp_{};
};

}  // namespace slipway::rdma

#endif  // SLIPWAY_TESTS_PLUGINS_RDMA_VERBS_FAKE_VERBS_H_

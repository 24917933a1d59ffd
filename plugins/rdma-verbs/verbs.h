// libibverbs and librdmacm, opened when an instance is made: a machine without them still loads the plugin and is told
// what is missing. Calls that go through a context's own table (post, poll, notify) are inline in verbs.h and need
// nothing here.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_VERBS_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_VERBS_H_

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <string>

#include "slipway/sdk/error.hpp"

namespace slipway::rdma {

// The functions by their own names, without prefix. Constant once Load() said OK; thread-safe then.
struct Verbs {
  // Devices.
  ibv_device** (*get_device_list)(int*) = nullptr;
  void (*free_device_list)(ibv_device**) = nullptr;
  const char* (*get_device_name)(ibv_device*) = nullptr;
  ibv_context* (*open_device)(ibv_device*) = nullptr;
  int (*close_device)(ibv_context*) = nullptr;
  int (*query_device)(ibv_context*, ibv_device_attr*) = nullptr;
  int (*query_port)(ibv_context*, uint8_t, _compat_ibv_port_attr*) = nullptr;
  ssize_t (*query_gid_table)(ibv_context*, ibv_gid_entry*, size_t, uint32_t, size_t) = nullptr;
  int (*get_async_event)(ibv_context*, ibv_async_event*) = nullptr;
  void (*ack_async_event)(ibv_async_event*) = nullptr;
  const char* (*event_type_str)(ibv_event_type) = nullptr;
  const char* (*wc_status_str)(ibv_wc_status) = nullptr;
  // Memory.
  ibv_pd* (*alloc_pd)(ibv_context*) = nullptr;
  int (*dealloc_pd)(ibv_pd*) = nullptr;
  ibv_mr* (*reg_mr)(ibv_pd*, void*, size_t, int) = nullptr;
  ibv_mr* (*reg_mr_iova2)(ibv_pd*, void*, size_t, uint64_t, unsigned) = nullptr;
  ibv_mr* (*reg_dmabuf_mr)(ibv_pd*, uint64_t, size_t, uint64_t, int, int) = nullptr;  // NULL: an old library
  int (*dereg_mr)(ibv_mr*) = nullptr;
  int (*fork_init)() = nullptr;
  ibv_fork_status (*is_fork_initialized)() = nullptr;  // NULL: an old library
  // Completion queues and queue pairs.
  ibv_comp_channel* (*create_comp_channel)(ibv_context*) = nullptr;
  int (*destroy_comp_channel)(ibv_comp_channel*) = nullptr;
  ibv_cq* (*create_cq)(ibv_context*, int, void*, ibv_comp_channel*, int) = nullptr;
  int (*destroy_cq)(ibv_cq*) = nullptr;
  int (*get_cq_event)(ibv_comp_channel*, ibv_cq**, void**) = nullptr;
  void (*ack_cq_events)(ibv_cq*, unsigned) = nullptr;
  ibv_qp* (*create_qp)(ibv_pd*, ibv_qp_init_attr*) = nullptr;
  int (*modify_qp)(ibv_qp*, ibv_qp_attr*, int) = nullptr;
  int (*destroy_qp)(ibv_qp*) = nullptr;
  // Connections.
  rdma_event_channel* (*create_event_channel)() = nullptr;
  void (*destroy_event_channel)(rdma_event_channel*) = nullptr;
  int (*create_id)(rdma_event_channel*, rdma_cm_id**, void*, rdma_port_space) = nullptr;
  int (*destroy_id)(rdma_cm_id*) = nullptr;
  int (*bind_addr)(rdma_cm_id*, sockaddr*) = nullptr;
  int (*listen)(rdma_cm_id*, int) = nullptr;
  int (*resolve_addr)(rdma_cm_id*, sockaddr*, sockaddr*, int) = nullptr;
  int (*resolve_route)(rdma_cm_id*, int) = nullptr;
  int (*connect)(rdma_cm_id*, rdma_conn_param*) = nullptr;
  int (*establish)(rdma_cm_id*) = nullptr;
  int (*accept)(rdma_cm_id*, rdma_conn_param*) = nullptr;
  int (*reject)(rdma_cm_id*, const void*, uint8_t) = nullptr;
  int (*disconnect)(rdma_cm_id*) = nullptr;
  int (*init_qp_attr)(rdma_cm_id*, ibv_qp_attr*, int*) = nullptr;
  int (*set_option)(rdma_cm_id*, int, int, void*, size_t) = nullptr;
  int (*get_cm_event)(rdma_event_channel*, rdma_cm_event**) = nullptr;
  int (*ack_cm_event)(rdma_cm_event*) = nullptr;
  const char* (*event_str)(rdma_cm_event_type) = nullptr;
  uint16_t (*get_src_port)(rdma_cm_id*) = nullptr;

  // E_UNSUPPORTED, with what to install, where a library or a function of it is missing. The libraries stay loaded for
  // the life of the process: other users of them in it are not disturbed, and no thread of theirs loses its code.
  slipway_status Load(sdk::Error& err);
  // As Load, from files of other names: for tests.
  slipway_status LoadFrom(const char* verbs_file, const char* cm_file, sdk::Error& err);
};

std::string ErrnoText(int error);

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_VERBS_H_

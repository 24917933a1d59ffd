#include "plugins/rdma-verbs/verbs.h"

#include <dlfcn.h>

#include <cstring>

namespace slipway::rdma {
namespace {

constexpr char kVerbsFile[] = "libibverbs.so.1";
constexpr char kCmFile[] = "librdmacm.so.1";

class Library {
 public:
  explicit Library(const char* file) : file_(file), handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
    if (handle_ != nullptr) return;
    const char* why = dlerror();
    missing_ = why != nullptr ? why : file;
  }
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <typename F>
  void Optional(const char* name, F** out) {
    if (handle_ != nullptr) *out = reinterpret_cast<F*>(dlsym(handle_, name));
  }
  template <typename F>
  void Required(const char* name, F** out) {
    Optional(name, out);
    if (*out == nullptr && missing_.empty()) missing_ = std::string(file_) + " has no " + name;
  }
  const std::string& missing() const { return missing_; }

 private:
  const char* const file_;
  void* const handle_;
  std::string missing_;
};

void FindVerbs(Library& l, Verbs& v) {
  l.Required("ibv_get_device_list", &v.get_device_list);
  l.Required("ibv_free_device_list", &v.free_device_list);
  l.Required("ibv_get_device_name", &v.get_device_name);
  l.Required("ibv_open_device", &v.open_device);
  l.Required("ibv_close_device", &v.close_device);
  l.Required("ibv_query_device", &v.query_device);
  l.Required("ibv_query_port", &v.query_port);
  l.Required("_ibv_query_gid_table", &v.query_gid_table);
  l.Required("ibv_get_async_event", &v.get_async_event);
  l.Required("ibv_ack_async_event", &v.ack_async_event);
  l.Required("ibv_event_type_str", &v.event_type_str);
  l.Required("ibv_wc_status_str", &v.wc_status_str);
  l.Required("ibv_alloc_pd", &v.alloc_pd);
  l.Required("ibv_dealloc_pd", &v.dealloc_pd);
  l.Required("ibv_reg_mr", &v.reg_mr);
  l.Required("ibv_reg_mr_iova2", &v.reg_mr_iova2);
  l.Optional("ibv_reg_dmabuf_mr", &v.reg_dmabuf_mr);
  l.Required("ibv_dereg_mr", &v.dereg_mr);
  l.Required("ibv_fork_init", &v.fork_init);
  l.Optional("ibv_is_fork_initialized", &v.is_fork_initialized);
  l.Required("ibv_create_comp_channel", &v.create_comp_channel);
  l.Required("ibv_destroy_comp_channel", &v.destroy_comp_channel);
  l.Required("ibv_create_cq", &v.create_cq);
  l.Required("ibv_destroy_cq", &v.destroy_cq);
  l.Required("ibv_get_cq_event", &v.get_cq_event);
  l.Required("ibv_ack_cq_events", &v.ack_cq_events);
  l.Required("ibv_create_qp", &v.create_qp);
  l.Required("ibv_modify_qp", &v.modify_qp);
  l.Required("ibv_destroy_qp", &v.destroy_qp);
}

void FindCm(Library& l, Verbs& v) {
  l.Required("rdma_create_event_channel", &v.create_event_channel);
  l.Required("rdma_destroy_event_channel", &v.destroy_event_channel);
  l.Required("rdma_create_id", &v.create_id);
  l.Required("rdma_destroy_id", &v.destroy_id);
  l.Required("rdma_bind_addr", &v.bind_addr);
  l.Required("rdma_listen", &v.listen);
  l.Required("rdma_resolve_addr", &v.resolve_addr);
  l.Required("rdma_resolve_route", &v.resolve_route);
  l.Required("rdma_connect", &v.connect);
  l.Required("rdma_establish", &v.establish);
  l.Required("rdma_accept", &v.accept);
  l.Required("rdma_reject", &v.reject);
  l.Required("rdma_disconnect", &v.disconnect);
  l.Required("rdma_init_qp_attr", &v.init_qp_attr);
  l.Required("rdma_set_option", &v.set_option);
  l.Required("rdma_get_cm_event", &v.get_cm_event);
  l.Required("rdma_ack_cm_event", &v.ack_cm_event);
  l.Required("rdma_event_str", &v.event_str);
  l.Required("rdma_get_src_port", &v.get_src_port);
}

}  // namespace

slipway_status Verbs::Load(sdk::Error& err) { return LoadFrom(kVerbsFile, kCmFile, err); }

slipway_status Verbs::LoadFrom(const char* verbs_file, const char* cm_file, sdk::Error& err) {
  Library verbs(verbs_file), cm(cm_file);
  Verbs found;
  FindVerbs(verbs, found);
  FindCm(cm, found);
  for (const Library* l : {&verbs, &cm}) {
    if (l->missing().empty()) continue;
    return err.Fail(SLIPWAY_E_UNSUPPORTED,
                    "RDMA cannot be used here: " + l->missing() +
                        "; install rdma-core (libibverbs1, librdmacm1, ibverbs-providers), release 34 or later");
  }
  *this = found;
  return SLIPWAY_OK;
}

std::string ErrnoText(int error) {
  char text[128] = "";
  return strerror_r(error, text, sizeof(text));
}

}  // namespace slipway::rdma

#include "tools/conform/instance.h"

#include <cstring>

namespace slipway::conform {
namespace {

slipway_attrs ReadAttrs(const Context& c, slipway_instance* handle, Shape shape) {
  Shaped<slipway_attrs> attrs(shape);
  const slipway_status s = c.t->get_attrs(handle, attrs.get());
  Require(s == SLIPWAY_OK, "get_attrs: %s", StatusName(s).c_str());
  if (c.t->struct_size <= sizeof(slipway_transport)) {
    Require(attrs.TailIntact(), "get_attrs wrote beyond the slipway_attrs that it was compiled with");
  }
  return *attrs;
}

bool PowerOfTwo(uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

void CheckAttrs(const slipway_transport& t, const slipway_attrs& a) {
  Require((a.caps & ~t.caps) == 0, "the instance's caps (%s) are no subset of the descriptor's (%s)",
          NameBits(CapNames(), a.caps).c_str(), NameBits(CapNames(), t.caps).c_str());
  Require(a.mem_kinds != 0 && (a.mem_kinds & ~t.mem_kinds) == 0,
          "the instance's mem_kinds are empty or no subset of the descriptor's");
  Require(a.max_slice_bytes != 0, "attrs.max_slice_bytes is 0");
  Require(a.preferred_slice_bytes != 0 && a.preferred_slice_bytes <= a.max_slice_bytes,
          "attrs.preferred_slice_bytes is 0 or above max_slice_bytes");
  Require(a.max_channels != 0 && a.max_inflight_per_channel != 0 && a.max_submit_batch != 0,
          "attrs.max_channels, max_inflight_per_channel or max_submit_batch is 0");
  Require(PowerOfTwo(a.local_align) && PowerOfTwo(a.remote_align) && PowerOfTwo(a.length_align) &&
              PowerOfTwo(a.reg_granularity),
          "attrs: an alignment or reg_granularity is not a power of two");
  Require(std::memchr(a.device, 0, sizeof(a.device)) != nullptr, "attrs.device is not NUL-terminated");
  Require((a.caps & SLIPWAY_CAP_PEER_FAILURE) == 0 || a.peer_timeout_ms != 0,
          "caps has PEER_FAILURE and attrs.peer_timeout_ms is 0");
}

// The two-call idiom: how long, then the bytes; with the checks of both.
template <typename Call>
std::string TwoCalls(const char* what, uint32_t bytes_max, Call&& call) {
  Report report;
  size_t needed = 0;
  slipway_status s = call(nullptr, &needed, report.c());
  Require(s == SLIPWAY_E_BUFFER_TOO_SMALL, "%s with no room: expected E_BUFFER_TOO_SMALL, got %s", what,
          report.Say(s).c_str());
  Require(needed > 0 && needed <= bytes_max, "%s needs %zu bytes, the attributes announce at most %u", what, needed,
          bytes_max);
  GuardedBytes room(needed);
  size_t length = needed;
  s = call(room.data(), &length, report.c());
  Require(s == SLIPWAY_OK, "%s with as much room as it asked for: %s", what, report.Say(s).c_str());
  return std::string(room.data(), length);
}

}  // namespace

const char* StateName(uint32_t state) {
  static const char* const names[] = {"NOT_REQUIRED", "FULL", "PARTIAL", "NONE"};
  return state < 4 ? names[state] : "a state that does not exist";
}

slipway_status TryCreate(const Context& c, const FakeHost& host, const char* json, size_t length,
                         slipway_instance** out, Report& report) {
  return c.t->create(host.table(), json, length, out, report.c());
}

slipway_status TryProbe(const Context& c, const FakeHost& host, const char* json, size_t length, slipway_attrs& attrs,
                        Report& report) {
  std::memset(&attrs, 0, sizeof(attrs));
  attrs.struct_size = sizeof(attrs);
  return c.t->probe(host.table(), json, length, &attrs, report.c());
}

Instance::Instance(const Context& c, const std::string& config, Shape shape) : c_(c), shape_(shape), host_(shape) {
  const GuardedBytes json(config);
  Shaped<slipway_error> error(shape);
  const slipway_status s = c.t->create(host_.table(), json.data(), json.size(), &handle_, error.get());
  Require(s == SLIPWAY_OK, "create with %.300s: %s \"%.255s\" at \"%.63s\"", config.c_str(), StatusName(s).c_str(),
          error->message, error->where);
  Require(handle_ != nullptr, "create said OK and gave no instance");
  attrs_ = ReadAttrs(c, handle_, shape);
  CheckAttrs(*c.t, attrs_);
}

void Instance::Destroy() {
  if (handle_ == nullptr) return;
  t().destroy(handle_);
  host_.InstanceDestroyed();
  handle_ = nullptr;
}

uint32_t Instance::NeedyAccess() const {
  uint32_t access = 0;
  if (Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) access |= SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE;
  if (Has(SLIPWAY_CAP_NEEDS_REMOTE_REG)) access |= SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE;
  return access;
}

slipway_status Instance::TryRegister(void* addr, uint64_t length, uint32_t access, slipway_mr** out, Report* report,
                                     uint64_t mem_kind) {
  Shaped<slipway_range> range(shape_);
  range->access = access;
  range->addr = addr;
  range->length = length;
  range->mem_kind = mem_kind;
  range->device_ordinal = -1;
  range->dmabuf_fd = -1;
  return t().register_memory(handle_, range.get(), out, report != nullptr ? report->c() : nullptr);
}

slipway_mr* Instance::Register(void* addr, uint64_t length, uint32_t access, uint64_t mem_kind) {
  slipway_mr* mr = nullptr;
  Report report;
  const slipway_status s = TryRegister(addr, length, access, &mr, &report, mem_kind);
  Require(s == SLIPWAY_OK, "register_memory of %llu bytes, access %u: %s", static_cast<unsigned long long>(length),
          access, report.Say(s).c_str());
  Require(mr != nullptr, "register_memory said OK and gave no registration");
  return mr;
}

void Instance::Deregister(slipway_mr* mr) {
  const slipway_status s = TryDeregister(mr);
  Require(s == SLIPWAY_OK, "deregister_memory of an idle registration: %s", StatusName(s).c_str());
}

Answer Instance::Query(const void* addr, uint64_t length, uint32_t access) {
  Shaped<slipway_range> range(shape_);
  range->access = access;
  range->addr = const_cast<void*>(addr);
  range->length = length;
  range->mem_kind = SLIPWAY_MEM_HOST;
  range->device_ordinal = -1;
  range->dmabuf_fd = -1;
  Shaped<slipway_reg_info> info(shape_);
  Answer answer;
  {
    const FakeHost::InsideQuery inside;
    answer.status = t().query_registered(handle_, range.get(), info.get());
  }
  if (t().struct_size <= sizeof(slipway_transport)) {
    Require(info.TailIntact(), "query_registered wrote beyond the slipway_reg_info that it was compiled with");
  }
  answer.state = info->state;
  answer.prefix = info->prefix_bytes;
  answer.mr = info->mr;
  answer.generation = info->generation;
  return answer;
}

std::string Instance::Address() {
  return TwoCalls("export_address", attrs_.address_bytes_max, [&](void* buf, size_t* len, slipway_error* error) {
    return t().export_address(handle_, buf, len, error);
  });
}
std::string Instance::Blob(slipway_mr* mr) {
  return TwoCalls("export_mr", attrs_.mr_blob_bytes_max, [&](void* buf, size_t* len, slipway_error* error) {
    return t().export_mr(handle_, mr, buf, len, error);
  });
}

slipway_channel* Instance::OpenChannel(void* cookie) {
  Report report;
  slipway_channel* channel = nullptr;
  const slipway_status s = t().channel_open(handle_, cookie, &channel, report.c());
  Require(s == SLIPWAY_OK && channel != nullptr, "channel_open: %s", report.Say(s).c_str());
  return channel;
}

}  // namespace slipway::conform

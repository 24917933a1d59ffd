#include "core/transfer/transport.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/status_name.h"

namespace slipway {
namespace {

// The attributes are the plugin's word: what would make the core divide by zero or never end is refused here.
Status CheckAttrs(const slipway_attrs& a, const std::string& name) {
  const auto bad = [&](const std::string& what) {
    return Status(SLIPWAY_E_PLUGIN_ABI_MISMATCH,
                  name + ": its attributes break the contract: " + what + "; report this to the plugin's vendor");
  };
  if (a.max_slice_bytes == 0) return bad("max_slice_bytes is 0");
  if (a.preferred_slice_bytes == 0 || a.preferred_slice_bytes > a.max_slice_bytes) {
    return bad("preferred_slice_bytes is not between 1 and max_slice_bytes");
  }
  if (a.max_channels == 0 || a.max_inflight_per_channel == 0 || a.max_submit_batch == 0) {
    return bad("max_channels, max_inflight_per_channel or max_submit_batch is 0");
  }
  for (const uint32_t align : {a.local_align, a.remote_align, a.length_align, a.reg_granularity}) {
    if (!IsPowerOfTwo(align)) return bad("an alignment is not a power of two");
    if (align > a.max_slice_bytes) return bad("an alignment is larger than max_slice_bytes");
  }
  if (a.address_bytes_max == 0 || a.mr_blob_bytes_max == 0) return bad("an exported blob may have no bytes");
  return {};
}

// Runs the two-call length idiom of an exporting function. The bound is what the plugin itself promised.
template <typename Call>
Result<std::string> Export(size_t bytes_max, const std::string& who, Call call) {
  std::string blob(bytes_max, '\0');
  size_t len = blob.size();
  slipway_error error = EmptyError();
  const slipway_status status = call(blob.data(), &len, &error);
  if (status != SLIPWAY_OK) return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, who);
  if (len > blob.size()) return Status(SLIPWAY_E_INTERNAL, who + ": returned more bytes than it was given room for");
  blob.resize(len);
  return blob;
}

uint64_t Weighted(uint64_t old_value, uint64_t sample) {
  return old_value == 0 ? sample : old_value - old_value / 8 + sample / 8;
}

const slipway_direct* FindDirect(const slipway_transport& table) {
  if (!SLIPWAY_HAS(&table, slipway_transport, get_extension) || table.get_extension == nullptr) return nullptr;
  const auto* found = static_cast<const slipway_direct*>(table.get_extension(SLIPWAY_DIRECT_ID));
  if (found == nullptr || found->struct_size < sizeof *found) return nullptr;
  return found->enter == nullptr || found->leave == nullptr ? nullptr : found;
}

}  // namespace

Result<std::unique_ptr<Transport>> Transport::Create(const TransportConfig& config, const slipway_host* host,
                                                     PinBudget& budget, Counters& counters) {
  const slipway_transport& table = *config.table;
  const std::string name = table.name;
  slipway_error error = EmptyError();
  slipway_instance* instance = nullptr;
  slipway_status status = table.create(host, config.options_json.data(), config.options_json.size(), &instance, &error);
  if (status == SLIPWAY_E_CONFIG) {
    const std::string where(error.where, strnlen(error.where, sizeof error.where));
    const std::string what(error.message, strnlen(error.message, sizeof error.message));
    return Status(SLIPWAY_E_PLUGIN_CONFIG, config.json_pointer + where + ": " + name + " refuses it: " + what);
  }
  if (status != SLIPWAY_OK) {
    return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, name + " could not be started");
  }
  slipway_attrs attrs;
  std::memset(&attrs, 0, sizeof attrs);
  attrs.struct_size = sizeof attrs;
  status = table.get_attrs(instance, &attrs);
  Status checked = status == SLIPWAY_OK ? CheckAttrs(attrs, name)
                                        : Status(SLIPWAY_E_INTERNAL, name + ": get_attrs failed right after create");
  if (!checked.ok()) {
    table.destroy(instance);
    return checked;
  }
  attrs.device[sizeof attrs.device - 1] = '\0';
  return std::unique_ptr<Transport>(new Transport(config, instance, attrs, budget, counters));
}

Transport::Transport(const TransportConfig& config, slipway_instance* instance, const slipway_attrs& attrs,
                     PinBudget& budget, Counters& counters)
    : table_(config.table),
      name_(config.table->name),
      priority_(config.priority),
      instance_(instance),
      attrs_(attrs),
      direct_(FindDirect(*config.table)),
      bandwidth_bytes_per_s_(attrs.bandwidth_bytes_per_s),
      latency_ns_(attrs.latency_ns) {
  const uint64_t page = std::max<uint64_t>(static_cast<uint64_t>(sysconf(_SC_PAGESIZE)), attrs.reg_granularity);
  ledger_ =
      std::make_unique<Ledger>(*this, Ledger::Limits{attrs.max_mr_bytes, attrs.pins_per_reg, page}, budget, counters);
}

Transport::~Transport() { Shutdown(); }

void Transport::Shutdown() {
  if (instance_ == nullptr) return;
  table_->destroy(std::exchange(instance_, nullptr));
  ledger_->Abandon();
}

Result<slipway_mr*> Transport::RegisterMemory(const slipway_range& range) {
  slipway_error error = EmptyError();
  slipway_mr* mr = nullptr;
  slipway_status status = SLIPWAY_OK;
  if (Has(SLIPWAY_CAP_REG_THREADSAFE)) {
    status = table_->register_memory(instance_, &range, &mr, &error);
  } else {
    MutexLock lock(control_mutex_);
    status = table_->register_memory(instance_, &range, &mr, &error);
  }
  if (status != SLIPWAY_OK) {
    return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error,
                      name_ + " cannot register " + FormatSize(range.length));
  }
  return mr;
}

Status Transport::DeregisterMemory(slipway_mr* mr) {
  slipway_status status = SLIPWAY_OK;
  if (Has(SLIPWAY_CAP_REG_THREADSAFE)) {
    status = table_->deregister_memory(instance_, mr);
  } else {
    MutexLock lock(control_mutex_);
    status = table_->deregister_memory(instance_, mr);
  }
  if (status == SLIPWAY_OK) return {};
  const std::string what = status == SLIPWAY_E_BUSY ? ": a peer or a slice in flight uses the registration; try again"
                                                    : ": could not deregister; the memory may still be pinned";
  return Status(status < 0 ? status : SLIPWAY_E_INTERNAL, name_ + what);
}

Result<std::string> Transport::ExportAddress() {
  MutexLock lock(control_mutex_);
  return Export(
      attrs_.address_bytes_max, name_ + " cannot export its address",
      [&](void* buf, size_t* len, slipway_error* e) { return table_->export_address(instance_, buf, len, e); });
}

Result<std::string> Transport::ExportRegistration(slipway_mr* mr) {
  MutexLock lock(control_mutex_);
  return Export(
      attrs_.mr_blob_bytes_max, name_ + " cannot export a registration",
      [&](void* buf, size_t* len, slipway_error* e) { return table_->export_mr(instance_, mr, buf, len, e); });
}

std::string Transport::StatsJson() {
  if (!SLIPWAY_HAS(table_, slipway_transport, stats_json) || table_->stats_json == nullptr) return "{}";
  std::string text(16384, '\0');
  size_t len = text.size();
  slipway_status status = table_->stats_json(instance_, text.data(), &len);
  if (status == SLIPWAY_E_BUFFER_TOO_SMALL && len <= (1u << 20)) {
    text.resize(len);
    status = table_->stats_json(instance_, text.data(), &len);
  }
  if (status != SLIPWAY_OK || len > text.size()) return "{}";
  text.resize(len);
  return text;
}

bool Transport::AgreesWith(const LocalCover& cover, uint64_t addr, uint32_t access, uint64_t mem_kind) {
  slipway_range range{};
  range.struct_size = sizeof range;
  range.access = access;
  range.addr = reinterpret_cast<void*>(addr);
  range.length = cover.bytes;
  range.mem_kind = mem_kind;
  range.device_ordinal = -1;
  range.dmabuf_fd = -1;
  slipway_reg_info info{};
  info.struct_size = sizeof info;
  if (table_->query_registered(instance_, &range, &info) != SLIPWAY_OK) return false;
  const uint32_t expected = !Has(SLIPWAY_CAP_NEEDS_LOCAL_REG) ? SLIPWAY_REG_NOT_REQUIRED
                            : cover.covered()                 ? SLIPWAY_REG_FULL
                                                              : SLIPWAY_REG_NONE;
  return info.state == expected;
}

bool Transport::MarkFailed(const Status& why) {
  MutexLock lock(failure_mutex_);
  if (failed_.load(std::memory_order_relaxed)) return false;
  failure_ = why;
  failed_.store(true, std::memory_order_release);
  return true;
}

Status Transport::failure() const {
  MutexLock lock(failure_mutex_);
  return failure_;
}

void Transport::Observe(uint64_t bandwidth_bytes_per_s, uint64_t latency_ns) {
  if (bandwidth_bytes_per_s > 0) bandwidth_bytes_per_s_ = Weighted(bandwidth_bytes_per_s_, bandwidth_bytes_per_s);
  if (latency_ns > 0) latency_ns_ = Weighted(latency_ns_, latency_ns);
}

RouteFacts Transport::Facts() const {
  RouteFacts facts;
  facts.name = name_;
  facts.caps = attrs_.caps;
  facts.mem_kinds = attrs_.mem_kinds;
  facts.priority = priority_;
  facts.bandwidth_bytes_per_s = bandwidth_bytes_per_s_.load(std::memory_order_relaxed);
  facts.latency_ns = latency_ns_.load(std::memory_order_relaxed);
  facts.failed = failed();
  return facts;
}

SliceLimits Transport::Limits(uint64_t local_kind, uint64_t slice_bytes_option, uint64_t staging_chunk_bytes) const {
  SliceLimits limits;
  limits.max_bytes = attrs_.max_slice_bytes;
  limits.preferred_bytes = attrs_.preferred_slice_bytes;
  if (slice_bytes_option != 0) {
    const uint64_t unit = std::max({attrs_.local_align, attrs_.remote_align, attrs_.length_align});
    limits.max_bytes = std::min(limits.max_bytes, std::max(slice_bytes_option, unit));
    limits.preferred_bytes = limits.max_bytes;
  }
  limits.staging_chunk_bytes = staging_chunk_bytes;
  limits.local_align = attrs_.local_align;
  limits.remote_align = attrs_.remote_align;
  limits.length_align = attrs_.length_align;
  limits.needs_local_registration = Has(SLIPWAY_CAP_NEEDS_LOCAL_REG);
  limits.reaches_local_kind = (attrs_.mem_kinds & local_kind) != 0;
  return limits;
}

}  // namespace slipway

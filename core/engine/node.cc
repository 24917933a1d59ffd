#include "core/engine/node.h"

#include <dlfcn.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/status_name.h"
#include "core/config/schema_check.h"
#include "core/config/secret_file.h"
#include "core/engine/copy_extension.h"
#include "core/engine/store_instance.h"
#include "slipway/engine.h"

namespace slipway {
namespace {

constexpr uint64_t kQuiesceNs = 5'000'000'000;

std::string RandomId() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return {};
  std::string text;
  for (const unsigned char b : bytes) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", b);
    text += hex.data();
  }
  return text;
}

Locality LocalityOf(const ProcessIdentity& here, const ProcessIdentity& there) {
  if (here.boot_id.empty() || here.boot_id != there.boot_id) return Locality::kOtherHost;
  return here == there ? Locality::kSameProcess : Locality::kSameHost;
}

std::vector<std::string> PluginPath(const Options& options) {
  std::vector<std::string> path = options.plugin_path;
  if (std::string built_in = BuiltInPluginFolder(); !built_in.empty()) path.push_back(std::move(built_in));
  return path;
}

SegmentTarget TargetOf(const SegmentDescriptor& descriptor, const ProcessIdentity& here) {
  SegmentTarget target;
  target.name = descriptor.name;
  target.node = descriptor.node_name;
  target.instance_id = descriptor.instance_id;
  target.length = descriptor.length;
  target.readable = descriptor.readable;
  target.writable = descriptor.writable;
  target.locality = LocalityOf(here, descriptor.process);
  for (const TransportOffer& t : descriptor.transports) {
    SegmentTarget::Offer offer{t.protocol, t.protocol_min, t.protocol_max, t.address, {}, {}};
    for (const RegistrationOffer& r : t.registrations) {
      offer.pieces.push_back({r.offset, r.length});
      offer.blobs.push_back(r.blob);
    }
    target.offers.push_back(std::move(offer));
  }
  return target;
}

size_t DispatcherCount(const TransferOptions& options) {
  constexpr size_t kMostByItself = 8;
  if (options.dispatchers != 0) return options.dispatchers;
  return std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMostByItself);
}

}  // namespace

std::string BuiltInPluginFolder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&BuiltInPluginFolder), &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(info.dli_fname, error);
  return error ? std::string() : (file.parent_path() / "slipway" / "plugins").string();
}

class Node::Services final : public BasicHostServices {
 public:
  Services(std::string name, Node& node) : BasicHostServices(std::move(name), *node.log_, node.clock_), node_(node) {}
  bool PinCharge(uint64_t bytes) override {
    if (node_.budget_->TryReserve(bytes)) return true;
    // It may not wait for room, but there may be some when it asks again.
    if (PinCache* cache = node_.room_.load(std::memory_order_acquire)) cache->AskForRoom(bytes);
    return false;
  }
  void PinUncharge(uint64_t bytes) override { node_.budget_->Release(bytes); }
  const void* GetExtension(std::string_view id) override {
    return id == SLIPWAY_HOST_COPY_ID && node_.copies_ != nullptr ? CopyExtension() : nullptr;
  }
  CopyService* Copies() override { return node_.copies_.get(); }
  HostPins* Pins() override {
    return node_.options_.memory.pin_policy == PinPolicy::kWholeRegion ? node_.pins_.get() : nullptr;
  }
  void Wake(void* cookie) override {
    if (Dispatchers* dispatchers = node_.wakes_.load(std::memory_order_acquire)) dispatchers->Wake(cookie);
  }

 private:
  Node& node_;
};

Node::Node(Options options, std::string source)
    : options_(std::move(options)), source_(std::move(source)), clock_(SystemClock()) {}

Node::~Node() { Shutdown(); }

Result<std::shared_ptr<Node>> Node::Create(Options options, const std::string& source) {
  std::shared_ptr<Node> node(new Node(std::move(options), source));
  SLIPWAY_RETURN_IF_ERROR(node->Start());
  return node;
}

Status Node::Start() {
  log_ = MakeLogger(options_.name, static_cast<LogLevel>(options_.log.level), options_.log.file);
  if (log_ == nullptr) {
    return Status(SLIPWAY_E_CONFIG_FILE, source_ + ": /log/file: \"" + options_.log.file + "\" cannot be written");
  }
  instance_id_ = RandomId();
  if (instance_id_.empty()) return Status(SLIPWAY_E_IO, "the system has no random bytes to give");
  process_ = CurrentProcess();
  budget_ = std::make_unique<PinBudget>(PinCapBytes(options_.memory.budget_bytes), counters_);
  pins_ = std::make_unique<HostPins>(providers_, *budget_, counters_);
  registry_ = std::make_unique<PluginRegistry>(PluginPath(options_));
  SLIPWAY_RETURN_IF_ERROR(LoadProviders());
  SLIPWAY_RETURN_IF_ERROR(LoadTransports());
  SLIPWAY_RETURN_IF_ERROR(StartDispatcher());
  std::vector<RegisteringTransport> registering;
  std::vector<Transport*> all;
  for (const auto& t : transports_) {
    all.push_back(t.get());
    if (t->Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) registering.push_back({t->name(), &t->ledger(), t->attrs().mem_kinds});
  }
  regions_ = std::make_unique<Regions>(std::move(registering), cache_.get());
  SegmentDescriptor self;
  self.instance_id = instance_id_;
  self.node_name = options_.name;
  self.process = process_;
  segment_memory_ = std::make_unique<SegmentHeap>(all);
  published_ = std::make_unique<Published>(std::move(self), std::move(all), options_.control.max_segments, counters_);
  return StartControl();
}

const slipway_host* Node::MakeHost(const std::string& name) {
  services_.push_back(std::make_unique<Services>(name, *this));
  hosts_.push_back(std::make_unique<HostTable>(*services_.back()));
  return hosts_.back()->table();
}

Result<std::unique_ptr<Transport>> Node::LoadTransport(size_t index) {
  const PluginUse& use = options_.transports[index];
  const std::string pointer = "/transports/" + std::to_string(index);
  Result<const slipway_transport*> table =
      registry_->FindTransport(use.name, use.plugin.empty() ? use.name : use.plugin);
  if (!table.ok()) return table.status();
  const char* schema = (*table)->config_schema;
  SLIPWAY_RETURN_IF_ERROR(
      CheckAgainstSchema(schema == nullptr ? "" : schema, use.options_json, pointer + "/options", source_));
  TransportConfig config;
  config.table = *table;
  config.options_json = use.options_json;
  config.priority = use.priority < 0 ? static_cast<int64_t>(index) : use.priority;
  config.json_pointer = source_ + ": " + pointer + "/options";
  return Transport::Create(config, MakeHost(use.name), *budget_, counters_);
}

Status Node::LoadTransports() {
  if (options_.transports.size() > kTransportsMax) {
    return Status(SLIPWAY_E_CONFIG_VALUE, source_ + ": /transports: at most " + std::to_string(kTransportsMax));
  }
  for (size_t i = 0; i < options_.transports.size(); ++i) {
    const PluginUse& use = options_.transports[i];
    Result<std::unique_ptr<Transport>> transport = LoadTransport(i);
    if (transport.ok()) {
      transports_.push_back(std::move(*transport));
      continue;
    }
    const Status& why = transport.status();
    if (use.required) return Status(why.code(), "transport \"" + use.name + "\" is required: " + why.message());
    counters_.Add(Counter::kPluginFailures);
    failures_.push_back({use.name, std::string(StatusName(why.code())) + ": " + why.message()});
    log_->Warning("going on without transport \"" + use.name + "\": " + why.message());
  }
  return {};
}

Status Node::LoadProvider(size_t index) {
  const PluginUse& use = options_.memory_providers[index];
  const std::string pointer = "/memory_providers/" + std::to_string(index) + "/options";
  Result<const slipway_memory_provider*> table =
      registry_->FindMemoryProvider(use.name, use.plugin.empty() ? use.name : use.plugin);
  if (!table.ok()) return table.status();
  const char* schema = (*table)->config_schema;
  SLIPWAY_RETURN_IF_ERROR(CheckAgainstSchema(schema == nullptr ? "" : schema, use.options_json, pointer, source_));
  return providers_.Add(*table, MakeHost(use.name), use.options_json, source_ + ": " + pointer);
}

Status Node::LoadProviders() {
  for (size_t i = 0; i < options_.memory_providers.size(); ++i) {
    const PluginUse& use = options_.memory_providers[i];
    const Status why = LoadProvider(i);
    if (why.ok()) continue;
    if (use.required) return Status(why.code(), "memory provider \"" + use.name + "\" is required: " + why.message());
    counters_.Add(Counter::kPluginFailures);
    failures_.push_back({use.name, std::string(StatusName(why.code())) + ": " + why.message()});
    log_->Warning("going on without memory provider \"" + use.name + "\": " + why.message());
  }
  if (providers_.kinds() != 0) copies_ = std::make_unique<CopyService>(providers_, counters_);
  return {};
}

Status Node::StartDispatcher() {
  Dispatcher::Parts parts;
  parts.transfer = options_.transfer;
  parts.staging = options_.memory.staging;
  for (const auto& t : transports_) parts.transports.push_back(t.get());
  parts.clock = &clock_;
  parts.log = log_.get();
  parts.counters = &counters_;
  parts.copies = copies_.get();
  SLIPWAY_RETURN_IF_ERROR(StartStaging(&parts));
  StartCache(&parts);
  dispatchers_ = std::make_unique<Dispatchers>(parts, DispatcherCount(options_.transfer));
  wakes_.store(dispatchers_.get(), std::memory_order_release);
  if (cache_ != nullptr) cache_->Start();
  room_.store(cache_.get(), std::memory_order_release);
  return dispatchers_->Start();
}

Status Node::StartControl() {
  std::string secret;
  if (!options_.control.secret_file.empty()) {
    Result<std::string> read = ReadSecretFile(options_.control.secret_file);
    if (!read.ok()) return Status(read.status().code(), source_ + ": /control/secret_file: " + read.status().message());
    secret = std::move(*read);
  }
  Result<std::unique_ptr<ControlClient>> client = ControlClient::Create(options_.control, secret, clock_);
  if (!client.ok()) return client.status();
  client_ = std::move(*client);
  if (options_.control.listen.empty()) return {};
  Result<std::unique_ptr<ControlServer>> server = ControlServer::Start(options_.control, secret, this, clock_, *log_);
  if (!server.ok()) return server.status();
  server_ = std::move(*server);
  const std::string host = server_->host();
  const bool v6 = host.find(':') != std::string::npos;
  MutexLock lock(address_mutex_);
  control_address_ = (v6 ? "[" + host + "]" : host) + ":" + std::to_string(server_->port());
  return {};
}

void Node::Shutdown() {
  if (closed_.exchange(true)) return;
  server_.reset();  // nobody opens anything any more
  {
    MutexLock lock(address_mutex_);
    control_address_.clear();
  }
  if (dispatchers_ != nullptr) dispatchers_->Stop();
  if (cache_ != nullptr) cache_->Stop();
  for (const auto& t : transports_) {
    if (t->failed()) continue;
    slipway_error error = EmptyError();
    MutexLock lock(t->control_mutex());
    const slipway_status status = t->table().quiesce(t->instance(), kQuiesceNs, &error);
    if (status != SLIPWAY_OK) log_->Warning(FromPlugin(status, error, t->name() + " did not quiesce").message());
  }
  if (published_ != nullptr) published_->Clear();
  UnpinSegments();
  if (regions_ != nullptr) regions_->Clear();
  UnpinRegions();
  for (size_t i = 0; i < pool_registrations_.size(); ++i) {
    (void)transports_[i]->ledger().Deregister(pool_registrations_[i], 0);
  }
  if (segment_memory_ != nullptr) segment_memory_->Clear();
  for (const auto& t : transports_) t->Shutdown();
  for (uint32_t who = 0; who < pinners_.size(); ++who) cache_->Abandon(who);
  UnpinPool();
  wakes_.store(nullptr, std::memory_order_release);
}

std::string Node::ControlAddress() const {
  MutexLock lock(address_mutex_);
  return control_address_;
}

void Node::Warn(const std::vector<std::string>& warnings) {
  for (const std::string& w : warnings) log_->Warning(w);
}

Status Node::Declare(void* addr, uint64_t length, uint32_t flags) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  if (addr == nullptr || length == 0 || Wraps(reinterpret_cast<uint64_t>(addr), length)) {
    return Status(SLIPWAY_E_INVALID, "a region is not null, not empty, and does not wrap around the address space");
  }
  if (flags > SLIPWAY_DECLARE_NO_REGISTER)
    return Status(SLIPWAY_E_INVALID, "flags: give one of SLIPWAY_DECLARE_* or 0");
  DeclareMode mode = flags == SLIPWAY_DECLARE_REGISTER_REQUIRED ? DeclareMode::kRequired
                     : flags == SLIPWAY_DECLARE_NO_REGISTER     ? DeclareMode::kNever
                                                                : DeclareMode::kBestEffort;
  if (options_.memory.pin_policy == PinPolicy::kOff && mode == DeclareMode::kBestEffort) mode = DeclareMode::kNever;
  if (cache_ != nullptr && mode == DeclareMode::kBestEffort) mode = DeclareMode::kOnDemand;
  if (options_.memory.pin_policy == PinPolicy::kOff && mode == DeclareMode::kRequired) {
    return Status(SLIPWAY_E_CONFIG_CONFLICT, "registration is required and memory.pin_policy is \"off\"");
  }
  std::vector<std::string> warnings;
  Status status = regions_->Declare(addr, length, KindOf(addr, length), mode, &warnings);
  for (std::string& w : warnings) w += " (the region works without, staged)";
  Warn(warnings);
  if (status.ok() && mode != DeclareMode::kNever) PinRegion(addr, length);
  return status;
}

Status Node::Undeclare(void* addr, uint64_t length, uint64_t timeout_ns) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  if (regions_->Count(addr, length) == 1) {
    const std::string segment = published_->Overlapping(addr, length);
    if (!segment.empty()) {
      return Status(SLIPWAY_E_REGION_BUSY, "segment \"" + segment + "\" lies on the region: withdraw it first");
    }
    const uint64_t begin_ns = clock_.NowNs();
    if (!dispatchers_->WaitRangeIdle(reinterpret_cast<uint64_t>(addr), length, timeout_ns)) {
      return Status(SLIPWAY_E_REGION_BUSY, "requests in flight use the region: wait for them or cancel them");
    }
    const uint64_t spent_ns = clock_.NowNs() - begin_ns;
    timeout_ns = timeout_ns > spent_ns ? timeout_ns - spent_ns : 0;
  }
  Status status = regions_->Undeclare(addr, length, timeout_ns);
  if (regions_->Count(addr, length) == 0) UnpinRegion(addr, length);
  return status;
}

Result<void*> Node::Allocate(uint64_t bytes, int32_t numa, const std::string& transport) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  if (bytes == 0) return Status(SLIPWAY_E_INVALID, "memory for a segment has at least one byte");
  std::vector<std::string> warnings;
  Result<void*> memory = segment_memory_->Allocate(bytes, numa, transport, &warnings);
  Warn(warnings);
  return memory;
}

Status Node::Free(void* address) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed, and its memory with it");
  const uint64_t length = segment_memory_->LengthOf(address);
  if (length > 0) {
    const std::string segment = published_->Overlapping(address, length);
    if (!segment.empty()) {
      return Status(SLIPWAY_E_REGION_BUSY, "segment \"" + segment + "\" lies on the memory: withdraw it first");
    }
    if (regions_->Overlaps(address, length)) {
      return Status(SLIPWAY_E_REGION_BUSY, "the memory is declared: undeclare it first");
    }
    if (!dispatchers_->WaitRangeIdle(reinterpret_cast<uint64_t>(address), length, 0)) {
      return Status(SLIPWAY_E_REGION_BUSY, "requests in flight use the memory: wait for them or cancel them");
    }
  }
  return segment_memory_->Free(address);
}

Status Node::Publish(const std::string& name, std::span<const Span> spans, uint32_t access) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  const uint64_t kind = spans.empty() ? SLIPWAY_MEM_HOST : KindOf(spans[0].address, spans[0].length);
  for (const Span& span : spans) {
    if (KindOf(span.address, span.length) != kind) {
      return Status(SLIPWAY_E_INVALID, "the spans of a segment must be of one kind of memory");
    }
  }
  std::vector<std::string> warnings;
  MutexLock change(segments_mutex_);
  Status status = published_->Publish(name, spans, access, kind, &warnings);
  Warn(warnings);
  if (status.ok()) PinSegment(name, spans, kind);
  return status;
}

Status Node::Withdraw(const std::string& name) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  MutexLock change(segments_mutex_);
  Status status = published_->Withdraw(name);
  if (status.ok()) UnpinSegment(name);
  return status;
}

Result<std::shared_ptr<StoreInstance>> Node::OwnStore(
    const std::function<Result<std::shared_ptr<StoreInstance>>()>& make) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  MutexLock lock(store_mutex_);
  if (std::shared_ptr<StoreInstance> there = store_.lock()) return there;
  Result<std::shared_ptr<StoreInstance>> made = make();
  if (made.ok()) store_ = *made;
  return made;
}

Result<SegmentSource::Stream> Node::OpenStream(const std::string& protocol) {
  if (protocol != kStoreProtocol) return SegmentSource::OpenStream(protocol);
  std::shared_ptr<StoreInstance> store;
  {
    MutexLock lock(store_mutex_);
    store = store_.lock();
  }
  if (store == nullptr) return Status(SLIPWAY_E_NO_STORE, "this node has no store, or has not opened it");
  return store->Serving();
}

Result<std::unique_ptr<Channel>> Node::ConnectStream(const std::string& address, const std::string& protocol,
                                                     uint64_t timeout_ms) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  Result<SegmentUrl> url = ParseSegmentUrl(address + "/x");
  if (!url.ok()) return Status(SLIPWAY_E_ADDRESS, "\"" + address + "\" is not HOST:PORT");
  return client_->OpenStream(url->host, url->port, protocol, timeout_ms);
}

std::vector<ProtocolRange> Node::Protocols() const {
  std::vector<ProtocolRange> protocols;
  for (const auto& t : transports_) {
    protocols.push_back({t->table().protocol, t->table().protocol_min, t->table().protocol_max});
  }
  return protocols;
}

Result<std::unique_ptr<SharedSegment>> Node::Open(const std::string& url, uint64_t timeout_ms) {
  if (closed_.load()) return Status(SLIPWAY_E_CLOSED, "the engine was destroyed");
  Result<SegmentDescriptor> descriptor = [&]() -> Result<SegmentDescriptor> {
    if (!url.empty() && url[0] == '/') return published_->Describe(url.substr(1), Protocols());
    Result<SegmentUrl> parsed = ParseSegmentUrl(url);
    if (!parsed.ok()) return parsed.status();
    return client_->Open(*parsed, Protocols(), timeout_ms);
  }();
  if (!descriptor.ok()) return descriptor.status();
  return dispatchers_->Open(TargetOf(*descriptor, process_));
}

Result<SegmentDescriptor> Node::OpenSegment(const std::string& name, const std::vector<ProtocolRange>& protocols) {
  return published_->Describe(name, protocols);
}

std::vector<SegmentSummary> Node::ListSegments() { return published_->List(); }

}  // namespace slipway

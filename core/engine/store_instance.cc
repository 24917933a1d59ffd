#include "core/engine/store_instance.h"

#include <openssl/rand.h>

#include <algorithm>

#include "core/engine/node_plane.h"
#include "core/store/remote_directory.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

// The directory with what it stands on: values that are still read keep all of it.
struct Grounded {
  Grounded(const std::shared_ptr<Node>& node, const StoreOptions& options)
      : plane(node), directory(options, plane, node->counters()) {}
  NodePlane plane;
  LocalDirectory directory;
};
struct RemoteGrounded {
  RemoteGrounded(const std::shared_ptr<Node>& node, const RemoteOptions& options, RemoteDirectory::Connect connect)
      : plane(node), directory(options, plane, std::move(connect), SystemClock()) {}
  NodePlane plane;
  RemoteDirectory directory;
};

HostOptions HostOptionsOf(const Options& options) {
  HostOptions host;
  host.session.lease_ms = options.store.lease_ms;
  host.session.max_reply_bytes = options.control.max_body_bytes;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&host.session.instance), sizeof host.session.instance) != 1) {
    host.session.instance = SystemClock().NowNs();
  }
  host.max_clients = options.store.max_clients;
  host.max_message_bytes = options.control.max_body_bytes;
  host.request_timeout_ns = options.control.request_timeout_ms * kNsPerMs;
  host.idle_timeout_ns = options.control.idle_timeout_ms * kNsPerMs;
  host.write_grace_ns = options.transfer.completion_grace_ms * kNsPerMs;
  return host;
}

}  // namespace

Status StoreInstance::MountConfigured() {
  const StoreOptions& options = node_->options().store;
  std::vector<StoreSegmentUse> segments = options.segments;
  if (segments.empty() && options.bytes > 0) segments.push_back({.name = "main", .bytes = options.bytes});
  for (const StoreSegmentUse& use : segments) {
    Result<SegmentMemory> memory = !use.transport.empty() ? AllocateFrom(use.transport, use.bytes)
                                   : !use.file.empty()    ? SegmentMemory::MapFile(use.file, use.bytes)
                                                          : SegmentMemory::Map(use.bytes);
    if (!memory.ok()) return Status(memory.status().code(), "store.segments: " + memory.status().message());
    SLIPWAY_RETURN_IF_ERROR(local_->Mount(use.name, std::move(*memory)));
  }
  return {};
}

StoreInstance::~StoreInstance() {
  if (host_ != nullptr) host_->Close();
}

Result<std::shared_ptr<StoreInstance>> StoreInstance::Own(const std::shared_ptr<Node>& node) {
  return node->OwnStore([&]() -> Result<std::shared_ptr<StoreInstance>> {
    const StoreOptions& options = node->options().store;
    auto ground = std::make_shared<Grounded>(node, options);
    std::shared_ptr<StoreInstance> instance(new StoreInstance(node));
    instance->local_ = std::shared_ptr<LocalDirectory>(ground, &ground->directory);
    SLIPWAY_RETURN_IF_ERROR(instance->MountConfigured());
    instance->store_ =
        std::make_unique<ObjectStore>(options, ground->plane, instance->local_, node->counters(), SystemClock());
    instance->host_ =
        std::make_shared<StoreHost>(instance->local_, HostOptionsOf(node->options()), node->counters(), SystemClock());
    return instance;
  });
}

Result<std::shared_ptr<StoreInstance>> StoreInstance::Of(const std::shared_ptr<Node>& node, const std::string& address,
                                                         uint64_t timeout_ms) {
  RemoteOptions remote;
  remote.address = address;
  remote.deadline_ms = node->options().store.deadline_ms;
  remote.max_body_bytes = node->options().control.max_body_bytes;
  const auto connect = [weak = std::weak_ptr<Node>(node), address](uint64_t deadline_ns) {
    const std::shared_ptr<Node> there = weak.lock();
    if (there == nullptr) return Result<std::unique_ptr<Channel>>(Status(SLIPWAY_E_CLOSED, "the engine was destroyed"));
    const uint64_t now_ns = SystemClock().NowNs();
    const uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / kNsPerMs : 0;
    return there->ConnectStream(address, std::string(kStoreProtocol), std::max<uint64_t>(left_ms, 1));
  };
  auto ground = std::make_shared<RemoteGrounded>(node, remote, connect);
  constexpr uint64_t kLongestMs = 3'600'000;  // every wait is bounded
  SLIPWAY_RETURN_IF_ERROR(
      ground->directory.Greet(DeadlineAfter(SystemClock().NowNs(), std::min(timeout_ms, kLongestMs) * kNsPerMs)));
  std::shared_ptr<StoreInstance> instance(new StoreInstance(node));
  instance->store_ = std::make_unique<ObjectStore>(node->options().store, ground->plane,
                                                   std::shared_ptr<Directory>(ground, &ground->directory),
                                                   node->counters(), SystemClock());
  return instance;
}

SegmentSource::Stream StoreInstance::Serving() {
  // The host alone: a client does not keep the store, and the store waits for its clients to be gone.
  return [host = host_](Channel& channel, std::string received) { host->Serve(channel, std::move(received)); };
}

Result<SegmentMemory> StoreInstance::AllocateFrom(const std::string& transport, uint64_t bytes) {
  const Result<void*> memory = node_->Allocate(bytes, -1, transport);
  if (!memory.ok()) return memory.status();
  // An engine that was shut down has taken it back by itself.
  return SegmentMemory::Borrow(*memory, bytes, [node = node_](void* address) { (void)node->Free(address); });
}

Result<std::string> StoreInstance::DescribeJson() { return store_->directory().DescribeJson(); }

}  // namespace slipway

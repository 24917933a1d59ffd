// A store on an engine: the engine's own, or another node's.
#ifndef SLIPWAY_CORE_ENGINE_STORE_INSTANCE_H_
#define SLIPWAY_CORE_ENGINE_STORE_INSTANCE_H_

#include <memory>
#include <string>

#include "core/engine/node.h"
#include "core/store/host.h"
#include "core/store/local_directory.h"
#include "core/store/store.h"

namespace slipway {

// Thread-safe. Keeps its node.
class StoreInstance {
 public:
  // The node's own; made, with the configured segments, where there is none yet.
  static Result<std::shared_ptr<StoreInstance>> Own(const std::shared_ptr<Node>& node);
  // That of the node whose control listener is at `address`.
  static Result<std::shared_ptr<StoreInstance>> Of(const std::shared_ptr<Node>& node, const std::string& address,
                                                   uint64_t timeout_ms);
  ~StoreInstance();
  Result<std::string> DescribeJson();

  // Memory that the transport has for segments, for one of this store's.
  Result<SegmentMemory> AllocateFrom(const std::string& transport, uint64_t bytes);

  // Serves a client in another process until its connection ends or this store does.
  SegmentSource::Stream Serving();

  ObjectStore& store() { return *store_; }
  LocalDirectory* local() { return local_.get(); }  // null: another node's
  Node& node() { return *node_; }

 private:
  explicit StoreInstance(std::shared_ptr<Node> node) : node_(std::move(node)) {}
  Status MountConfigured();

  const std::shared_ptr<Node> node_;
  std::shared_ptr<LocalDirectory> local_;
  std::unique_ptr<ObjectStore> store_;
  std::shared_ptr<StoreHost> host_;  // null: another node's
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_STORE_INSTANCE_H_

// The engine as the store sees it.
#ifndef SLIPWAY_CORE_ENGINE_NODE_PLANE_H_
#define SLIPWAY_CORE_ENGINE_NODE_PLANE_H_

#include <memory>
#include <string>
#include <vector>

#include "core/engine/node.h"
#include "core/store/data_plane.h"

namespace slipway {

// Thread-safe. Keeps its node.
class NodePlane final : public DataPlane {
 public:
  explicit NodePlane(std::shared_ptr<Node> node) : node_(std::move(node)) {}

  uint64_t KindOf(const void* address, uint64_t length) override { return node_->KindOf(address, length); }
  Status Declare(void* address, uint64_t length) override { return node_->Declare(address, length, 0); }
  Status Undeclare(void* address, uint64_t length, uint64_t timeout_ns) override;
  Status Publish(const std::string& name, void* address, uint64_t length) override;
  Status Withdraw(const std::string& name) override;
  Result<std::unique_ptr<OpenSegment>> Open(const std::string& url, uint64_t timeout_ns) override;
  std::vector<Status> Transfer(std::span<const Move> moves, uint64_t timeout_ns, const StreamOrder& order) override;
  bool has_transports() const override { return node_->has_transports(); }

  Node& node() { return *node_; }

 private:
  void TransferSome(std::span<const Move> moves, uint64_t until_ns, const StreamOrder& order, std::span<Status> out);

  const std::shared_ptr<Node> node_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_ENGINE_NODE_PLANE_H_

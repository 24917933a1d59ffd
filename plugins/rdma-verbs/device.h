// Devices: which ports there are, which of them an instance uses, and a port that is open.
#ifndef SLIPWAY_PLUGINS_RDMA_VERBS_DEVICE_H_
#define SLIPWAY_PLUGINS_RDMA_VERBS_DEVICE_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "plugins/rdma-verbs/config.h"
#include "plugins/rdma-verbs/verbs.h"
#include "plugins/rdma-verbs/wire.h"

namespace slipway::rdma {

struct GidFacts {
  uint32_t index = 0;
  enum class Type { kInfiniBand, kRoceV1, kRoceV2 } type = Type::kRoceV2;
  SocketAddress address;  // port 0
};

// What is known of a port before one is chosen.
struct PortFacts {
  std::string device;
  uint32_t port = 1;
  int32_t numa_node = -1;  // -1: unknown
  bool active = false;
  std::string state;           // for messages: "PORT_DOWN"
  std::vector<GidFacts> gids;  // those with an IP address
};

struct PortChoice {
  size_t port = 0;  // in the list that was chosen from
  SocketAddress address;
};

// Pure. Those named by the configuration, all of them, in its order; else up to max_devices that are active and have an
// address, those of `numa_node` first. E_CONFIG for a name that does not exist, E_DEVICE where nothing can be used.
slipway_status ChoosePorts(const Config& config, const std::vector<PortFacts>& ports, int32_t numa_node,
                           std::vector<PortChoice>* out, sdk::Error& err);

// A port, its context and its protection domain. Constant after Open, but for the link's state.
class Device {
 public:
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }
  uint32_t port() const { return port_; }
  int32_t numa_node() const { return numa_node_; }
  const SocketAddress& address() const { return address_; }
  const Verbs& verbs() const { return *verbs_; }
  ibv_context* context() const { return context_; }
  ibv_pd* pd() const { return pd_; }
  const ibv_device_attr& attr() const { return attr_; }
  uint64_t message_bytes_max() const { return message_bytes_max_; }
  ibv_mtu mtu() const { return mtu_; }
  uint64_t bytes_per_s() const { return bytes_per_s_; }
  bool takes_dmabuf() const { return takes_dmabuf_; }
  bool pages_on_demand() const { return pages_on_demand_; }
  // Linux's RDMA over Ethernet in software, rxe: a processor does the device's work.
  bool in_software() const { return attr_.vendor_id == 0xffffff; }

  // [any]
  bool link_up() const { return link_up_.load(std::memory_order_acquire); }
  uint64_t link_changed_ns() const { return link_changed_ns_.load(std::memory_order_relaxed); }
  void SetLink(bool up, uint64_t now_ns) {
    link_changed_ns_.store(now_ns, std::memory_order_relaxed);
    link_up_.store(up, std::memory_order_release);
  }

 private:
  friend slipway_status OpenDevices(const Verbs&, const Config&, std::vector<std::unique_ptr<Device>>*, sdk::Error&);
  Device(const Verbs* verbs, ibv_context* context) : verbs_(verbs), context_(context) {}
  slipway_status Prepare(const PortFacts& facts, const SocketAddress& address, const Config& config, sdk::Error& err);

  const Verbs* const verbs_;
  ibv_context* const context_;
  ibv_pd* pd_ = nullptr;
  std::string name_;
  uint32_t port_ = 1;
  int32_t numa_node_ = -1;
  SocketAddress address_;
  ibv_device_attr attr_{};
  uint64_t message_bytes_max_ = 0;
  ibv_mtu mtu_ = IBV_MTU_1024;
  uint64_t bytes_per_s_ = 0;
  bool takes_dmabuf_ = false, pages_on_demand_ = false;
  std::atomic<bool> link_up_{true};
  std::atomic<uint64_t> link_changed_ns_{0};
};

// Opens what ChoosePorts says of this machine. `verbs` outlives the devices. On failure nothing is left open.
slipway_status OpenDevices(const Verbs& verbs, const Config& config, std::vector<std::unique_ptr<Device>>* out,
                           sdk::Error& err);

}  // namespace slipway::rdma

#endif  // SLIPWAY_PLUGINS_RDMA_VERBS_DEVICE_H_

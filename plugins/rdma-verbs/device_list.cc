// Which ports this machine has, and which of them to use.
#include <algorithm>

#include "plugins/rdma-verbs/device.h"

namespace slipway::rdma {
namespace {

// The entry whose address is used, or NULL: the one asked for, else RoCE v2 before the others, IPv4 before IPv6.
const GidFacts* ChooseGid(const Config& config, const PortFacts& port) {
  const GidFacts* best = nullptr;
  const auto rank = [](const GidFacts& g) {
    return (g.type == GidFacts::Type::kRoceV1 ? 2 : 0) + (g.address.family == 6 ? 1 : 0);
  };
  for (const GidFacts& g : port.gids) {
    if (config.gid_index != Config::kAnyGid && g.index != config.gid_index) continue;
    if (config.address_family == Config::AddressFamily::kIpv4 && g.address.family != 4) continue;
    if (config.address_family == Config::AddressFamily::kIpv6 && g.address.family != 6) continue;
    if (best == nullptr || rank(g) < rank(*best)) best = &g;
  }
  return best;
}

std::string Names(const std::vector<PortFacts>& ports) {
  std::string out;
  for (const PortFacts& p : ports) {
    out += (out.empty() ? "" : ", ") + p.device + ":" + std::to_string(p.port) + " (" + p.state +
           (p.gids.empty() ? ", no IP address" : "") + ")";
  }
  return out;
}

slipway_status ChooseNamed(const Config& config, const std::vector<PortFacts>& ports, size_t index,
                           std::vector<PortChoice>* out, sdk::Error& err) {
  const std::string where = "/devices/" + std::to_string(index);
  std::string name;
  uint32_t number = 0;
  SplitDeviceName(config.devices[index], &name, &number);
  const PortFacts* inactive = nullptr;
  bool known = false;
  for (size_t i = 0; i < ports.size(); ++i) {
    const PortFacts& p = ports[i];
    if (p.device != name || (number != 0 && p.port != number)) continue;
    known = true;
    const bool taken = std::any_of(out->begin(), out->end(), [&](const PortChoice& c) { return c.port == i; });
    if (taken) return err.Fail(SLIPWAY_E_CONFIG, "\"" + config.devices[index] + "\" is named twice", where);
    const GidFacts* gid = ChooseGid(config, p);
    if (!p.active || gid == nullptr) {
      if (inactive == nullptr) inactive = &p;
      continue;
    }
    out->push_back({i, gid->address});
    return SLIPWAY_OK;
  }
  if (!known) {
    return err.Fail(SLIPWAY_E_CONFIG,
                    "there is no device \"" + config.devices[index] + "\" here; there are: " + Names(ports), where);
  }
  if (!inactive->active) {
    return err.FailRetryable(SLIPWAY_E_DEVICE,
                             config.devices[index] + " cannot be used: its port is " + inactive->state +
                                 "; bring its link up (ip link, ibstat)",
                             where);
  }
  return err.Fail(SLIPWAY_E_DEVICE,
                  config.devices[index] +
                      " has no GID with an IP address that fits address_family and gid_index: give its network "
                      "interface an address",
                  where);
}

}  // namespace

slipway_status ChoosePorts(const Config& config, const std::vector<PortFacts>& ports, int32_t numa_node,
                           std::vector<PortChoice>* out, sdk::Error& err) {
  if (ports.empty()) {
    return err.Fail(SLIPWAY_E_DEVICE,
                    "there is no RDMA device here (ibv_devices shows none): load its driver, or make a software one "
                    "with rdma link add rxe0 type rxe netdev NAME");
  }
  out->clear();
  for (size_t i = 0; i < config.devices.size(); ++i) {
    if (const slipway_status s = ChooseNamed(config, ports, i, out, err); s != SLIPWAY_OK) return s;
  }
  if (!config.devices.empty()) return SLIPWAY_OK;
  for (const bool near : {true, false}) {
    for (size_t i = 0; i < ports.size() && out->size() < config.max_devices; ++i) {
      const GidFacts* gid = ChooseGid(config, ports[i]);
      const bool is_near = ports[i].numa_node == numa_node || ports[i].numa_node < 0 || numa_node < 0;
      if (ports[i].active && gid != nullptr && is_near == near) out->push_back({i, gid->address});
    }
  }
  if (!out->empty()) return SLIPWAY_OK;
  return err.FailRetryable(SLIPWAY_E_DEVICE, "no RDMA port can be used: " + Names(ports) +
                                                 "; it takes an active link and an IP address on its interface");
}

}  // namespace slipway::rdma

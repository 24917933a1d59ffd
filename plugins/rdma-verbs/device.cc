#include "plugins/rdma-verbs/device.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace slipway::rdma {
namespace {

constexpr size_t kGidsMax = 512;

const char* StateName(ibv_port_state state) {
  switch (state) {
    case IBV_PORT_DOWN:
      return "PORT_DOWN";
    case IBV_PORT_INIT:
      return "PORT_INIT";
    case IBV_PORT_ARMED:
      return "PORT_ARMED";
    case IBV_PORT_ACTIVE:
      return "PORT_ACTIVE";
    default:
      return "in no usable state";
  }
}

int32_t ReadNumber(const std::string& file, int32_t otherwise) {
  std::ifstream in(file);
  int32_t value = otherwise;
  return in >> value ? value : otherwise;
}

bool QueryPort(const Verbs& verbs, ibv_context* context, uint32_t port, ibv_port_attr* out) {
  std::memset(out, 0, sizeof(*out));
  // The library's own entry fills what there was of the struct in its first revision.
  return verbs.query_port(context, static_cast<uint8_t>(port), reinterpret_cast<_compat_ibv_port_attr*>(out)) == 0;
}

// The IP address that a RoCE GID is made of. Link-local ones would need the peer to know an interface.
bool AddressOf(const ibv_gid& gid, SocketAddress* out) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  *out = {};
  if (std::memcmp(gid.raw, kMapped, sizeof(kMapped)) == 0) {
    std::memcpy(out->bytes.data(), gid.raw + 12, 4);
    return true;
  }
  if (gid.raw[0] == 0xfe && (gid.raw[1] & 0xc0) == 0x80) return false;
  if (std::all_of(gid.raw, gid.raw + 16, [](uint8_t b) { return b == 0; })) return false;
  out->family = 6;
  std::memcpy(out->bytes.data(), gid.raw, 16);
  return true;
}

// On InfiniBand a port's addresses are those of the interface that IPoIB made for it.
std::vector<SocketAddress> InterfaceAddresses(const std::string& device, uint32_t port) {
  std::vector<SocketAddress> out;
  std::error_code ec;
  const std::filesystem::path folder = "/sys/class/infiniband/" + device + "/device/net";
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return out;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    if (ReadNumber(entry.path() / "dev_port", 0) != static_cast<int32_t>(port) - 1) continue;
    const std::string name = entry.path().filename();
    for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
      if (i->ifa_addr == nullptr || name != i->ifa_name) continue;
      SocketAddress a;
      if (i->ifa_addr->sa_family == AF_INET) {
        std::memcpy(a.bytes.data(), &reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr, 4);
      } else if (i->ifa_addr->sa_family == AF_INET6) {
        ibv_gid as_gid;
        std::memcpy(as_gid.raw, &reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr, 16);
        if (!AddressOf(as_gid, &a)) continue;
      } else {
        continue;
      }
      out.push_back(a);
    }
  }
  freeifaddrs(list);
  return out;
}

void FillGids(const Verbs& verbs, ibv_context* context, const ibv_port_attr& attr, PortFacts* port) {
  if (attr.link_layer != IBV_LINK_LAYER_ETHERNET) {
    for (const SocketAddress& a : InterfaceAddresses(port->device, port->port)) {
      port->gids.push_back({0, GidFacts::Type::kInfiniBand, a});
    }
    return;
  }
  std::vector<ibv_gid_entry> entries(kGidsMax);
  const ssize_t n = verbs.query_gid_table(context, entries.data(), entries.size(), 0, sizeof(entries[0]));
  for (ssize_t i = 0; i < n; ++i) {
    GidFacts g;
    if (entries[i].port_num != port->port || !AddressOf(entries[i].gid, &g.address)) continue;
    g.index = entries[i].gid_index;
    g.type = entries[i].gid_type == IBV_GID_TYPE_ROCE_V2 ? GidFacts::Type::kRoceV2 : GidFacts::Type::kRoceV1;
    port->gids.push_back(g);
  }
}

// Every port of the device that `context` is open on.
void FillPorts(const Verbs& verbs, ibv_context* context, const std::string& name, std::vector<PortFacts>* out) {
  ibv_device_attr attr{};
  if (verbs.query_device(context, &attr) != 0) return;
  const int32_t numa = ReadNumber("/sys/class/infiniband/" + name + "/device/numa_node", -1);
  for (uint32_t number = 1; number <= attr.phys_port_cnt; ++number) {
    ibv_port_attr port{};
    if (!QueryPort(verbs, context, number, &port)) continue;
    PortFacts facts;
    facts.device = name;
    facts.port = number;
    facts.numa_node = numa;
    facts.active = port.state == IBV_PORT_ACTIVE;
    facts.state = StateName(port.state);
    FillGids(verbs, context, port, &facts);
    out->push_back(std::move(facts));
  }
}

uint64_t BytesPerSecond(const ibv_port_attr& port) {
  const auto lanes = [&]() -> uint64_t {
    switch (port.active_width) {
      case 2:
        return 4;
      case 4:
        return 8;
      case 8:
        return 12;
      case 16:
        return 2;
      default:
        return 1;
    }
  }();
  // Megabits a second of one lane: InfiniBand architecture, PortInfo.LinkSpeedActive.
  const auto megabits = [&]() -> uint64_t {
    switch (port.active_speed) {
      case 1:
        return 2500;
      case 2:
        return 5000;
      case 4:
      case 8:
        return 10000;
      case 16:
        return 14000;
      case 32:
        return 25000;
      case 64:
        return 50000;
      case 128:
        return 100000;
      default:
        return 2500;
    }
  }();
  return lanes * megabits * 125'000;
}

// Whether the driver knows DMA-BUFs: one that does looks at the descriptor, and -1 is none.
bool TakesDmabuf(const Verbs& verbs, ibv_pd* pd) {
  if (verbs.reg_dmabuf_mr == nullptr) return false;
  errno = 0;
  ibv_mr* mr = verbs.reg_dmabuf_mr(pd, 0, 4096, 0, -1, 0);
  if (mr == nullptr) return errno == EBADF;
  verbs.dereg_mr(mr);
  return true;
}

bool PagesOnDemand(ibv_context* context) {
  ibv_device_attr_ex attr{};
  // The inline function of the header would need the library itself where a driver lacks this.
  verbs_context* extended = verbs_get_ctx_op(context, query_device_ex);
  if (extended == nullptr || extended->query_device_ex(context, nullptr, &attr, sizeof(attr)) != 0) return false;
  const uint32_t needed = IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE;
  return (attr.odp_caps.general_caps & IBV_ODP_SUPPORT) != 0 &&
         (attr.odp_caps.per_transport_caps.rc_odp_caps & needed) == needed;
}

int32_t CurrentNumaNode() {
  unsigned cpu = 0, node = 0;
  return getcpu(&cpu, &node) == 0 ? static_cast<int32_t>(node) : -1;
}

// The devices of this machine, open for as long as it lives.
class OpenList {
 public:
  explicit OpenList(const Verbs& verbs) : verbs_(verbs), list_(verbs.get_device_list(&count_)) {}
  ~OpenList() {
    for (ibv_context* c : contexts_) {
      if (c != nullptr) verbs_.close_device(c);
    }
    if (list_ != nullptr) verbs_.free_device_list(list_);
  }
  std::vector<PortFacts> Ports() {
    std::vector<PortFacts> out;
    for (int i = 0; list_ != nullptr && i < count_; ++i) {
      ibv_context* context = verbs_.open_device(list_[i]);
      contexts_.push_back(context);
      if (context != nullptr) FillPorts(verbs_, context, verbs_.get_device_name(list_[i]), &out);
    }
    return out;
  }
  // A context of the caller's own: the system gives every opening its own memory and events.
  ibv_context* Open(const std::string& name) {
    for (int i = 0; i < count_; ++i) {
      if (name == verbs_.get_device_name(list_[i])) return verbs_.open_device(list_[i]);
    }
    return nullptr;
  }

 private:
  const Verbs& verbs_;
  int count_ = 0;
  ibv_device** const list_;
  std::vector<ibv_context*> contexts_;
};

}  // namespace

Device::~Device() {
  if (pd_ != nullptr) verbs_->dealloc_pd(pd_);
  verbs_->close_device(context_);
}

slipway_status Device::Prepare(const PortFacts& facts, const SocketAddress& address, const Config& config,
                               sdk::Error& err) {
  name_ = facts.device;
  port_ = facts.port;
  numa_node_ = facts.numa_node;
  address_ = address;
  ibv_port_attr port{};
  if (verbs_->query_device(context_, &attr_) != 0 || !QueryPort(*verbs_, context_, port_, &port)) {
    return err.Fail(SLIPWAY_E_DEVICE, "the device does not say what it is", name_, errno);
  }
  message_bytes_max_ = port.max_msg_sz;
  mtu_ = port.active_mtu;
  for (uint32_t m = IBV_MTU_256; config.mtu_bytes != 0 && m <= IBV_MTU_4096; ++m) {
    if (128u << m == config.mtu_bytes && m < mtu_) mtu_ = static_cast<ibv_mtu>(m);
  }
  bytes_per_s_ = BytesPerSecond(port);
  pd_ = verbs_->alloc_pd(context_);
  if (pd_ == nullptr) {
    return err.FailRetryable(SLIPWAY_E_NOMEM, "no protection domain: " + ErrnoText(errno), name_, errno);
  }
  takes_dmabuf_ = config.dmabuf && TakesDmabuf(*verbs_, pd_);
  pages_on_demand_ = PagesOnDemand(context_);
  if (config.on_demand_paging && !pages_on_demand_) {
    return err.Fail(SLIPWAY_E_CONFIG, name_ + " cannot page on demand: set on_demand_paging to false",
                    "/on_demand_paging");
  }
  return SLIPWAY_OK;
}

slipway_status OpenDevices(const Verbs& verbs, const Config& config, std::vector<std::unique_ptr<Device>>* out,
                           sdk::Error& err) {
  OpenList list(verbs);
  const std::vector<PortFacts> ports = list.Ports();
  std::vector<PortChoice> choices;
  if (const slipway_status s = ChoosePorts(config, ports, CurrentNumaNode(), &choices, err); s != SLIPWAY_OK) return s;
  std::vector<std::unique_ptr<Device>> devices;
  for (const PortChoice& choice : choices) {
    const PortFacts& facts = ports[choice.port];
    ibv_context* context = list.Open(facts.device);
    if (context == nullptr) {
      return err.FailRetryable(SLIPWAY_E_DEVICE, "cannot open the device: " + ErrnoText(errno), facts.device, errno);
    }
    devices.emplace_back(new Device(&verbs, context));
    if (const slipway_status s = devices.back()->Prepare(facts, choice.address, config, err); s != SLIPWAY_OK) return s;
  }
  *out = std::move(devices);
  return SLIPWAY_OK;
}

}  // namespace slipway::rdma

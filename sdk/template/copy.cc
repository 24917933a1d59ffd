// A transport between the instances of one process: a slice is a memcpy. Begin at the end: the last line is what the
// plugin exports, Copy is what it says of itself, and the classes above do the work.
#include <cstring>

#include "slipway/sdk/blob.hpp"
#include "slipway/sdk/config_reader.hpp"
#include "slipway/sdk/grant.hpp"
#include "slipway/sdk/plugin.hpp"
#include "slipway/sdk/poll_channel.hpp"
#include "slipway/sdk/process_wide.hpp"

namespace {

using namespace slipway::sdk;

// An instance as its peers see it, who keep it for as long as they need it. Whoever copies for the instance, or from
// and to its memory, is inside the gate; it is closed when the instance stops.
struct Endpoint {
  GrantTable grants;
  uint64_t key = 0;
  Gate gate;
};

// How instances find each other. Other transports have a network here.
constinit ProcessWide<KeyTable<Endpoint>> endpoints;

// What travels.
struct Address {
  char magic[8] = "cpyadr1";
  uint64_t endpoint = 0;
};
struct Key {
  char magic[8] = "cpykey1";
  uint64_t endpoint = 0, grant = 0;
};

struct CopyRemote final : PollRemote {
  CopyRemote(std::shared_ptr<Endpoint> e, std::shared_ptr<Grant> g)
      : PollRemote(g->range.length, g->range.access), endpoint(std::move(e)), grant(std::move(g)) {}

  slipway_status Check(const slipway_slice& s, Error& err) override {
    if (!Overlaps(s, grant->At(s.remote_offset))) return SLIPWAY_OK;
    return err.Fail(SLIPWAY_E_INVALID, "source and target overlap: move it in two steps");
  }
  slipway_status Move(const slipway_slice& s, uint64_t& moved, int32_t&) override {
    const Pass alive(endpoint->gate), granted(grant->gate);
    if (!alive) return SLIPWAY_E_PEER;
    if (!granted) return SLIPWAY_E_STALE_REMOTE;
    void* const there = grant->At(s.remote_offset);
    const bool read = s.op == SLIPWAY_OP_READ;
    std::memcpy(read ? s.local_addr : there, read ? there : s.local_addr, s.length);
    moved = s.length;
    return SLIPWAY_OK;
  }

  const std::shared_ptr<Endpoint> endpoint;
  const std::shared_ptr<Grant> grant;
};

struct CopyPeer final : Peer {
  slipway_status Ready(Error& err) override {
    if (!endpoint->gate.closed()) return SLIPWAY_OK;
    return err.Fail(SLIPWAY_E_PEER, "the peer was shut down: connect to its new address");
  }
  slipway_status ImportMr(std::string_view blob, std::unique_ptr<Remote>& out, Error& err) override {
    Key key;
    if (!Unpack(blob, key)) return err.Fail(SLIPWAY_E_PROTOCOL, "not a registration of sample-copy, or damaged");
    if (key.endpoint != endpoint->key) return err.Fail(SLIPWAY_E_STALE_REMOTE, "of another instance than this peer");
    if (const slipway_status s = Ready(err); s != SLIPWAY_OK) return s;
    std::shared_ptr<Grant> grant = endpoint->grants.Find(key.grant);
    if (grant == nullptr) return err.Fail(SLIPWAY_E_STALE_REMOTE, "revoked: ask the peer for its present registration");
    out = std::make_unique<CopyRemote>(endpoint, std::move(grant));
    return SLIPWAY_OK;
  }

  std::shared_ptr<Endpoint> endpoint;
};

class CopyInstance final : public Instance {
 public:
  CopyInstance(Host host, const slipway_attrs& attrs) : Instance(host, attrs) { endpoints.Get().Add(endpoint_); }

  slipway_status Quiesce(uint64_t timeout_ns, Error& err) override {
    if (endpoint_->gate.Close(host(), timeout_ns)) return SLIPWAY_OK;
    return err.Fail(SLIPWAY_E_TIMEOUT, "a slice is being copied: call again");
  }
  void Stop() noexcept override {
    endpoints.Get().Remove(endpoint_->key);
    endpoint_->gate.Close(host(), kNoTimeoutNs);  // ends with the slices that are being copied now
  }

  slipway_status RegisterMemory(const slipway_range& range, std::unique_ptr<Registration>& out, Error&) override {
    return endpoint_->grants.Register(range, out);
  }
  slipway_status DeregisterMemory(Registration& mr) override { return endpoint_->grants.Deregister(host(), mr); }

  slipway_status ExportAddress(std::string& out, Error&) override {
    out = Pack(Address{.endpoint = endpoint_->key});
    return SLIPWAY_OK;
  }
  slipway_status ExportMr(Registration& mr, std::string& out, Error&) override {
    out = Pack(Key{.endpoint = endpoint_->key, .grant = GrantTable::Of(mr).key});
    return SLIPWAY_OK;
  }
  slipway_status Connect(std::string_view bytes, std::unique_ptr<Peer>& out, Error& err) override {
    Address address;
    if (!Unpack(bytes, address)) return err.Fail(SLIPWAY_E_PROTOCOL, "not an address of sample-copy, or damaged");
    auto peer = std::make_unique<CopyPeer>();
    peer->endpoint = endpoints.Get().Find(address.endpoint);
    if (peer->endpoint == nullptr) return err.Fail(SLIPWAY_E_PEER, "the peer is gone, or in another process");
    out = std::move(peer);
    return SLIPWAY_OK;
  }
  slipway_status OpenChannel(void* cookie, std::unique_ptr<Channel>& out, Error&) override {
    out = std::make_unique<PollChannel>(*this, cookie, endpoint_->gate);
    return SLIPWAY_OK;
  }

 private:
  const std::shared_ptr<Endpoint> endpoint_ = std::make_shared<Endpoint>();
};

struct Copy : Transport {
  static constexpr TransportInfo kInfo = {
      .name = "sample-copy",
      .version = "1.0.0",
      .vendor = "Example",
      .description = "Copies between the instances of one process",
      .protocol = "sample-copy",
      .protocol_min = 1,
      .protocol_max = 1,
      .caps = SLIPWAY_CAP_READ | SLIPWAY_CAP_WRITE | SLIPWAY_CAP_NEEDS_REMOTE_REG | SLIPWAY_CAP_REG_THREADSAFE |
              SLIPWAY_CAP_PEER_FAILURE,
      .mem_kinds = SLIPWAY_MEM_HOST,
      .config_schema = R"({"type": "object", "additionalProperties": false, "properties": {
        "max_slice_bytes": {"type": "integer", "minimum": 4096, "maximum": 1073741824, "default": 1048576,
                            "description": "The longest slice accepted; one is copied without a pause"}}})"};

  static slipway_status Probe(Host, std::string_view json, slipway_attrs& attrs, Error& err) {
    attrs.max_slice_bytes = 1 << 20;
    attrs.max_mrs = 4096;
    attrs.peer_timeout_ms = 1000;
    attrs.address_bytes_max = kPackedBytes<Address>;
    attrs.mr_blob_bytes_max = kPackedBytes<Key>;
    nlohmann::json parsed;
    if (const slipway_status s = ParseConfig(json, parsed, err); s != SLIPWAY_OK) return s;
    ConfigReader reader(parsed, "", err);
    reader.UInt("max_slice_bytes", attrs.max_slice_bytes, 4096, 1 << 30);
    attrs.preferred_slice_bytes = attrs.max_slice_bytes;
    return reader.Finish();
  }
  static slipway_status Create(Host host, std::string_view json, std::unique_ptr<Instance>& out, Error& err) {
    slipway_attrs attrs = DefaultAttrs(kInfo);
    if (const slipway_status s = Probe(host, json, attrs, err); s != SLIPWAY_OK) return s;
    out = std::make_unique<CopyInstance>(host, attrs);
    return SLIPWAY_OK;
  }
};

}  // namespace

SLIPWAY_PLUGIN("sample-copy", "1.0.0", Copy)

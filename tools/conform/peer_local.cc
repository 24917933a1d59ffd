#include <map>
#include <thread>

#include "slipway/abi/segment_memory.h"
#include "tools/conform/failure.h"
#include "tools/conform/instance.h"
#include "tools/conform/peer.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

class LocalPeer : public PeerSide {
 public:
  LocalPeer(const Context& c, Shape shape) : c_(c), instance_(std::make_unique<Instance>(c, c.peer_config(), shape)) {
    channel_ = instance_->OpenChannel(this);
  }
  ~LocalPeer() override {
    if (watcher_.joinable()) watcher_.join();
  }

  std::string Address() override { return instance_->Address(); }

  Segment Register(uint64_t bytes, uint32_t access, uint64_t seed) override {
    const uint32_t id = ++last_id_;
    memory_[id].buffer =
        c_.profile().segment_memory ? FromTransport(bytes) : std::make_unique<Buffer>(bytes, c_.exposed());
    return Expose(id, access, seed);
  }
  slipway_status Deregister(uint32_t id) override {
    const slipway_status s = instance_->TryDeregister(At(id).mr);
    if (s == SLIPWAY_OK) At(id).mr = nullptr;
    return s;
  }
  Segment RemapAndRegister(uint32_t id, uint32_t access, uint64_t seed) override {
    if (At(id).mr != nullptr) instance_->Deregister(At(id).mr);
    At(id).buffer->Remap();
    return Expose(id, access, seed);
  }
  void Fill(uint32_t id, uint64_t offset, uint64_t bytes, uint64_t seed) override {
    FillPattern(Data(id, offset, bytes), bytes, seed, offset);
  }
  std::string Hash(uint32_t id, uint64_t offset, uint64_t bytes) override {
    return Sha256Hex(Data(id, offset, bytes), bytes);
  }
  std::string Overrun(uint32_t id) override { return At(id).buffer->Overrun(); }

  void StartWatch(const Watch& watch) override {
    watcher_ = std::thread([this, watch] { watched_ = Look(watch); });
  }
  std::string FinishWatch() override {
    watcher_.join();
    return watched_;
  }
  void Progress() override {
    slipway_completion none[4];
    uint32_t n = 0;
    instance_->t().poll(channel_, none, sizeof(none[0]), 4, &n);
  }
  void Kill() override { instance_.reset(); }

 private:
  struct Memory {
    std::unique_ptr<Buffer> buffer;
    slipway_mr* mr = nullptr;
  };

  // Given back with the instance.
  std::unique_ptr<Buffer> FromTransport(uint64_t bytes) {
    const slipway_transport& t = instance_->t();
    const auto* found = static_cast<const slipway_segment_memory*>(
        t.get_extension == nullptr ? nullptr : t.get_extension(SLIPWAY_SEGMENT_MEMORY_ID));
    Require(found != nullptr,
            "the profile's segment_memory is true and the transport has no " SLIPWAY_SEGMENT_MEMORY_ID);
    void* memory = nullptr;
    Report report;
    const slipway_status s = found->allocate(instance_->get(), Buffer::RoomFor(bytes), -1, &memory, report.c());
    Require(s == SLIPWAY_OK && memory != nullptr, "allocate of segment memory: %s", report.Say(s).c_str());
    constexpr uintptr_t kAlign = uintptr_t{2} << 20;
    Require(reinterpret_cast<uintptr_t>(memory) % kAlign == 0, "segment memory is not aligned to 2 MiB");
    return std::make_unique<Buffer>(bytes, memory);
  }
  Memory& At(uint32_t id) {
    const auto it = memory_.find(id);
    Require(it != memory_.end(), "the runner asked a peer for segment %u, which it does not have", id);
    return it->second;
  }
  char* Data(uint32_t id, uint64_t offset, uint64_t bytes) {
    const Buffer& b = *At(id).buffer;
    Require(offset <= b.size() && bytes <= b.size() - offset, "the runner asked a peer beyond the end of a segment");
    return b.data() + offset;
  }
  Segment Expose(uint32_t id, uint32_t access, uint64_t seed) {
    Memory& m = At(id);
    FillPattern(m.buffer->data(), m.buffer->size(), seed);
    m.mr = instance_->Register(m.buffer->data(), m.buffer->size(), access);
    return {id, m.buffer->size(), instance_->Blob(m.mr), m.buffer->data()};
  }
  std::string Look(const Watch& w) {
    const volatile uint64_t* flag = reinterpret_cast<const volatile uint64_t*>(Data(w.id, w.flag_offset, 8));
    const char* data = Data(w.id, w.offset, w.bytes);
    const Deadline deadline(c_.limits().op_timeout_ms);
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != w.flag) {
      if (deadline.over()) return "the flag was never seen at the target";
    }
    const size_t wrong = FirstDifference(data, w.bytes, w.seed, w.offset);
    if (wrong == w.bytes) return {};
    return Format("when the flag was seen, byte %zu of %llu of the data before it was not there yet", wrong,
                  static_cast<unsigned long long>(w.bytes));
  }

  const Context& c_;
  std::map<uint32_t, Memory> memory_;  // freed after the instance
  std::unique_ptr<Instance> instance_;
  slipway_channel* channel_ = nullptr;
  uint32_t last_id_ = 0;
  std::thread watcher_;
  std::string watched_;
};

}  // namespace

std::unique_ptr<PeerSide> MakeLocalPeer(const Context& c, Shape shape) { return std::make_unique<LocalPeer>(c, shape); }

std::unique_ptr<PeerSide> MakePeer(const Context& c) { return c.cross_process() ? SpawnPeer(c) : MakeLocalPeer(c); }

}  // namespace slipway::conform

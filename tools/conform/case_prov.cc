// Memory providers: what they say of addresses, what they copy and pin, and that they leave the caller's thread alone.
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/plugin_file.h"
#include "tools/conform/provider.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

unsigned long long U(uint64_t n) { return n; }
constexpr uint64_t kToken = 0xC09EC09Eu;  // as Provider::CopyAll expects: position XOR this

// Own memory that is given back with it.
class Own {
 public:
  Own(const Provider& p, uint64_t bytes) : p_(p), at_(static_cast<char*>(p.Allocate(bytes))) {}
  ~Own() { p_.Free(at_); }
  Own(const Own&) = delete;
  Own& operator=(const Own&) = delete;
  char* data() const { return at_; }

 private:
  const Provider& p_;
  char* const at_;
};

void Classify(Context& c) {
  const Provider p(c, c.profile().config);
  constexpr uint64_t kBytes = 1 << 20;
  const Buffer host(65536);
  int on_stack = 0;
  void* unmapped = mmap(nullptr, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(unmapped, 65536);
  const struct {
    const char* what;
    const void* addr;
  } foreign[] = {{"host memory", host.data()},
                 {"the stack", &on_stack},
                 {"unmapped memory", unmapped},
                 {"NULL", nullptr},
                 {"code", reinterpret_cast<const void*>(&Classify)},
                 {"the last page", reinterpret_cast<const void*>(UINTPTR_MAX - 4095)}};
  for (const auto& f : foreign) {
    Require(p.Classify(f.addr, 16).mem_kind == 0, "classify of %s says that it is the provider's", f.what);
  }
  const Own first(p, kBytes), second(p, kBytes);
  for (const Own* own : {&first, &second}) {
    for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{4095}, kBytes / 2, kBytes - 1}) {
      const slipway_mem_info info = p.Classify(own->data() + offset, 1);
      Require(info.mem_kind == p.mem_kind(), "classify does not know its own memory, %llu bytes into it", U(offset));
      Require(info.base == nullptr || info.base == own->data(), "classify, %llu bytes into an allocation: wrong base",
              U(offset));
      Require(info.size == 0 || (info.size >= kBytes && info.size <= 2 * kBytes),
              "classify, %llu bytes into an allocation of %llu: size %llu", U(offset), U(kBytes), U(info.size));
    }
  }
  const uint64_t id = p.Classify(first.data(), 1).allocation_id;
  Require(id == 0 || id != p.Classify(second.data(), 1).allocation_id, "two allocations have the same allocation_id");
  void* gone = p.Allocate(kBytes);
  const uint64_t gone_id = p.Classify(gone, 1).allocation_id;
  p.Free(gone);
  void* again = p.Allocate(kBytes);
  Require(gone_id == 0 || p.Classify(again, 1).allocation_id != gone_id, "an allocation_id was used again");
  p.Free(again);
}

void ClassifyPure(Context& c) {
  const Provider p(c, c.profile().config);
  const Own own(p, 65536);
  const Buffer host(65536);
  p.Classify(own.data(), 16);
  p.Disturb();
  const uint64_t state = p.ThreadState();
  const Usage before = Usage::Now();
  const uint64_t start = MonotonicNs();
  for (uint64_t i = 0; i < c.limits().classify_calls; ++i) {
    p.Classify((i % 2 == 0 ? own.data() : host.data()) + i % 60000, 1 + i % 5000);
  }
  const uint64_t each_ns = (MonotonicNs() - start) / c.limits().classify_calls;
  Require(p.ThreadState() == state, "classify changed the calling thread's current device, context or last error");
  const std::string grown = Grown(before, Usage::Settled(before), {});
  Require(grown.empty(), "after %llu calls of classify %s", U(c.limits().classify_calls), grown.c_str());
  Require(each_ns < c.limits().query_p99_us * 1000, "classify takes %llu ns on average", U(each_ns));
}

// Page-aligned host memory, pinned where `pinned`.
class HostSide {
 public:
  HostSide(const Provider& p, uint64_t bytes, bool pinned) : p_(p), buffer_(bytes) {
    if (!pinned) return;
    Report report;
    const slipway_status s = p.p().pin_host(p.get(), buffer_.data(), bytes, &pin_, report.c());
    Require(s == SLIPWAY_OK && pin_ != nullptr, "pin_host of %llu bytes: %s", U(bytes), report.Say(s).c_str());
  }
  ~HostSide() {
    if (pin_ != nullptr) p_.p().unpin_host(p_.get(), pin_, nullptr);
  }
  HostSide(const HostSide&) = delete;
  HostSide& operator=(const HostSide&) = delete;
  char* data() const { return buffer_.data(); }
  const Buffer& buffer() const { return buffer_; }

 private:
  const Provider& p_;
  Buffer buffer_;
  slipway_pin* pin_ = nullptr;
};

void CopyMatrix(Context& c) {
  const Provider p(c, c.profile().config);
  constexpr uint64_t kBytes = 1 << 20;
  const Own from(p, kBytes), to(p, kBytes);
  slipway_copy_queue* queue = p.OpenQueue();
  const auto copy = [&](void* dst, uint64_t dst_kind, const void* src, uint64_t src_kind, uint64_t n) {
    p.CopyAll(queue, {{kToken, dst, src, n, dst_kind, src_kind}});
  };
  for (const bool pinned : {false, true}) {
    if (pinned && p.p().pin_host == nullptr) continue;
    HostSide in(p, kBytes, pinned), out(p, kBytes, pinned);
    uint64_t seed = 0;
    for (const uint64_t n : {0, 1, 3, 64, 255, 4096, 4097, 65536, 999983}) {
      for (const uint64_t offset : {0, 1, 63, 4095}) {
        if (n + offset > kBytes) continue;
        // In, across, out: host to own, own to own, own to host. What is around the bytes must stay.
        FillPattern(in.data(), kBytes, ++seed);
        std::memset(out.data(), 0x77, kBytes);
        copy(to.data(), p.mem_kind(), out.data(), SLIPWAY_MEM_HOST, kBytes);
        copy(from.data() + offset, p.mem_kind(), in.data() + offset, SLIPWAY_MEM_HOST, n);
        copy(to.data() + offset, p.mem_kind(), from.data() + offset, p.mem_kind(), n);
        copy(out.data(), SLIPWAY_MEM_HOST, to.data(), p.mem_kind(), kBytes);
        Require(std::memcmp(out.data() + offset, in.data() + offset, n) == 0,
                "%llu bytes at offset %llu, host to own to own to %s host: not what was sent", U(n), U(offset),
                pinned ? "pinned" : "pageable");
        for (uint64_t i = 0; i < kBytes; ++i) {
          if (i >= offset && i < offset + n) continue;
          Require(out.data()[i] == 0x77, "a copy of %llu bytes at offset %llu changed byte %llu", U(n), U(offset),
                  U(i));
        }
        Require(out.buffer().Overrun().empty() && in.buffer().Overrun().empty(),
                "a copy wrote outside its host buffer");
      }
    }
  }
  p.CloseQueue(queue);
}

void CopyManySmall(Context& c) {
  const Provider p(c, c.profile().config);
  constexpr uint64_t kPieces = 10000, kPiece = 48;
  const Own own(p, kPieces * kPiece);
  Buffer in(kPieces * kPiece), out(kPieces * kPiece);
  FillPattern(in.data(), in.size(), c.seed);
  slipway_copy_queue* queue = p.OpenQueue();
  Random random(c.seed);
  std::vector<uint64_t> order(kPieces);
  for (uint64_t i = 0; i < kPieces; ++i) order[i] = i;
  for (uint64_t i = kPieces - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  std::vector<slipway_copy> there, back;
  for (uint64_t i = 0; i < kPieces; ++i) {
    const uint64_t at = order[i] * kPiece, n = 1 + order[i] % kPiece;
    there.push_back({i ^ kToken, own.data() + at, in.data() + at, n, p.mem_kind(), SLIPWAY_MEM_HOST});
    back.push_back({i ^ kToken, out.data() + at, own.data() + at, n, SLIPWAY_MEM_HOST, p.mem_kind()});
  }
  p.CopyAll(queue, there);
  p.CopyAll(queue, back);
  for (uint64_t i = 0; i < kPieces; ++i) {
    const uint64_t n = 1 + i % kPiece;
    Require(std::memcmp(in.data() + i * kPiece, out.data() + i * kPiece, n) == 0, "piece %llu of %llu is wrong", U(i),
            U(kPieces));
  }
  p.CloseQueue(queue);
}

void PinUnpin(Context& c) {
  const Provider p(c, c.profile().config);
  if (p.p().pin_host == nullptr) Skip("the provider does not pin (pin_host is NULL)");
  constexpr uint64_t kBytes = 65536;
  Buffer memory(kBytes);
  const Own own(p, kBytes);
  const auto pin = [&](void* addr, uint64_t bytes, slipway_pin** out) {
    Report report;
    return p.p().pin_host(p.get(), addr, bytes, out, report.c());
  };
  Usage before;
  for (uint64_t i = 0; i < c.limits().cycles * 10; ++i) {
    if (i == 20) before = Usage::Now();
    slipway_pin *held = nullptr, *second = nullptr;
    slipway_status s = pin(memory.data(), kBytes, &held);
    Require(s == SLIPWAY_OK && held != nullptr, "pin_host, round %llu: %s", U(i), StatusName(s).c_str());
    if (i < 10) {
      s = pin(memory.data() + 4096, 4096, &second);
      Require((s == SLIPWAY_E_INVALID || s == SLIPWAY_E_BUSY) && second == nullptr,
              "pin_host of a range that overlaps a pin: expected E_BUSY or E_INVALID, got %s", StatusName(s).c_str());
      FillPattern(memory.data(), kBytes, i);
      p.Copy(own.data(), p.mem_kind(), memory.data(), SLIPWAY_MEM_HOST, kBytes);
      std::memset(memory.data(), 0, kBytes);
      p.Copy(memory.data(), SLIPWAY_MEM_HOST, own.data(), p.mem_kind(), kBytes);
      Require(FirstDifference(memory.data(), kBytes, i) == kBytes, "copies through pinned memory are wrong");
    }
    Report report;
    s = p.p().unpin_host(p.get(), held, report.c());
    Require(s == SLIPWAY_OK, "unpin_host: %s", report.Say(s).c_str());
  }
  const std::string grown = Grown(before, Usage::Settled(before), {});
  Require(grown.empty(), "after pins and unpins %s", grown.c_str());
  slipway_pin* none = nullptr;
  Require(pin(memory.data() + 1, 4096, &none) == SLIPWAY_E_INVALID,
          "pin_host of memory that is not page-aligned is not E_INVALID");
  Require(pin(memory.data(), 0, &none) == SLIPWAY_E_INVALID, "pin_host of nothing is not E_INVALID");
}

void PinLimit(Context& c) {
  Provider p(c, c.profile().config);
  if (p.p().pin_host == nullptr) Skip("the provider does not pin (pin_host is NULL)");
  const rlimit limit{64 << 10, 64 << 10};
  Require(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "the runner cannot lower RLIMIT_MEMLOCK");
  p.host().SetPinBudget(64 << 10);
  constexpr uint64_t kBytes = 16 << 20;
  Buffer memory(kBytes);
  slipway_pin* pin = nullptr;
  Report report;
  const slipway_status s = p.p().pin_host(p.get(), memory.data(), kBytes, &pin, report.c());
  if (s == SLIPWAY_OK) {
    p.p().unpin_host(p.get(), pin, nullptr);
    Skip("this system pins in spite of RLIMIT_MEMLOCK (the driver does not look at it)");
  }
  Require(s == SLIPWAY_E_PIN_LIMIT || s == SLIPWAY_E_NOMEM,
          "a pin that the system refuses: expected E_PIN_LIMIT, got %s", report.Say(s).c_str());
  Require(report.retryable(), "%s without SLIPWAY_ERR_RETRYABLE", report.Say(s).c_str());
  const Own own(p, kBytes);
  FillPattern(memory.data(), kBytes, 5);
  p.Copy(own.data(), p.mem_kind(), memory.data(), SLIPWAY_MEM_HOST, kBytes);
  std::memset(memory.data(), 0, kBytes);
  p.Copy(memory.data(), SLIPWAY_MEM_HOST, own.data(), p.mem_kind(), kBytes);
  Require(FirstDifference(memory.data(), kBytes, 5) == kBytes, "after a refused pin, copies are wrong");
}

void DeviceState(Context& c) {
  const Provider p(c, c.profile().config);
  const Own own(p, 65536);
  Buffer memory(65536);
  const auto unchanged = [&](const char* what, auto&& call) {
    p.Disturb();
    const uint64_t state = p.ThreadState();
    call();
    Require(p.ThreadState() == state, "%s changed the calling thread's current device, context or last error", what);
  };
  unchanged("classify", [&] { p.Classify(own.data(), 1); });
  unchanged("classify of foreign memory", [&] { p.Classify(memory.data(), 1); });
  slipway_copy_queue* queue = nullptr;
  unchanged("queue_open", [&] { queue = p.OpenQueue(); });
  unchanged("copy_submit and copy_poll", [&] {
    p.CopyAll(queue, {{kToken, own.data(), memory.data(), 65536, p.mem_kind(), SLIPWAY_MEM_HOST}});
  });
  unchanged("copy_submit that fails", [&] {
    uint32_t accepted = 0;
    p.p().copy_submit(queue, nullptr, sizeof(slipway_copy), 1, &accepted, nullptr);
  });
  unchanged("queue_close", [&] { p.CloseQueue(queue); });
  if (p.p().pin_host != nullptr) {
    slipway_pin* pin = nullptr;
    unchanged("pin_host", [&] { p.p().pin_host(p.get(), memory.data(), 65536, &pin, nullptr); });
    unchanged("pin_host that fails", [&] {
      slipway_pin* none = nullptr;
      p.p().pin_host(p.get(), memory.data() + 1, 100, &none, nullptr);
    });
    if (pin != nullptr) unchanged("unpin_host", [&] { p.p().unpin_host(p.get(), pin, nullptr); });
  }
  unchanged("probe", [&] {
    Report report;
    p.p().probe(FakeHost().table(), c.profile().config.data(), c.profile().config.size(), report.c());
  });
  unchanged("create and destroy", [&] { const Provider another(c, c.profile().config); });
}

// Opens the plugin itself, because it may not even load where the device's libraries are missing.
void NoDevice(Context& c) {
  PluginFile file;
  const std::string why = OpenPlugin(c.spec.plugin, file);
  Require(why.empty(),
          "the plugin does not even load: %s. A plugin opens its device's libraries when it is asked to, "
          "not when it is loaded",
          why.c_str());
  const std::vector<std::string> faults = DescriptorFaults(*file.plugin);
  Require(faults.empty(), "%s", Join(faults).c_str());
  const slipway_memory_provider* p = FindProvider(*file.plugin, c.profile().provider);
  Require(p != nullptr, "the plugin offers no memory provider");
  const std::string& json = c.profile().no_device_config.empty() ? c.profile().config : c.profile().no_device_config;
  const FakeHost host;
  Report report;
  const slipway_status probed = p->probe(host.table(), json.data(), json.size(), report.c());
  if (probed == SLIPWAY_OK && !c.profile().no_device) {
    Skip("the device is here, and the profile's \"no_device\" does not say how to hide it");
  }
  Require(probed < 0, "without the device, probe says %s", StatusName(probed).c_str());
  Require(report.get().message[0] != '\0', "without the device, probe fails and does not say why");
  slipway_provider* out = nullptr;
  Report again;
  const slipway_status created = p->create(host.table(), json.data(), json.size(), &out, again.c());
  Require(created < 0 && out == nullptr, "without the device, create says %s", StatusName(created).c_str());
}

constexpr Case kCases[] = {
    {"prov.classify", Level::kMust, Kind::kProvider, 0, false, false, "knows its own memory, and no other", Classify},
    {"prov.classify-pure", Level::kMust, Kind::kProvider, 0, false, false, "asking changes nothing and is quick",
     ClassifyPure},
    {"prov.copy-matrix", Level::kMust, Kind::kProvider, 0, false, false, "host and own, pinned and pageable, all sizes",
     CopyMatrix},
    {"prov.copy-many-small", Level::kMust, Kind::kProvider, 0, false, false,
     "ten thousand pieces, one completion each, all correct", CopyManySmall},
    {"prov.pin-unpin", Level::kMust, Kind::kProvider, 0, false, false, "pins come and go, and never overlap", PinUnpin},
    {"prov.pin-limit", Level::kCapability, Kind::kProvider, 0, false, false, "a refused pin is retryable, copies go on",
     PinLimit},
    {"prov.device-state", Level::kMust, Kind::kProvider, 0, false, false,
     "the caller's current device and last error stay as they are", DeviceState},
    {"prov.no-device", Level::kMust, Kind::kProvider, 0, false, true, "without the device: an error that says so",
     NoDevice},
};

}  // namespace

std::span<const Case> ProviderCases() { return kCases; }

}  // namespace slipway::conform

// Limits on memory, and what happens to registrations when memory comes and goes.
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/session.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

// With CAP_IPC_LOCK the limit does not bind.
void DropIpcLock() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) return;
  for (auto* set : {&data[0].effective, &data[0].permitted, &data[0].inheritable}) *set &= ~(1u << CAP_IPC_LOCK);
  syscall(SYS_capset, &header, data);
}

void MemlockLimit(Context& c) {
  Instance instance(c);
  if (instance.attrs().pins_per_reg == 0) Skip("registrations pin nothing (attrs.pins_per_reg is 0)");
  DropIpcLock();
  const rlimit limit{256 << 10, 256 << 10};
  Require(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "the runner cannot lower RLIMIT_MEMLOCK");
  instance.host().SetPinBudget(256 << 10);
  const Buffer big(16 << 20, c.exposed()), small(64 << 10, c.exposed());
  slipway_mr* mr = nullptr;
  Report report;
  const slipway_status s = instance.TryRegister(big.data(), big.size(), SLIPWAY_ACCESS_ALL, &mr, &report);
  Require(s == SLIPWAY_E_PIN_LIMIT || s == SLIPWAY_E_NOMEM,
          "registering 16 MiB with RLIMIT_MEMLOCK of 256 KiB: expected E_PIN_LIMIT, got %s", report.Say(s).c_str());
  Require(report.retryable(), "%s without SLIPWAY_ERR_RETRYABLE", report.Say(s).c_str());
  Require(mr == nullptr, "register_memory failed and wrote to *out");
  instance.Deregister(instance.Register(small.data(), small.size()));
}

void MaxMrs(Context& c) {
  Instance instance(c);
  const uint32_t max = instance.attrs().max_mrs;
  if (max == 0) Skip("there is no limit (attrs.max_mrs is 0)");
  if (max > 1u << 20) Skip("the limit is too high to reach (attrs.max_mrs is %u)", max);
  const Buffer memory(1 << 16, c.exposed());
  std::vector<slipway_mr*> mrs;
  for (uint32_t i = 0; i < max; ++i) mrs.push_back(instance.Register(memory.data(), 4096));
  for (int round = 0; round < 3; ++round) {
    slipway_mr* mr = nullptr;
    Report report;
    const slipway_status s = instance.TryRegister(memory.data(), 4096, SLIPWAY_ACCESS_ALL, &mr, &report);
    Require(s < 0, "registration %u of at most %u: %s", max + 1, max, StatusName(s).c_str());
    Require(report.get().message[0] != '\0', "the registration beyond the limit failed without a message");
    instance.Deregister(mrs.back());
    mrs.back() = instance.Register(memory.data(), 4096);
  }
  for (slipway_mr* mr : mrs) instance.Deregister(mr);
}

void RemapSameVa(Context& c) {
  SessionOptions options;
  options.in_process = true;
  Session s(c, options);
  for (uint64_t round = 1; round <= 3; ++round) {
    for (const uint32_t op : s.Ops()) s.Transfer(op, 0, 0, 65536);
    // The remote side.
    slipway_status status = c.t->release_remote(s.remote);
    Require(status == SLIPWAY_OK, "release_remote: %s", StatusName(status).c_str());
    s.segment = s.peer->RemapAndRegister(s.segment.id, SLIPWAY_ACCESS_ALL, 1000 + round);
    s.remote = s.Import(s.link, s.segment.blob);
    // The local side.
    if (s.local.mr != nullptr) s.me.Deregister(s.local.mr);
    s.local.buffer->Remap();
    FillPattern(s.local.data(), s.local.buffer->size(), 2000 + round);
    if (s.local.mr != nullptr) {
      s.local.mr =
          s.me.Register(s.local.data(), s.local.buffer->size(), SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE);
    }
    if (s.me.Has(SLIPWAY_CAP_WRITE)) {
      s.Transfer(SLIPWAY_OP_WRITE, 0, 0, 65536);
      Require(FirstDifference(s.segment.local, 65536, 2000 + round) == 65536,
              "after new memory came to the address of old one, WRITE moved other bytes than are there");
      s.peer->Fill(s.segment.id, 0, 65536, 1000 + round);
    }
    if (s.me.Has(SLIPWAY_CAP_READ)) {
      s.Transfer(SLIPWAY_OP_READ, 0, 0, 65536);
      Require(FirstDifference(s.local.data(), 65536, 1000 + round) == 65536,
              "after new memory came to the address of old one, READ brought other bytes than are there");
    }
  }
}

void VmaCount(Context& c) {
  Instance instance(c);
  const Buffer memory(1 << 20, c.exposed());
  std::memset(memory.data(), 1, memory.size());
  Random random(c.seed);
  const auto cycle = [&](uint64_t n) {
    slipway_mr* open[4] = {};
    for (uint64_t i = 0; i < n; ++i) {
      const size_t offset = random.Below(memory.size() / 2);
      slipway_mr*& slot = open[i % 4];
      if (slot != nullptr) instance.Deregister(slot);
      slot = instance.Register(memory.data() + offset, 1 + random.Below(memory.size() - offset));
    }
    for (slipway_mr* mr : open) {
      if (mr != nullptr) instance.Deregister(mr);
    }
  };
  cycle(200);
  const Usage before = Usage::Now();
  cycle(c.limits().mr_cycles);
  Growth allowed;
  allowed.rss_bytes = c.limits().rss_growth_bytes;
  const std::string grown = Grown(before, Usage::Now(), allowed);
  Require(grown.empty(), "after %llu registrations, all of them gone, %s",
          static_cast<unsigned long long>(c.limits().mr_cycles), grown.c_str());
}

// The local registration, or, where none is needed, the remote one, goes while slices use it.
void DeregBusy(Context& c) {
  SessionOptions options;
  options.in_process = true;
  options.local_bytes = options.remote_bytes = 4 << 20;
  Session s(c, options);
  if (!s.me.Has(SLIPWAY_CAP_READ)) Skip("the transport has no READ");
  constexpr uint64_t kPiece = 64 << 10, kAfter = 0xAF7E2;
  const uint32_t n = s.Flood(SLIPWAY_OP_READ, kPiece, 32);
  const bool local = s.local.mr != nullptr;
  const slipway_status status = local ? s.me.TryDeregister(s.local.mr) : s.peer->Deregister(s.segment.id);
  Require(status == SLIPWAY_OK || status == SLIPWAY_E_BUSY, "deregister_memory with slices in flight: %s",
          StatusName(status).c_str());
  const bool gone = status == SLIPWAY_OK;
  // From OK on nobody may touch the memory: what is written there now must stay.
  char* const watched = local ? s.local.data() : s.segment.local;
  if (gone) FillPattern(watched, options.local_bytes, kAfter);
  s.WaitFor(n);
  for (const slipway_completion& d : s.done) {
    if (d.status != SLIPWAY_OK) {
      Require(gone, "deregister_memory said E_BUSY and a slice still completed with %s", StatusName(d.status).c_str());
      continue;
    }
    if (gone) continue;
    const uint64_t at = (d.token - 1) * kPiece;
    Require(FirstDifference(s.local.data() + at, kPiece, Session::kRemoteSeed, at) == kPiece,
            "a slice that was in flight at deregister_memory completed with OK and wrong bytes");
  }
  if (gone) {
    const size_t wrong = FirstDifference(watched, options.local_bytes, kAfter);
    Require(wrong == options.local_bytes, "deregister_memory said OK and byte %zu of the memory was written after it",
            wrong);
    if (local) s.local.mr = nullptr;
  }
}

constexpr Case kCases[] = {
    {"mem.memlock-limit", Level::kCapability, Kind::kTransport, 0, false, false,
     "a refused pin is a retryable error, and less still works", MemlockLimit},
    {"mem.max-mrs", Level::kCapability, Kind::kTransport, 0, false, false,
     "beyond max_mrs is an error, and one less works again", MaxMrs},
    {"mem.remap-same-va", Level::kMust, Kind::kTransport, 0, false, false,
     "new memory at an old address is seen as it is", RemapSameVa},
    {"mem.vma-count", Level::kCapability, Kind::kTransport, 0, false, false, "registrations leave nothing behind",
     VmaCount},
    {"mem.dereg-busy", Level::kMust, Kind::kTransport, 0, false, false,
     "deregistering under traffic is E_BUSY, or ends it", DeregBusy},
};

}  // namespace

std::span<const Case> MemoryCases() { return kCases; }

}  // namespace slipway::conform

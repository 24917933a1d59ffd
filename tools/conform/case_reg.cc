// Registration and the question whether a range is registered: what the slicer rests on.
#include <sys/mman.h>

#include <algorithm>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/instance.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

unsigned long long U(uint64_t n) { return n; }

// An instance and memory to register parts of. Where no access needs a registration, the answer is always NOT_REQUIRED,
// and there is nothing else to ask.
class Ground {
 public:
  explicit Ground(Context& c, size_t bytes = size_t{1} << 20)
      : instance(c), memory(bytes, c.exposed()), access(instance.NeedyAccess()) {
    if (access != 0) return;
    const Answer a = Ask(0, bytes, SLIPWAY_ACCESS_ALL);
    Require(a.state == SLIPWAY_REG_NOT_REQUIRED && a.prefix == bytes && a.mr == nullptr,
            "no access needs a registration, and a query is answered with %s", StateName(a.state));
  }
  bool nothing_to_ask() const { return access == 0; }
  char* at(size_t offset) const { return memory.data() + offset; }
  slipway_mr* Register(size_t offset, size_t length, uint32_t rights = SLIPWAY_ACCESS_ALL) {
    return instance.Register(at(offset), length, rights);
  }
  Answer Ask(size_t offset, size_t length, uint32_t rights) { return instance.Query(at(offset), length, rights); }
  Answer Ask(size_t offset, size_t length) { return Ask(offset, length, access); }

  void ExpectFull(size_t offset, size_t length, const slipway_mr* mr, const char* when) {
    const Answer a = Ask(offset, length);
    Require(a.status == SLIPWAY_OK, "%s: query: %s", when, StatusName(a.status).c_str());
    Require(a.state == SLIPWAY_REG_FULL, "%s: [%zu, +%zu) is %s, expected FULL", when, offset, length,
            StateName(a.state));
    Require(a.prefix == length, "%s: FULL with prefix_bytes %llu, expected the length %zu", when, U(a.prefix), length);
    Require(mr == nullptr || a.mr == mr, "%s: FULL through another registration than the one that covers it", when);
  }
  void ExpectPartial(size_t offset, size_t length, size_t prefix, const slipway_mr* mr, const char* when) {
    const Answer a = Ask(offset, length);
    Require(a.state == SLIPWAY_REG_PARTIAL, "%s: [%zu, +%zu) is %s, expected PARTIAL", when, offset, length,
            StateName(a.state));
    Require(a.prefix == prefix, "%s: PARTIAL with prefix_bytes %llu, expected %zu", when, U(a.prefix), prefix);
    Require(mr == nullptr || a.mr == mr, "%s: PARTIAL through another registration than the one that covers it", when);
  }
  void ExpectNone(size_t offset, size_t length, const char* when) {
    const Answer a = Ask(offset, length);
    Require(a.state == SLIPWAY_REG_NONE, "%s: [%zu, +%zu) is %s, expected NONE", when, offset, length,
            StateName(a.state));
    Require(a.prefix == 0 && a.mr == nullptr, "%s: NONE with prefix_bytes %llu or a registration", when, U(a.prefix));
  }

  Instance instance;
  const Buffer memory;
  const uint32_t access;
};

void Roundtrip(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  g.ExpectNone(0, 65536, "before it is registered");
  const uint64_t before = g.Ask(0, 4096).generation;
  slipway_mr* mr = g.Register(0, 65536);
  g.ExpectFull(0, 65536, mr, "after it was registered");
  const uint64_t during = g.Ask(0, 4096).generation;
  Require(during != before, "the generation did not change with a registration");
  const uint32_t free_access = SLIPWAY_ACCESS_ALL & ~g.access;
  for (uint32_t bit = 1; bit < SLIPWAY_ACCESS_ALL; bit <<= 1) {
    const Answer a = g.Ask(131072, 4096, bit);
    const uint32_t expected = (bit & free_access) != 0 ? SLIPWAY_REG_NOT_REQUIRED : SLIPWAY_REG_NONE;
    Require(a.state == expected, "access %u of memory that is not registered is %s, expected %s", bit,
            StateName(a.state), StateName(expected));
    Require(expected == SLIPWAY_REG_NONE || (a.prefix == 4096 && a.mr == nullptr),
            "NOT_REQUIRED comes with prefix_bytes other than the length, or with a registration");
  }
  const Answer both = g.Ask(131072, 4096, SLIPWAY_ACCESS_ALL);
  Require(both.state == SLIPWAY_REG_NONE, "all access to memory that is not registered is %s, expected NONE",
          StateName(both.state));
  g.instance.Deregister(mr);
  g.ExpectNone(0, 65536, "after it was deregistered");
  Require(g.Ask(0, 4096).generation != during, "the generation did not change with a deregistration");
}

void QueryPure(Context& c) {
  Ground g(c);
  if (!g.nothing_to_ask()) g.Register(0, 65536);
  const uint64_t generation = g.Ask(0, 4096).generation;
  const Usage before = Usage::Now();
  std::vector<uint64_t> ns;
  ns.reserve(c.limits().queries);
  Random random(c.seed);
  for (uint64_t i = 0; i < c.limits().queries; ++i) {
    const size_t offset = random.Below(g.memory.size() - 8192);
    const uint64_t start = MonotonicNs();
    const Answer a = g.Ask(offset, 1 + random.Below(8192), g.nothing_to_ask() ? SLIPWAY_ACCESS_ALL : g.access);
    ns.push_back(MonotonicNs() - start);
    Require(a.status == SLIPWAY_OK, "query: %s", StatusName(a.status).c_str());
    Require(g.nothing_to_ask() || offset < 65536 || a.state == SLIPWAY_REG_NONE,
            "memory that nobody registered is %s after it was asked about", StateName(a.state));
  }
  Growth allowed;
  allowed.rss_bytes = uint64_t{16} << 20;  // the vector above
  const std::string grown = Grown(before, Usage::Now(), allowed);
  Require(grown.empty(), "after %llu queries %s", U(c.limits().queries), grown.c_str());
  Require(g.Ask(0, 4096).generation == generation, "queries changed the generation");
  // Only by the thread that asks: those of the plugin's own may look at the clock whenever they like.
  const std::vector<std::string> violations = g.instance.host().Violations();
  Require(violations.empty(), "the host was called: %s", violations.empty() ? "" : violations.front().c_str());
  std::nth_element(ns.begin(), ns.begin() + static_cast<ptrdiff_t>(ns.size() * 99 / 100), ns.end());
  const uint64_t p99 = ns[ns.size() * 99 / 100];
  Require(p99 <= c.limits().query_p99_us * 1000, "99 of 100 queries take up to %llu ns, the limit is %llu us", U(p99),
          U(c.limits().query_p99_us));
}

void Subrange(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  constexpr size_t kStart = 4096 + 64, kLength = 32768;
  slipway_mr* mr = g.Register(kStart, kLength);
  for (const size_t offset :
       {size_t{0}, size_t{1}, size_t{63}, size_t{4095}, size_t{4096}, size_t{16384}, kLength - 1}) {
    for (const size_t length : {size_t{1}, size_t{2}, size_t{64}, size_t{4096}, size_t{4097}, size_t{16384}, kLength}) {
      if (offset + length <= kLength) g.ExpectFull(kStart + offset, length, mr, "inside of a registration");
    }
  }
}

void PartialTail(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  slipway_mr* mr = g.Register(8192, 16384);
  for (const size_t beyond : {size_t{1}, size_t{63}, size_t{4096}, size_t{100000}}) {
    for (const size_t inside : {size_t{1}, size_t{100}, size_t{8192}, size_t{16384}}) {
      g.ExpectPartial(8192 + 16384 - inside, inside + beyond, inside, mr, "running past the end");
    }
  }
  g.ExpectNone(8192 + 16384, 4096, "just behind the end");
}

void PartialHead(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  g.Register(8192, 16384);
  for (const size_t before : {size_t{1}, size_t{63}, size_t{4096}, size_t{8192}}) {
    g.ExpectNone(8192 - before, before + 4096, "starting before the registration");
    g.ExpectNone(8192 - before, before, "ending where the registration starts");
    g.ExpectNone(8192 - before, before + 16384 + 4096, "around the registration");
  }
}

void AdjacentTwo(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  slipway_mr* first = g.Register(4096, 8192);
  slipway_mr* second = g.Register(4096 + 8192, 8192);
  g.ExpectPartial(4096, 16384, 8192, first, "across two registrations that touch");
  g.ExpectPartial(4096 + 8191, 2, 1, first, "across two registrations that touch");
  g.ExpectFull(4096, 8192, first, "the first of two that touch");
  g.ExpectFull(4096 + 8192, 8192, second, "the second of two that touch");
}

void OverlapTwo(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  slipway_mr* first = g.Register(0, 16384);
  slipway_mr* second = g.Register(8192, 16384);
  slipway_mr* same = g.Register(0, 16384);
  Require(first != same && first != second, "two registrations have the same handle");
  g.ExpectPartial(0, 24576, 16384, nullptr, "across two that overlap");
  g.ExpectFull(8192, 16384, second, "the second of two that overlap");
  g.instance.Deregister(first);
  g.ExpectFull(8192, 16384, second, "after one that overlapped it is gone");
  g.ExpectFull(0, 16384, same, "after one of two of the same range is gone");
  g.instance.Deregister(same);
  g.ExpectFull(8192, 16384, second, "after both others are gone");
  g.ExpectNone(0, 8192, "after both others are gone");
  g.instance.Deregister(second);
  g.ExpectNone(8192, 16384, "after all are gone");
}

void AccessSubset(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  constexpr uint32_t kReads = SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_REMOTE_READ;
  constexpr uint32_t kWrites = SLIPWAY_ACCESS_LOCAL_WRITE | SLIPWAY_ACCESS_REMOTE_WRITE;
  slipway_mr* mr = g.Register(0, 16384, kReads);
  for (uint32_t asked = 1; asked <= SLIPWAY_ACCESS_ALL; ++asked) {
    if ((asked & g.access) == 0) continue;
    const Answer a = g.Ask(0, 16384, asked);
    // The answer is about all the bits together; those that need nothing may be ignored.
    if ((asked & kWrites & g.access) != 0) {
      Require(a.state == SLIPWAY_REG_NONE, "registered for reading and asked about access %u: %s, expected NONE", asked,
              StateName(a.state));
    } else if ((asked & ~kReads) == 0) {
      Require(a.state == SLIPWAY_REG_FULL && a.mr == mr, "registered for reading and asked about access %u: %s", asked,
              StateName(a.state));
    }
  }
}

void Unaligned(Context& c) {
  Ground g(c);
  if (g.nothing_to_ask()) return;
  const size_t granule = std::min<size_t>(g.instance.attrs().reg_granularity, 65536);
  struct Range {
    size_t offset, length;
  };
  const Range ranges[] = {{100, 1},
                          {4095, 2},
                          {4097, 4094},
                          {granule + 1, granule},
                          {granule, granule + 1},
                          {granule * 2 - 1, granule + 2},
                          {12345, 6789}};
  for (const Range& r : ranges) {
    if (r.offset == 0 || r.length == 0) continue;
    slipway_mr* mr = g.Register(r.offset, r.length);
    g.ExpectFull(r.offset, r.length, mr, "an unaligned registration");
    g.ExpectFull(r.offset + r.length - 1, 1, mr, "its last byte");
    g.ExpectNone(r.offset - 1, 1, "the byte before it: answers are not rounded");
    g.ExpectNone(r.offset + r.length, 1, "the byte after it: answers are not rounded");
    g.ExpectPartial(r.offset, r.length + 1, r.length, mr, "one byte more than it: answers are not rounded");
    g.instance.Deregister(mr);
  }
}

void BadArguments(Context& c) {
  Ground g(c);
  struct Bad {
    const char* what;
    void* addr;
    uint64_t length;
    uint32_t access;
  };
  void* const good = g.at(0);
  const Bad bad[] = {{"length 0", good, 0, SLIPWAY_ACCESS_ALL},
                     {"NULL", nullptr, 4096, SLIPWAY_ACCESS_ALL},
                     {"a range that wraps around", good, UINT64_MAX - 4096, SLIPWAY_ACCESS_ALL},
                     {"a range that wraps around to itself", good, UINT64_MAX, SLIPWAY_ACCESS_ALL},
                     {"no access", good, 4096, 0},
                     {"an access bit that is unknown", good, 4096, SLIPWAY_ACCESS_ALL | 0x100}};
  for (const Bad& b : bad) {
    slipway_mr* mr = nullptr;
    Report report;
    const slipway_status s = g.instance.TryRegister(b.addr, b.length, b.access, &mr, &report);
    Require(s == SLIPWAY_E_INVALID || s == SLIPWAY_E_RANGE, "register_memory with %s: expected E_INVALID, got %s",
            b.what, report.Say(s).c_str());
    Require(mr == nullptr, "register_memory with %s failed and wrote to *out", b.what);
    const Answer a = g.instance.Query(b.addr, b.length, b.access);
    Require(a.status == SLIPWAY_E_INVALID || a.status == SLIPWAY_E_RANGE,
            "query_registered with %s: expected E_INVALID, got %s", b.what, StatusName(a.status).c_str());
  }
  void* gone = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(gone, 65536);
  const Answer a = g.instance.Query(gone, 65536, SLIPWAY_ACCESS_ALL);
  Require(a.status == SLIPWAY_OK && (a.state == SLIPWAY_REG_NONE || g.nothing_to_ask()),
          "a query about unmapped memory: %s, %s", StatusName(a.status).c_str(), StateName(a.state));
  // Transports that pin nothing need not notice; the others must refuse, and none may crash.
  slipway_mr* mr = nullptr;
  Report report;
  const slipway_status s = g.instance.TryRegister(gone, 65536, SLIPWAY_ACCESS_ALL, &mr, &report);
  Require(s < 0 || (s == SLIPWAY_OK && g.instance.attrs().pins_per_reg == 0), "registering unmapped memory: %s",
          report.Say(s).c_str());
  if (s == SLIPWAY_OK) g.instance.Deregister(mr);
}

constexpr Case kCases[] = {
    {"reg.roundtrip", Level::kMust, Kind::kTransport, 0, false, false,
     "registered is FULL, deregistered is NONE, and NOT_REQUIRED only where that is so", Roundtrip},
    {"reg.query-pure", Level::kMust, Kind::kTransport, 0, false, false,
     "queries change nothing, call nobody and are quick", QueryPure},
    {"reg.subrange", Level::kMust, Kind::kTransport, 0, false, false, "every part of a registration is FULL", Subrange},
    {"reg.partial-tail", Level::kMust, Kind::kTransport, 0, false, false,
     "past the end is PARTIAL, with the exact prefix", PartialTail},
    {"reg.partial-head", Level::kMust, Kind::kTransport, 0, false, false, "before the start is NONE", PartialHead},
    {"reg.adjacent-two-mr", Level::kMust, Kind::kTransport, 0, false, false, "two that touch are never FULL together",
     AdjacentTwo},
    {"reg.overlap-two-mr", Level::kMust, Kind::kTransport, 0, false, false,
     "one that overlaps can go without the other", OverlapTwo},
    {"reg.access-subset", Level::kMust, Kind::kTransport, 0, false, false,
     "registered for reading is not registered for writing", AccessSubset},
    {"reg.unaligned", Level::kMust, Kind::kTransport, 0, false, false, "answers are exact to the byte", Unaligned},
    {"reg.bad-args", Level::kMust, Kind::kTransport, 0, false, false,
     "empty, wrapping, NULL and unmapped ranges are refused", BadArguments},
};

}  // namespace

std::span<const Case> RegistrationCases() { return kCases; }

}  // namespace slipway::conform

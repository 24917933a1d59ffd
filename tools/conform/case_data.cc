// Data: every byte arrives, where it should, and nowhere else.
#include <algorithm>
#include <cstring>

#include "tools/conform/case.h"
#include "tools/conform/failure.h"
#include "tools/conform/provider.h"
#include "tools/conform/session.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

unsigned long long U(uint64_t n) { return n; }

uint64_t RoundUp(uint64_t n, uint64_t align) { return (n + align - 1) / align * align; }

// A transfer of `length` bytes, of a pattern that was nowhere before, compared by hash at the target.
void Move(Session& s, uint32_t op, uint64_t local, uint64_t remote, uint64_t length, uint64_t seed) {
  char* const mine = s.local.data() + local;
  if (op == SLIPWAY_OP_WRITE) {
    FillPattern(mine, length, seed);
  } else {
    s.peer->Fill(s.segment.id, remote, length, seed);
    std::memset(mine, 0, length);
  }
  s.Transfer(op, local, remote, length);
  const std::string here = Sha256Hex(mine, length), there = s.peer->Hash(s.segment.id, remote, length);
  Require(here == there,
          "%s of %llu bytes, local offset %llu, remote offset %llu: the SHA-256 differs, %.12s here and "
          "%.12s at the peer",
          OpName(op), U(length), U(local), U(remote), here.c_str(), there.c_str());
}

void Sizes(Context& c) {
  const auto max_of = [&](const Session& s) {
    return std::min(s.me.attrs().max_slice_bytes, c.limits().size_bytes_max);
  };
  SessionOptions options;
  options.local_bytes = options.remote_bytes = c.limits().size_bytes_max + 4096;
  Session s(c, options);
  const uint64_t max = max_of(s), align = s.me.attrs().length_align;
  std::vector<uint64_t> sizes = {7, 13, 1009, 4093, 65537, 999983, max};
  for (uint64_t n = 1; n <= max; n *= 2) sizes.insert(sizes.end(), {n - 1, n, n + 1});
  Random random(c.seed);
  const uint64_t place = std::max<uint64_t>({64, s.me.attrs().local_align, s.me.attrs().remote_align});
  for (uint64_t size : sizes) {
    size = RoundUp(size, align);
    if (size == 0 || size > max) continue;
    for (const uint32_t op : s.Ops()) {
      const uint64_t room = (4096 - 64) / place;
      Move(s, op, random.Below(room) * place, random.Below(room) * place, size, random.Next());
    }
  }
}

void Alignments(Context& c) {
  SessionOptions options;
  options.local_bytes = options.remote_bytes = 16384;
  Session s(c, options);
  const slipway_attrs& a = s.me.attrs();
  Random random(c.seed);
  constexpr uint64_t kOffsets[] = {0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 31, 32, 33, 48, 60, 63};
  for (const uint32_t op : s.Ops()) {
    for (const uint64_t local : kOffsets) {
      for (const uint64_t remote : kOffsets) {
        const uint64_t length = RoundUp(1 + random.Below(300), a.length_align);
        if (local % a.local_align == 0 && remote % a.remote_align == 0) {
          Move(s, op, 4096 + local, 4096 + remote, length, random.Next());
          continue;
        }
        uint32_t accepted = 0;
        const slipway_status status = s.TrySubmit(s.Slice(1, op, 4096 + local, 4096 + remote, length), &accepted);
        Require(status == SLIPWAY_E_INVALID && accepted == 0,
                "local offset %llu and remote offset %llu are not aligned as the attributes ask: expected E_INVALID, "
                "got %s",
                U(local), U(remote), StatusName(status).c_str());
      }
    }
    if (a.length_align == 1) continue;
    const slipway_status status = s.TrySubmit(s.Slice(1, op, 4096, 4096, a.length_align + 1));
    Require(status == SLIPWAY_E_INVALID, "a length that is not aligned: expected E_INVALID, got %s",
            StatusName(status).c_str());
  }
}

void GuardBytes(Context& c) {
  for (const uint64_t size : {1, 63, 4096, 5000, 65536, 100001, 1 << 20}) {
    SessionOptions options;
    options.local_bytes = options.remote_bytes = RoundUp(static_cast<uint64_t>(size), 64);
    Session s(c, options);
    const uint64_t length = std::min(options.local_bytes, s.me.attrs().max_slice_bytes);
    for (const uint32_t op : s.Ops()) {
      // The whole buffer, then its middle: what is around must stay, in the canaries and in the buffer.
      Move(s, op, 0, 0, length, size);
      const std::string here = s.local.buffer->Overrun(), there = s.peer->Overrun(s.segment.id);
      Require(here.empty(), "%s of %llu bytes wrote to %s", OpName(op), U(length), here.c_str());
      Require(there.empty(), "%s of %llu bytes wrote at the peer to %s", OpName(op), U(length), there.c_str());
      if (length < 192) continue;
      FillPattern(s.local.data(), options.local_bytes, 5);
      s.peer->Fill(s.segment.id, 0, options.remote_bytes, 5);
      s.Transfer(op, 64, 64, length - 128);
      Require(FirstDifference(s.local.data(), options.local_bytes, 5) == options.local_bytes,
              "%s of the same bytes to the same place changed others around them", OpName(op));
    }
  }
}

// Random operations in rounds of disjoint stripes, against a model of both sides.
void RandomProgram(Context& c) {
  constexpr uint64_t kStripe = 128 << 10;
  SessionOptions options;
  options.local_bytes = options.remote_bytes = 1 << 20;
  Session s(c, options);
  const slipway_attrs& a = s.me.attrs();
  std::vector<char> model_local(options.local_bytes), model_remote(options.remote_bytes);
  FillPattern(model_local.data(), model_local.size(), Session::kLocalSeed);
  FillPattern(model_remote.data(), model_remote.size(), Session::kRemoteSeed);
  Random random(c.seed);
  const std::vector<uint32_t> ops = s.Ops();
  const uint64_t stripes = options.local_bytes / kStripe;
  const uint64_t longest = std::min<uint64_t>({kStripe / 2, a.max_slice_bytes});
  uint64_t done = 0;
  while (done < c.limits().program_ops) {
    const uint64_t shift = random.Next();
    uint64_t length[8], local[8], remote[8];
    uint32_t op[8];
    for (uint64_t i = 0; i < stripes; ++i, ++done) {
      length[i] = std::min(longest, RoundUp(1 + random.Below(random.OneIn(8) ? longest : 512), a.length_align));
      local[i] = i * kStripe + random.Below(kStripe / 2) / a.local_align * a.local_align;
      remote[i] = (i + shift) % stripes * kStripe + random.Below(kStripe / 2) / a.remote_align * a.remote_align;
      op[i] = ops[random.Below(ops.size())];
      s.Submit(s.Slice(i, op[i], local[i], remote[i], length[i]));
    }
    s.WaitFor(stripes);
    for (const slipway_completion& d : s.done) {
      Require(d.token < stripes && d.status == SLIPWAY_OK && d.bytes == length[d.token],
              "seed %llu, operation %llu: completed with %s and %llu bytes", U(c.seed), U(done),
              StatusName(d.status).c_str(), U(d.bytes));
    }
    s.done.clear();
    for (uint64_t i = 0; i < stripes; ++i) {
      char* const mine = model_local.data() + local[i];
      char* const its = model_remote.data() + remote[i];
      std::memcpy(op[i] == SLIPWAY_OP_READ ? mine : its, op[i] == SLIPWAY_OP_READ ? its : mine, length[i]);
    }
    if (done % 2048 >= stripes && done < c.limits().program_ops) continue;
    Require(std::memcmp(model_local.data(), s.local.data(), model_local.size()) == 0,
            "seed %llu: after %llu operations the local memory is not what the model says", U(c.seed), U(done));
    Require(Sha256Hex(model_remote.data(), model_remote.size()) == s.peer->Hash(s.segment.id, 0, options.remote_bytes),
            "seed %llu: after %llu operations the remote memory is not what the model says", U(c.seed), U(done));
  }
}

void Visibility(Context& c) {
  if (!c.Has(SLIPWAY_CAP_WRITE)) Skip("the transport has no WRITE");
  SessionOptions options;
  Session s(c, options);
  const uint64_t length = std::min<uint64_t>(s.me.attrs().max_slice_bytes, 512 << 10);
  const uint64_t flag_offset = options.remote_bytes - 4096;
  for (uint64_t round = 1; round <= 50; ++round) {
    FillPattern(s.local.data(), length, round);
    std::memset(s.local.data() + flag_offset, 0, 4096);
    std::memcpy(s.local.data() + flag_offset, &round, sizeof(round));
    s.peer->StartWatch({s.segment.id, flag_offset, round, 0, length, round});
    s.Transfer(SLIPWAY_OP_WRITE, 0, 0, length);
    // The completion says that the target sees the bytes: the flag, sent after it, must not overtake them.
    s.Transfer(SLIPWAY_OP_WRITE, flag_offset, flag_offset, 64);
    const std::string seen = s.peer->FinishWatch();
    Require(seen.empty(), "round %llu: %s", U(round), seen.c_str());
    // And the completion alone, too.
    FillPattern(s.local.data(), length, ~round);
    s.Transfer(SLIPWAY_OP_WRITE, 0, 0, length);
    Require(s.peer->Hash(s.segment.id, 0, length) == Sha256Hex(s.local.data(), length),
            "round %llu: WRITE completed with OK before the bytes were at the target", U(round));
  }
}

void OverlapSameSlice(Context& c) {
  if (c.Has(SLIPWAY_CAP_CROSS_HOST)) Skip("only for transports that copy within a machine");
  SessionOptions options;
  options.in_process = true;
  options.remote_bytes = 1 << 18;
  Session s(c, options);
  char* const both = s.segment.local;  // the peer's segment, and local memory of this side
  slipway_mr* mr = nullptr;
  if (s.me.Has(SLIPWAY_CAP_NEEDS_LOCAL_REG)) mr = s.me.Register(both, options.remote_bytes);
  const uint64_t step = std::max<uint64_t>({64, s.me.attrs().local_align, s.me.attrs().remote_align});
  const uint64_t length = std::min<uint64_t>(s.me.attrs().max_slice_bytes, 100 * step);
  for (const uint32_t op : s.Ops()) {
    for (const int64_t shift : {-16, -1, 0, 1, 16}) {
      const uint64_t remote = 1 << 16, local = remote + static_cast<uint64_t>(shift * static_cast<int64_t>(step));
      std::vector<char> model(options.remote_bytes);
      FillPattern(model.data(), model.size(), 77);
      FillPattern(both, options.remote_bytes, 77);
      slipway_slice slice = s.Slice(1, op, 0, remote, length);
      slice.local_addr = both + local;
      slice.local_mr = mr;
      const slipway_status status = s.TrySubmit(slice);
      if (status == SLIPWAY_OK) {
        s.WaitFor(1);
        Require(s.done[0].status == SLIPWAY_OK || s.done[0].status == SLIPWAY_E_INVALID,
                "a slice whose sides overlap completed with %s", StatusName(s.done[0].status).c_str());
        if (s.done[0].status == SLIPWAY_OK) {
          const uint64_t from = op == SLIPWAY_OP_READ ? remote : local, to = op == SLIPWAY_OP_READ ? local : remote;
          std::memmove(model.data() + to, model.data() + from, length);
        }
        s.done.clear();
      } else {
        Require(status == SLIPWAY_E_INVALID, "a slice whose sides overlap: expected OK or E_INVALID, got %s",
                StatusName(status).c_str());
      }
      Require(std::memcmp(model.data(), both, model.size()) == 0,
              "%s whose sides overlap by a shift of %lld: the result is not memmove's", OpName(op),
              static_cast<long long>(shift * static_cast<int64_t>(step)));
    }
  }
}

void MaxSlicePlusOne(Context& c) {
  uint64_t max = 0;
  {
    Instance instance(c);
    max = instance.attrs().max_slice_bytes;
  }
  SessionOptions options;
  if (max <= uint64_t{128} << 20) options.local_bytes = options.remote_bytes = max + 4096;
  Session s(c, options);
  const uint64_t length = RoundUp(max + 1, s.me.attrs().length_align);
  const std::string before = s.peer->Hash(s.segment.id, 0, options.remote_bytes);
  for (const uint32_t op : s.Ops()) {
    Report report;
    uint32_t accepted = 0;
    const slipway_status status = s.TrySubmit(s.Slice(1, op, 0, 0, length), &accepted, &report);
    Require((status == SLIPWAY_E_INVALID || status == SLIPWAY_E_RANGE) && accepted == 0,
            "%s of max_slice_bytes + 1: expected E_INVALID, got %s, accepted %u", OpName(op),
            report.Say(status).c_str(), accepted);
    for (int i = 0; i < 50; ++i) s.Poll();
    Require(s.done.empty(), "a slice that was refused completed");
  }
  Require(FirstDifference(s.local.data(), options.local_bytes, Session::kLocalSeed) == options.local_bytes &&
              before == s.peer->Hash(s.segment.id, 0, options.remote_bytes),
          "a slice that was refused moved bytes");
}

// Memory of another kind, from a provider that the profile names: copied in, moved, copied out.
void MoveDeviceMemory(Context& c, Session& s, const BitName& kind, const MemorySource& source) {
  const Provider provider(c, source);
  constexpr uint64_t kBytes = 256 << 10;
  Require(provider.mem_kind() == kind.bit, "the profile's provider for %s serves another kind of memory", kind.name);
  void* const device = provider.Allocate(kBytes);
  std::vector<char> host(kBytes);
  FillPattern(host.data(), kBytes, 31337);
  provider.Copy(device, kind.bit, host.data(), SLIPWAY_MEM_HOST, kBytes);
  slipway_mr* mr = s.me.Register(device, kBytes, SLIPWAY_ACCESS_LOCAL_READ | SLIPWAY_ACCESS_LOCAL_WRITE, kind.bit);
  slipway_slice slice = s.Slice(1, SLIPWAY_OP_WRITE, 0, 0, kBytes);
  slice.local_addr = device;
  slice.local_mr = s.me.Has(SLIPWAY_CAP_NEEDS_LOCAL_REG) ? mr : nullptr;
  s.Submit(slice);
  s.WaitFor(1);
  Require(s.done[0].status == SLIPWAY_OK, "WRITE from %s memory: %s", kind.name, StatusName(s.done[0].status).c_str());
  s.done.clear();
  Require(s.peer->Hash(s.segment.id, 0, kBytes) == Sha256Hex(host.data(), kBytes),
          "WRITE from %s memory moved other bytes than are there", kind.name);
  s.me.Deregister(mr);
  provider.Free(device);
}

void DeviceMemory(Context& c) {
  Session s(c);
  if (!s.me.Has(SLIPWAY_CAP_WRITE)) Skip("the transport has no WRITE");
  std::string untested;
  for (const BitName& kind : MemKindNames()) {
    if ((s.me.attrs().mem_kinds & kind.bit) == 0) continue;
    Note("%s memory", kind.name);
    if (kind.bit == SLIPWAY_MEM_HOST) {
      Move(s, SLIPWAY_OP_WRITE, 0, 0, 65536, 4);
      continue;
    }
    const auto source = c.profile().memory.find(kind.name);
    if (source == c.profile().memory.end()) {
      untested += (untested.empty() ? "" : ", ") + std::string(kind.name);
    } else {
      MoveDeviceMemory(c, s, kind, source->second);
    }
  }
  if (!untested.empty()) Skip("the profile's \"memory\" names no provider for %s", untested.c_str());
}

constexpr Case kCases[] = {
    {"data.sizes", Level::kMust, Kind::kTransport, 0, true, false, "all sizes, READ and WRITE, hashed", Sizes},
    {"data.alignments", Level::kMust, Kind::kTransport, 0, true, false,
     "all alignments, and those below what is declared are refused", Alignments},
    {"data.guard-bytes", Level::kMust, Kind::kTransport, 0, true, false, "nothing around the target is touched",
     GuardBytes},
    {"data.random-program", Level::kMust, Kind::kTransport, 0, true, false, "random operations against a model",
     RandomProgram},
    {"data.visibility", Level::kMust, Kind::kTransport, 0, true, false, "a completed WRITE is seen by the target's CPU",
     Visibility},
    {"data.overlap-same-slice", Level::kMust, Kind::kTransport, 0, false, false,
     "sides that overlap are moved as memmove does, or refused", OverlapSameSlice},
    {"data.max-slice-plus-1", Level::kMust, Kind::kTransport, 0, true, false,
     "a slice that is too long is refused and moves nothing", MaxSlicePlusOne},
    {"data.device-mem", Level::kCapability, Kind::kTransport, 0, true, false,
     "every memory kind that is claimed really moves", DeviceMemory},
};

}  // namespace

std::span<const Case> DataCases() { return kCases; }

}  // namespace slipway::conform

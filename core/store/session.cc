#include "core/store/session.h"

#include <algorithm>

#include "core/store/store.h"

namespace slipway {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint32_t kMostListed = 4096;
constexpr size_t kMostPreferred = 256;
constexpr size_t kMostName = 255;

void Put(const Status& status, WireWriter& out) {
  out.I32(status.code());
  if (!status.ok()) out.Text(status.message());
}

}  // namespace

std::optional<std::string> Session::Answer(std::string_view message) {
  leases_.Sweep();
  WireReader in(message);
  WireWriter out;
  replies_ = true;
  out.I32(SLIPWAY_OK);
  if (!Dispatch(in, out)) {
    counters_.Add(Counter::kStoreBadInput);
    return std::nullopt;
  }
  if (!replies_) return std::string();
  if (out.payload_bytes() <= options_.max_reply_bytes) return std::move(out).Finish();
  WireWriter refusal;
  Put(Status(SLIPWAY_E_TOO_LARGE, "the answer is longer than control.max_body_bytes: ask for fewer keys at once"),
      refusal);
  return std::move(refusal).Finish();
}

bool Session::Dispatch(WireReader& in, WireWriter& out) {
  switch (static_cast<WireOp>(in.U8())) {
    case WireOp::kHello:
      if (in.U32() != kStoreWireVersion || !in.AllRead()) return false;
      Hello(out);
      return true;
    case WireOp::kBegin:
      return Begin(in, out);
    case WireOp::kCommit:
      return Commit(in, out);
    case WireOp::kAbort:
      return Abort(in, out);
    case WireOp::kLookup:
      return Lookup(in, out);
    case WireOp::kRelease:
      return Release(in);
    case WireOp::kStat:
      return Stat(in, out);
    case WireOp::kRemove:
      return Remove(in, out);
    case WireOp::kRemoveAll:
      return RemoveAll(in, out);
    case WireOp::kList:
      return List(in, out);
    case WireOp::kDescribe: {
      if (!in.AllRead()) return false;
      const Result<std::string> json = directory_.DescribeJson();
      out.Text(json.ok() ? *json : "{}");
      return true;
    }
  }
  return false;
}

void Session::Hello(WireWriter& out) {
  out.U64(options_.instance);
  out.U64(options_.lease_ms);
}

bool Session::ReadKeys(WireReader& in, std::vector<std::string_view>* keys) {
  const uint32_t count = in.Count(4);
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    keys->push_back(in.Text(SLIPWAY_STORE_KEY_MAX));
    if (!in.ok() || !CheckKey(keys->back()).ok()) return false;
  }
  return in.ok();
}

// Answers so, for the whole message.
bool Session::TooManyLeases(size_t more, WireWriter& out) {
  if (more <= Leases::kMost - std::min(Leases::kMost, leases_.count())) return false;
  out = WireWriter();
  Put(Status(SLIPWAY_E_AGAIN, "other processes hold too many values and too much space here: try again later"), out);
  return true;
}

uint64_t Session::LeaseNs(uint64_t asked_ms) const { return std::min(asked_ms, options_.lease_ms) * kNsPerMs; }

void Session::WritePlaces(const Ticket& ticket, WireWriter& out) {
  out.U8(ticket.place_count);
  for (size_t i = 0; i < ticket.place_count; ++i) {
    out.Text(ticket.record->replicas()[i].segment->name());
    out.U32(ticket.record->replicas()[i].segment->id());
    out.U64(ticket.places[i].offset);
  }
}

bool Session::Begin(WireReader& in, WireWriter& out) {
  WritePolicy policy;
  const uint8_t flags = in.U8(), keep = in.U8(), replicas = in.U8();
  if (flags > 3 || keep < 1 || keep > 3 || replicas < 1 || replicas > kReplicasMax) return false;
  policy.replace = (flags & 1) != 0;
  policy.checksum = (flags & 2) != 0;
  policy.keep = static_cast<KeepClass>(keep);
  policy.replicas = replicas;
  const uint32_t preferred = in.Count(4);
  if (preferred > kMostPreferred) return false;
  for (uint32_t i = 0; i < preferred && in.ok(); ++i) policy.preferred.emplace_back(in.Text(kMostName));
  policy.group = in.Text(kMostName);
  const uint64_t lease_ns = LeaseNs(in.U64());
  std::vector<WriteIntent> intents;
  const uint32_t count = in.Count(12);
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    const std::string_view key = in.Text(SLIPWAY_STORE_KEY_MAX);
    intents.push_back({key, in.U64()});
    if (!in.ok() || !CheckKey(key).ok()) return false;
  }
  if (!in.AllRead()) return false;
  if (TooManyLeases(intents.size(), out)) return true;
  std::vector<Ticket> tickets(intents.size());
  directory_.Begin(intents, policy, tickets);
  for (Ticket& ticket : tickets) {
    Put(ticket.ToStatus(), out);
    if (!ticket.ok()) continue;
    out.U32(ticket.chunk_bytes);
    out.U32(static_cast<uint32_t>(ticket.checksums.size()));
    out.U64(lease_ns);
    WritePlaces(ticket, out);
    out.U64(leases_.Add(std::move(ticket), true, lease_ns));
  }
  return true;
}

bool Session::Commit(WireReader& in, WireWriter& out) {
  const uint8_t replace = in.U8();
  const uint32_t count = in.Count(13);
  if (replace > 1) return false;
  WritePolicy policy;
  policy.replace = replace != 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t id = in.U64();
    const bool compute = in.U8() != 0;
    const uint32_t sums = in.Count(8);
    std::vector<uint64_t> checksums;
    for (uint32_t s = 0; s < sums && in.ok(); ++s) checksums.push_back(in.U64());
    if (!in.ok()) return false;
    std::optional<Ticket> ticket = leases_.Take(id, true);
    if (!ticket) {
      Put(Status(SLIPWAY_E_DEADLINE, "the space was taken back: the write took longer than its lease"), out);
      continue;
    }
    ticket->compute_checksums = compute;
    if (!compute && checksums.size() != ticket->checksums.size()) {
      directory_.Abort(*ticket, false);
      return false;
    }
    if (!compute) std::copy(checksums.begin(), checksums.end(), ticket->checksums.begin());
    directory_.Commit({&*ticket, 1}, policy);
    Put(ticket->ToStatus(), out);
    if (ticket->ok()) out.U64(ticket->version);
  }
  return in.AllRead();
}

bool Session::Abort(WireReader& in, WireWriter& out) {
  const uint32_t count = in.Count(9);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t id = in.U64();
    const bool may_be_written = in.U8() != 0;
    if (std::optional<Ticket> ticket = leases_.Take(id, true)) directory_.Abort(*ticket, may_be_written);
  }
  out.U32(count);
  return in.AllRead();
}

bool Session::Lookup(WireReader& in, WireWriter& out) {
  const uint64_t lease_ns = LeaseNs(in.U64());
  const uint32_t inline_bytes = in.U32();
  std::vector<std::string_view> keys;
  if (!ReadKeys(in, &keys) || !in.AllRead()) return false;
  if (TooManyLeases(keys.size(), out)) return true;
  std::vector<Ticket> tickets(keys.size());
  directory_.Lookup(keys, true, kNoDeadline, tickets);
  for (Ticket& ticket : tickets) {
    Put(ticket.ToStatus(), out);
    if (!ticket.ok()) continue;
    out.U64(ticket.length);
    out.U64(ticket.version);
    out.U32(ticket.chunk_bytes);
    out.U32(static_cast<uint32_t>(ticket.checksums.size()));
    for (const uint64_t sum : ticket.checksums) out.U64(sum);
    // Short values come along: one message is quicker than a transfer of its own.
    const bool along = ticket.length == 0 || (ticket.length <= inline_bytes && IsHost(ticket.places[0]));
    out.U8(along ? 1 : 0);
    if (along) {
      out.Text(ticket.length == 0 ? std::string_view() : std::string_view(ticket.places[0].address, ticket.length));
      directory_.Release({&ticket, 1});
      continue;
    }
    out.U64(lease_ns);
    WritePlaces(ticket, out);
    out.U64(leases_.Add(std::move(ticket), false, lease_ns));
  }
  return true;
}

bool Session::Release(WireReader& in) {
  replies_ = false;
  const uint32_t count = in.Count(8);
  for (uint32_t i = 0; i < count; ++i) {
    if (std::optional<Ticket> ticket = leases_.Take(in.U64(), false)) directory_.Release({&*ticket, 1});
  }
  return in.AllRead();
}

bool Session::Stat(WireReader& in, WireWriter& out) {
  std::vector<std::string_view> keys;
  if (!ReadKeys(in, &keys) || !in.AllRead()) return false;
  std::vector<ObjectStat> stats(keys.size());
  (void)directory_.Stat(keys, stats);
  for (const ObjectStat& stat : stats) {
    out.I32(stat.code);
    out.U64(stat.length);
    out.U64(stat.version);
    out.U8(static_cast<uint8_t>(stat.keep));
    out.U32(stat.replicas);
    out.U8(stat.checksummed ? 1 : 0);
  }
  return true;
}

bool Session::Remove(WireReader& in, WireWriter& out) {
  std::vector<std::string_view> keys;
  if (!ReadKeys(in, &keys) || !in.AllRead()) return false;
  std::vector<slipway_status> codes(keys.size());
  (void)directory_.Remove(keys, codes);
  for (const slipway_status code : codes) out.I32(code);
  return true;
}

bool Session::RemoveAll(WireReader& in, WireWriter& out) {
  const std::string_view prefix = in.Text(SLIPWAY_STORE_KEY_MAX);
  if (!in.AllRead()) return false;
  out.U64(*directory_.RemoveAll(prefix));
  return true;
}

bool Session::List(WireReader& in, WireWriter& out) {
  const std::string_view prefix = in.Text(SLIPWAY_STORE_KEY_MAX), after = in.Text(SLIPWAY_STORE_KEY_MAX);
  const uint32_t most = std::min(in.U32(), kMostListed);
  if (!in.AllRead()) return false;
  const std::vector<ObjectStat> list = *directory_.List(prefix, after, most);
  // As many as fit.
  size_t bytes = 64, fit = 0;
  while (fit < list.size() && bytes + list[fit].key.size() + 32 <= options_.max_reply_bytes) {
    bytes += list[fit++].key.size() + 32;
  }
  out.U32(static_cast<uint32_t>(fit));
  out.U8(fit == list.size() && list.size() < most ? 1 : 0);  // whether that was the end
  for (size_t i = 0; i < fit; ++i) {
    out.Text(list[i].key);
    out.U64(list[i].length);
    out.U64(list[i].version);
    out.U8(static_cast<uint8_t>(list[i].keep));
    out.U32(list[i].replicas);
    out.U8(list[i].checksummed ? 1 : 0);
  }
  return true;
}

}  // namespace slipway

#include "core/store/remote_directory.h"

#include <algorithm>

#include "core/store/checksum.h"
#include "core/store/segment.h"
#include "core/store/store.h"

namespace slipway {
namespace {

constexpr size_t kMostMessage = 1u << 16;
constexpr size_t kMostSegmentName = 63;

Status BadReply() {
  return Status(SLIPWAY_E_BAD_REPLY, "the node's answer is not the protocol; check that both run the same version");
}

// Of one item: nothing further follows where it is not OK. False: the answer is broken.
bool ReadCode(WireReader& in, Ticket& ticket) {
  ticket.code = in.I32();
  if (ticket.code == SLIPWAY_OK) return in.ok();
  ticket.message = in.Text(kMostMessage);
  for (char& c : ticket.message) c = static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  if (in.ok() && (ticket.code < 0 || ticket.code == SLIPWAY_EXISTS)) return true;
  ticket.code = SLIPWAY_E_BAD_REPLY;
  return false;
}

// Whether a node may say so of a value: what its checksums take here follows from it.
bool AreChunks(uint64_t length, uint64_t chunk_bytes, uint64_t checksums) {
  return chunk_bytes >= kChunkBytesMin && chunk_bytes <= kChunkBytesMax &&
         (checksums == 0 || checksums == ChunkCount(length, chunk_bytes));
}

void FailAll(std::span<Ticket> tickets, const Status& why) {
  for (Ticket& ticket : tickets) ticket.Fail(why);
}

WireWriter Message(WireOp op) {
  WireWriter out;
  out.U8(static_cast<uint8_t>(op));
  return out;
}

void WriteKeys(std::span<const std::string_view> keys, WireWriter& out) {
  out.U32(static_cast<uint32_t>(keys.size()));
  for (const std::string_view key : keys) out.Text(key);
}

}  // namespace

Status RemoteDirectory::Locate(WireReader& in, const std::shared_ptr<Opened>& opened, uint64_t deadline_ns,
                               Ticket& ticket) {
  ticket.place_count = in.U8();
  if (!in.ok() || ticket.place_count > kReplicasMax) return BadReply();
  Status first;
  size_t reachable = 0;
  const size_t count = ticket.place_count;
  for (size_t i = 0; i < count; ++i) {
    const std::string name(in.Text(kMostSegmentName));
    const uint32_t id = in.U32();
    const uint64_t offset = in.U64();
    if (!in.ok()) return BadReply();
    MutexLock lock(opened->mutex);
    std::unique_ptr<OpenSegment>& segment = opened->segments[id];
    if (segment == nullptr) {
      const uint64_t now_ns = clock_.NowNs();
      Result<std::unique_ptr<OpenSegment>> open =
          plane_.Open(options_.address + "/" + PublishedName(name), deadline_ns > now_ns ? deadline_ns - now_ns : 1);
      if (open.ok()) {
        segment = std::move(*open);
      } else {
        if (first.ok()) first = open.status();
        continue;
      }
    }
    ticket.places[reachable++] = {nullptr, 0, segment.get(), offset};
  }
  // A writer has to reach them all.
  if (reachable < count) return first;
  ticket.hold = opened;
  return {};
}

// ---- writing
// ---------------------------------------------------------------------------------------------------------

Status RemoteDirectory::ReadSpace(WireReader& in, const std::shared_ptr<Opened>& opened, uint64_t deadline_ns,
                                  uint64_t asked_ns, Ticket& ticket) {
  ticket.chunk_bytes = in.U32();
  const uint32_t sums = in.U32();
  if (!in.ok() || !AreChunks(ticket.length, ticket.chunk_bytes, sums)) return BadReply();
  ticket.own_checksums.assign(sums, 0);
  ticket.checksums = ticket.own_checksums;
  ticket.expires_ns = DeadlineAfter(asked_ns, in.U64());
  const Status located = Locate(in, opened, deadline_ns, ticket);
  ticket.id = in.U64();
  if (!in.ok()) return BadReply();
  return located;
}

void RemoteDirectory::Begin(std::span<const WriteIntent> intents, const WritePolicy& policy,
                            std::span<Ticket> tickets) {
  const uint64_t deadline_ns = DeadlineOr(policy.deadline_ns);
  WireWriter out = Message(WireOp::kBegin);
  out.U8(static_cast<uint8_t>((policy.replace ? 1 : 0) | (policy.checksum ? 2 : 0)));
  out.U8(static_cast<uint8_t>(policy.keep));
  out.U8(static_cast<uint8_t>(policy.replicas));
  out.U32(static_cast<uint32_t>(policy.preferred.size()));
  for (const std::string& name : policy.preferred) out.Text(name.substr(0, 255));
  out.Text(policy.group);
  out.U64(MsUntil(deadline_ns));
  out.U32(static_cast<uint32_t>(intents.size()));
  for (const WriteIntent& intent : intents) {
    out.Text(intent.key);
    out.U64(intent.length);
  }
  const uint64_t asked_ns = clock_.NowNs();
  Result<Answer> answer = Ask(std::move(out), deadline_ns);
  if (!answer.ok()) return FailAll(tickets, answer.status());
  WireReader in(answer->payload);
  for (size_t i = 0; i < tickets.size(); ++i) {
    Ticket& ticket = tickets[i];
    if (!in.ok() || !ReadCode(in, ticket)) return FailAll(tickets.subspan(i), BadReply());
    if (!ticket.ok()) continue;
    ticket.length = intents[i].length;
    const Status status = ReadSpace(in, answer->opened, deadline_ns, asked_ns, ticket);
    if (status.ok()) continue;
    if (!in.ok()) return FailAll(tickets.subspan(i), status);
    Abort(ticket, false);
    ticket.Fail(status);
  }
}

void RemoteDirectory::Commit(std::span<Ticket> tickets, const WritePolicy& policy) {
  WireWriter out = Message(WireOp::kCommit);
  out.U8(policy.replace ? 1 : 0);
  std::vector<Ticket*> open;
  for (Ticket& ticket : tickets) {
    if (ticket.ok() && ticket.id != 0) open.push_back(&ticket);
  }
  if (open.empty()) return;
  out.U32(static_cast<uint32_t>(open.size()));
  for (const Ticket* ticket : open) {
    out.U64(ticket->id);
    out.U8(ticket->compute_checksums ? 1 : 0);
    out.U32(ticket->compute_checksums ? 0 : static_cast<uint32_t>(ticket->checksums.size()));
    if (ticket->compute_checksums) continue;
    for (const uint64_t sum : ticket->checksums) out.U64(sum);
  }
  const Result<Answer> answer = Ask(std::move(out), policy.deadline_ns);
  WireReader in(answer.ok() ? std::string_view(answer->payload) : std::string_view());
  for (Ticket* ticket : open) {
    ticket->id = 0;
    ticket->hold.reset();
    if (!answer.ok()) {
      ticket->Fail(answer.status());
      continue;
    }
    if (!ReadCode(in, *ticket)) ticket->Fail(BadReply());
    if (ticket->ok()) ticket->version = in.U64();
    if (ticket->ok() && !in.ok()) ticket->Fail(BadReply());
  }
}

void RemoteDirectory::Abort(Ticket& ticket, bool may_be_written) {
  if (ticket.id == 0) return;
  WireWriter out = Message(WireOp::kAbort);
  out.U32(1);
  out.U64(std::exchange(ticket.id, 0));
  out.U8(may_be_written ? 1 : 0);
  // Not heard: the space comes back when its lease is over. Not to be waited for long.
  constexpr uint64_t kAbortNs = 2'000'000'000;
  (void)Ask(std::move(out), DeadlineAfter(clock_.NowNs(), kAbortNs));
  ticket.hold.reset();
}

// ---- reading
// ---------------------------------------------------------------------------------------------------------

Status RemoteDirectory::ReadValue(WireReader& in, const std::shared_ptr<Opened>& opened, uint64_t deadline_ns,
                                  uint64_t asked_ns, Ticket& ticket) {
  ticket.length = in.U64();
  ticket.version = in.U64();
  ticket.chunk_bytes = in.U32();
  const uint32_t sums = in.Count(8);
  if (!in.ok() || !AreChunks(ticket.length, ticket.chunk_bytes, sums)) return BadReply();
  for (uint32_t i = 0; i < sums; ++i) ticket.own_checksums.push_back(in.U64());
  ticket.checksums = ticket.own_checksums;
  if (in.U8() != 0) {
    const std::string_view value = in.Text(options_.max_body_bytes);
    if (!in.ok() || value.size() != ticket.length) return BadReply();
    if (value.empty()) return {};
    auto kept = std::make_shared<std::string>(value);
    ticket.place_count = 1;
    ticket.places[0] = {kept->data(), SLIPWAY_MEM_HOST, nullptr, 0};
    ticket.hold = std::move(kept);
    return {};
  }
  ticket.expires_ns = DeadlineAfter(asked_ns, in.U64());
  const Status located = Locate(in, opened, deadline_ns, ticket);
  ticket.id = in.U64();
  if (!in.ok()) return BadReply();
  return located;
}

void RemoteDirectory::Lookup(std::span<const std::string_view> keys, bool along, uint64_t deadline_ns,
                             std::span<Ticket> tickets) {
  deadline_ns = DeadlineOr(deadline_ns);
  // Keys that cannot be are answered here: the node would end the connection over them.
  std::vector<std::string_view> asked;
  std::vector<Ticket*> askers;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (CheckKey(keys[i]).ok()) {
      asked.push_back(keys[i]);
      askers.push_back(&tickets[i]);
    } else {
      tickets[i].Fail(Status(SLIPWAY_E_NOT_FOUND, "there is no object under this key"));
    }
  }
  if (asked.empty()) return;
  WireWriter out = Message(WireOp::kLookup);
  out.U64(MsUntil(deadline_ns));
  out.U32(along ? options_.inline_bytes : 0);
  WriteKeys(asked, out);
  const uint64_t asked_ns = clock_.NowNs();
  Result<Answer> answer = Ask(std::move(out), deadline_ns);
  WireReader in(answer.ok() ? std::string_view(answer->payload) : std::string_view());
  for (Ticket* ticket : askers) {
    if (!answer.ok() || !in.ok() || !ReadCode(in, *ticket)) {
      ticket->Fail(answer.ok() ? BadReply() : answer.status());
      continue;
    }
    if (!ticket->ok()) continue;
    const Status status = ReadValue(in, answer->opened, deadline_ns, asked_ns, *ticket);
    if (status.ok()) continue;
    if (in.ok()) Release({ticket, 1});
    ticket->Fail(status);
  }
}

void RemoteDirectory::Release(std::span<Ticket> tickets) {
  WireWriter out = Message(WireOp::kRelease);
  std::vector<uint64_t> ids;
  for (Ticket& ticket : tickets) {
    if (ticket.id != 0) ids.push_back(std::exchange(ticket.id, 0));
    ticket.hold.reset();
  }
  if (ids.empty()) return;
  out.U32(static_cast<uint32_t>(ids.size()));
  for (const uint64_t id : ids) out.U64(id);
  // One way. Where it cannot be sent, the leases run out by themselves.
  const uint64_t deadline_ns = DeadlineAfter(clock_.NowNs(), 1'000'000'000);
  Result<Connection> connection = Take(deadline_ns);
  if (!connection.ok()) return;
  connection->channel->set_deadline_ns(deadline_ns);
  if (connection->channel->Write(std::move(out).Finish()).outcome == IoOutcome::kOk) {
    PutBack(std::move(*connection));
  } else {
    Lost();
  }
}

// ---- keys
// ------------------------------------------------------------------------------------------------------------

namespace {

void ReadStat(WireReader& in, ObjectStat& stat) {
  stat.length = in.U64();
  stat.version = in.U64();
  const uint8_t keep = in.U8();
  stat.keep = keep >= 1 && keep <= 3 ? static_cast<KeepClass>(keep) : KeepClass::kEvictable;
  stat.replicas = in.U32();
  stat.checksummed = in.U8() != 0;
}

// Those that can be keys, and where their answers go.
struct Asked {
  explicit Asked(std::span<const std::string_view> all) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (!CheckKey(all[i]).ok()) continue;
      keys.push_back(all[i]);
      index.push_back(i);
    }
  }
  std::vector<std::string_view> keys;
  std::vector<size_t> index;
};

}  // namespace

Status RemoteDirectory::Stat(std::span<const std::string_view> keys, std::span<ObjectStat> out) {
  const Asked asked(keys);
  if (asked.keys.empty()) return {};
  WireWriter message = Message(WireOp::kStat);
  WriteKeys(asked.keys, message);
  const Result<Answer> answer = Ask(std::move(message), kNoDeadline);
  if (!answer.ok()) return answer.status();
  WireReader in(answer->payload);
  for (const size_t i : asked.index) {
    out[i].code = in.I32();
    ReadStat(in, out[i]);
  }
  return in.AllRead() ? Status() : BadReply();
}

Status RemoteDirectory::Remove(std::span<const std::string_view> keys, std::span<slipway_status> out) {
  std::fill(out.begin(), out.end(), SLIPWAY_E_NOT_FOUND);
  const Asked asked(keys);
  if (asked.keys.empty()) return {};
  WireWriter message = Message(WireOp::kRemove);
  WriteKeys(asked.keys, message);
  const Result<Answer> answer = Ask(std::move(message), kNoDeadline);
  if (!answer.ok()) return answer.status();
  WireReader in(answer->payload);
  for (const size_t i : asked.index) out[i] = in.I32();
  return in.AllRead() ? Status() : BadReply();
}

Result<uint64_t> RemoteDirectory::RemoveAll(std::string_view prefix) {
  if (prefix.size() > SLIPWAY_STORE_KEY_MAX) return uint64_t{0};
  WireWriter message = Message(WireOp::kRemoveAll);
  message.Text(prefix);
  const Result<Answer> answer = Ask(std::move(message), kNoDeadline);
  if (!answer.ok()) return answer.status();
  WireReader in(answer->payload);
  const uint64_t removed = in.U64();
  if (!in.AllRead()) return BadReply();
  return removed;
}

Result<std::vector<ObjectStat>> RemoteDirectory::List(std::string_view prefix, std::string_view after, size_t most) {
  std::vector<ObjectStat> list;
  if (prefix.size() > SLIPWAY_STORE_KEY_MAX) return list;
  std::string from(after);
  for (bool end = false; !end && list.size() < most;) {
    WireWriter message = Message(WireOp::kList);
    message.Text(prefix);
    message.Text(from);
    message.U32(static_cast<uint32_t>(std::min<size_t>(most - list.size(), 4096)));
    const Result<Answer> answer = Ask(std::move(message), kNoDeadline);
    if (!answer.ok()) return answer.status();
    WireReader in(answer->payload);
    const uint32_t count = in.U32();
    end = in.U8() != 0;
    if (!end && count == 0) return BadReply();
    for (uint32_t i = 0; i < count && in.ok(); ++i) {
      ObjectStat& stat = list.emplace_back();
      stat.code = SLIPWAY_OK;
      stat.key = in.Text(SLIPWAY_STORE_KEY_MAX);
      ReadStat(in, stat);
      // Without this a node could keep its client busy for ever.
      if (stat.key <= from || !stat.key.starts_with(prefix)) return BadReply();
      from = stat.key;
    }
    if (!in.AllRead()) return BadReply();
  }
  if (list.size() > most) return BadReply();
  return list;
}

Result<std::string> RemoteDirectory::DescribeJson() {
  const Result<Answer> answer = Ask(Message(WireOp::kDescribe), kNoDeadline);
  if (!answer.ok()) return answer.status();
  WireReader in(answer->payload);
  std::string json(in.Text(options_.max_body_bytes));
  if (!in.AllRead()) return BadReply();
  return json;
}

}  // namespace slipway

// The dispatcher's part about links: connecting, failing, taking down; and the segments that are open over them.
#include <algorithm>
#include <utility>

#include "core/base/status_name.h"
#include "core/transfer/dispatcher.h"

namespace slipway {
namespace {

constexpr uint64_t kConnectLookNs = 200'000;  // between looks at a connection being made

std::string_view StateName(Link::State state) {
  switch (state) {
    case Link::State::kIdle:
      return "idle";
    case Link::State::kConnecting:
      return "connecting";
    case Link::State::kReady:
      return "ready";
    case Link::State::kDraining:
      return "draining";
  }
  return "?";
}

}  // namespace

void Dispatcher::ListLink(Link* link) {
  if (std::exchange(link->listed, true)) return;
  busy_links_.push_back(link);
}

bool Dispatcher::ServeLink(Link* link, uint64_t now_ns) {
  switch (link->state) {
    case Link::State::kIdle:
      if (!link->HasWork()) return false;
      Connect(link, now_ns);
      if (link->state != Link::State::kConnecting) return true;
      [[fallthrough]];
    case Link::State::kConnecting:
      if (now_ns < link->retry_ns) return false;
      LookAtConnecting(link, now_ns);
      if (link->state != Link::State::kReady) return false;
      [[fallthrough]];
    case Link::State::kReady: {
      if (now_ns < link->retry_ns) return false;
      bool moved = false;
      // Cutting makes slices ready and submitting them makes room to cut more, until the link or the channel is full.
      for (bool more = true; more && link->state == Link::State::kReady && now_ns >= link->retry_ns;) {
        const bool cut = OpenSlices(link, now_ns);
        const bool submitted = SubmitReady(link, now_ns);
        more = cut && submitted;
        moved |= cut || submitted;
      }
      return moved;
    }
    case Link::State::kDraining:
      return link->open_slices == 0 && TakeDown(link);
  }
  return false;
}

void Dispatcher::Connect(Link* link, uint64_t now_ns) {
  Transport* transport = link->transport;
  if (transport->failed()) return FailLink(link, transport->failure(), now_ns);
  if (!transport->control_mutex().TryLock()) return;  // a registration is under way; next round
  slipway_error error = EmptyError();
  slipway_peer* peer = nullptr;
  const slipway_status status =
      transport->table().connect(transport->instance(), link->address.data(), link->address.size(), &peer, &error);
  transport->control_mutex().Unlock();
  if (status != SLIPWAY_OK && status != SLIPWAY_IN_PROGRESS) {
    return FailLink(link, FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, transport->name()), now_ns);
  }
  link->peer = peer;
  link->state = Link::State::kConnecting;
  link->connect_deadline_ns = DeadlineAfter(now_ns, options_.connect_timeout_ms * 1'000'000);
  link->retry_ns = 0;
}

void Dispatcher::LookAtConnecting(Link* link, uint64_t now_ns) {
  Transport* transport = link->transport;
  link->retry_ns = now_ns + kConnectLookNs;
  if (!transport->control_mutex().TryLock()) return;
  slipway_error error = EmptyError();
  const slipway_status status = transport->table().peer_ready(link->peer, &error);
  transport->control_mutex().Unlock();
  if (status == SLIPWAY_OK) {
    link->state = Link::State::kReady;
    link->retry_ns = 0;
    return;
  }
  if (status == SLIPWAY_IN_PROGRESS) {
    if (now_ns < link->connect_deadline_ns) return;
    return FailLink(link,
                    Status(SLIPWAY_E_TIMEOUT, transport->name() + ": the peer did not answer within " +
                                                  std::to_string(options_.connect_timeout_ms) +
                                                  " ms (transfer.connect_timeout_ms)"),
                    now_ns);
  }
  FailLink(link, FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, transport->name()), now_ns);
}

// What the transport has to say about its peer after a slice failed with `status`. Where the device under that slice
// failed and the peer can be used all the same, others of the instance's devices live: the slice alone is concerned.
// Where it cannot be asked now, the next slice that fails so asks again.
Status Dispatcher::PeerStatus(Link* link, slipway_status status, BlastRadius* radius) {
  Transport* transport = link->transport;
  slipway_error error = EmptyError();
  slipway_status ready = SLIPWAY_OK;
  *radius = BlastRadiusOf(status);
  const bool told = *radius == BlastRadius::kPeer || status == SLIPWAY_E_DEVICE;
  if (told && link->peer != nullptr && transport->control_mutex().TryLock()) {
    ready = transport->table().peer_ready(link->peer, &error);
    transport->control_mutex().Unlock();
  }
  if (status == SLIPWAY_E_DEVICE && ready == SLIPWAY_OK) *radius = BlastRadius::kOperation;
  return FromPlugin(status, error, transport->name());
}

// Takes the link out of service: what waits on it goes elsewhere or fails, and it comes back after a pause when there
// is work for it again.
void Dispatcher::FailLink(Link* link, const Status& why, uint64_t now_ns) {
  if (link->state == Link::State::kDraining) return;
  link->state = Link::State::kDraining;
  link->failure = why;
  ForgetPlan();
  link->backoff_ns = link->backoff_ns == 0 ? options_.backoff_initial_ms * 1'000'000
                                           : std::min(link->backoff_ns * 2, options_.backoff_max_ms * 1'000'000);
  link->paused_until_ns = DeadlineAfter(now_ns, link->backoff_ns);
  counters_.Add(Counter::kPeersPaused);
  ListLink(link);
  WorkQueue waiting = std::exchange(link->small, WorkQueue());
  while (!link->bulk.empty()) waiting.PushBack(link->bulk.PopFront());
  while (!waiting.empty()) {
    WorkItem* item = waiting.PopFront();
    item->tried |= uint32_t{1} << link->number;
    Route(item, why, now_ns);
  }
  Slice* ready = std::exchange(link->ready_first, nullptr);
  link->ready_last = nullptr;
  while (ready != nullptr) FailSlice(std::exchange(ready, ready->next_ready), why, now_ns);
}

void Dispatcher::FailTransport(Lane* lane, const Status& why, uint64_t now_ns) {
  if (!lane->transport->MarkFailed(why)) return;
  ForgetPlan();
  counters_.Add(Counter::kPluginFailures);
  log_.Error(lane->transport->name() + " is out of service until the engine is restarted: " + why.message());
  for (const auto& link : links_) {
    if (link->transport == lane->transport) FailLink(link.get(), why, now_ns);
  }
}

// Imports one of the segment's registrations. E_AGAIN: the transport's control calls are busy, or it is not connected.
Result<slipway_remote*> Dispatcher::Import(Link* link, SegmentRoute* route, uint32_t piece) {
  if (route->remotes[piece] != nullptr) return route->remotes[piece];
  Transport* transport = link->transport;
  if (!transport->control_mutex().TryLock()) return Status(SLIPWAY_E_AGAIN, "busy");
  slipway_error error = EmptyError();
  const std::string& blob = route->blobs[piece];
  slipway_remote* remote = nullptr;
  const slipway_status status = transport->table().import_mr(link->peer, blob.data(), blob.size(), &remote, &error);
  transport->control_mutex().Unlock();
  if (status != SLIPWAY_OK) {
    return FromPlugin(status < 0 ? status : SLIPWAY_E_INTERNAL, error, transport->name());
  }
  route->remotes[piece] = remote;
  return remote;
}

bool Dispatcher::ReleaseRemotes(SegmentRoute* route) {
  Transport* transport = route->link->transport;
  bool all = true;
  for (slipway_remote*& remote : route->remotes) {
    if (remote == nullptr) continue;
    if (transport->table().release_remote(remote) == SLIPWAY_OK) {
      remote = nullptr;
    } else {
      all = false;
    }
  }
  return all;
}

// Gives the peer object back, with everything imported through it. False: not yet; try again.
bool Dispatcher::TakeDown(Link* link) {
  if (link->peer != nullptr) {
    Transport* transport = link->transport;
    if (!transport->control_mutex().TryLock()) return false;
    bool gone = true;
    for (SegmentRoute* route : link->routes) gone &= ReleaseRemotes(route);
    if (gone) gone = transport->table().disconnect(link->peer) == SLIPWAY_OK;
    transport->control_mutex().Unlock();
    if (!gone) return false;
    link->peer = nullptr;
  }
  link->state = Link::State::kIdle;
  link->retry_ns = 0;
  return true;
}

Link* Dispatcher::FindOrMakeLink(uint8_t number, const std::string& instance_id, const std::string& address) {
  for (const auto& link : links_) {
    if (link->number == number && link->instance_id == instance_id && link->address == address) return link.get();
  }
  auto link = std::make_unique<Link>();
  link->transport = lanes_[number].transport;
  link->number = number;
  link->instance_id = instance_id;
  link->address = address;
  links_.push_back(std::move(link));
  ++lanes_[number].links;
  return links_.back().get();
}

Result<RemoteSegment*> Dispatcher::Open(const SegmentTarget& target) {
  auto segment = std::make_unique<RemoteSegment>();
  segment->name = target.name;
  segment->node = target.node;
  segment->length = target.length;
  segment->readable = target.readable;
  segment->writable = target.writable;
  segment->locality = target.locality;
  MutexLock lock(mutex_);
  if (stopping_) return Status(SLIPWAY_E_CLOSED, "the engine is being destroyed");
  std::string ours;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const slipway_transport& table = lanes_[i].transport->table();
    ours += (ours.empty() ? "" : ", ") + std::string(table.protocol);
    for (const SegmentTarget::Offer& offer : target.offers) {
      if (offer.protocol != table.protocol || offer.protocol_max < table.protocol_min ||
          offer.protocol_min > table.protocol_max || segment->routes[i].link != nullptr) {
        continue;
      }
      SegmentRoute& route = segment->routes[i];
      route.pieces = offer.pieces;
      route.blobs = offer.blobs;
      route.remotes.assign(offer.pieces.size(), nullptr);
      route.link = FindOrMakeLink(static_cast<uint8_t>(i), target.instance_id, offer.address);
      segment->offered |= uint32_t{1} << i;
    }
  }
  if (segment->offered == 0) {
    std::string theirs;
    for (const auto& offer : target.offers) theirs += (theirs.empty() ? "" : ", ") + offer.protocol;
    return Status(SLIPWAY_E_NO_ROUTE, "no protocol in common with the node of segment \"" + target.name + "\": here " +
                                          (ours.empty() ? "none" : ours) + "; there " +
                                          (theirs.empty() ? "none" : theirs));
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    SegmentRoute& route = segment->routes[i];
    if (route.link == nullptr) continue;
    route.link->routes.push_back(&route);
    ++route.link->segments;
  }
  segments_.push_back(std::move(segment));
  return segments_.back().get();
}

void Dispatcher::Close(RemoteSegment* segment) {
  MutexLock lock(mutex_);
  segment->closed = true;
  ForgetPlan();
  if (exit_) return;  // Stop closes what is left, and after it there is nothing to close it with
  garbage_ = true;
  Collect();
  WakeForTimers();
}

// Frees closed segments that no request uses, and links that no segment uses. Tries again later where a transport's
// control calls are busy. True when something was freed.
bool Dispatcher::Collect() {
  bool freed = false;
  bool left = false;
  for (size_t s = 0; s < segments_.size();) {
    RemoteSegment* segment = segments_[s].get();
    bool gone = segment->closed && segment->inflight_requests == 0;
    for (size_t i = 0; i < lanes_.size() && gone; ++i) {
      SegmentRoute& route = segment->routes[i];
      if (route.link == nullptr) continue;
      if (!route.link->transport->control_mutex().TryLock()) {
        gone = false;
        continue;
      }
      gone = ReleaseRemotes(&route);
      route.link->transport->control_mutex().Unlock();
      if (!gone) continue;
      std::erase(route.link->routes, &route);
      --route.link->segments;
      route.link = nullptr;
    }
    if (!gone) {
      left |= segment->closed && segment->inflight_requests == 0;
      ++s;
      continue;
    }
    ForgetPlan();
    if (stopping_) {  // the application may hold it still, and close it, or submit to it: it goes with the dispatcher
      ++s;
      continue;
    }
    segments_.erase(segments_.begin() + static_cast<ptrdiff_t>(s));
    freed = true;
  }
  for (size_t i = 0; i < links_.size();) {
    Link* link = links_[i].get();
    if (link->segments > 0) {
      ++i;
      continue;
    }
    if (link->open_slices > 0 || !TakeDown(link)) {
      left = true;
      ++i;
      continue;
    }
    std::erase(busy_links_, link);
    --lanes_[link->number].links;
    links_.erase(links_.begin() + static_cast<ptrdiff_t>(i));
    freed = true;
  }
  garbage_ = left;
  return freed;
}

std::vector<Dispatcher::LinkView> Dispatcher::Links() {
  const uint64_t now_ns = clock_.NowNs();
  std::vector<LinkView> views;
  MutexLock lock(mutex_);
  for (const auto& link : links_) {
    const uint64_t paused_ms = link->paused_until_ns > now_ns ? (link->paused_until_ns - now_ns) / 1'000'000 : 0;
    views.push_back({link->transport->name(), link->instance_id, std::string(StateName(link->state)), link->open_slices,
                     paused_ms});
  }
  return views;
}

}  // namespace slipway

// From the C table to the classes of transport.hpp: every entry checks its arguments, survives a fork, and lets no
// exception out. Authors do not use this header directly.
#ifndef SLIPWAY_SDK_TRANSPORT_GLUE_HPP_
#define SLIPWAY_SDK_TRANSPORT_GLUE_HPP_

#include <concepts>

#include "slipway/sdk/checks.hpp"
#include "slipway/sdk/transport.hpp"

namespace slipway::sdk::detail {

template <typename T>
concept HasGetExtension = requires(std::string_view id) {
  { T::GetExtension(id) } -> std::convertible_to<const void*>;
};

class Glue {
 public:
  // ---- handles ---------------------------------------------------------------------------------------------------
  static Instance* From(slipway_instance* h) { return reinterpret_cast<Instance*>(h); }
  static Registration* From(slipway_mr* h) { return reinterpret_cast<Registration*>(h); }
  static Peer* From(slipway_peer* h) { return reinterpret_cast<Peer*>(h); }
  static Remote* From(slipway_remote* h) { return reinterpret_cast<Remote*>(h); }
  static Channel* From(slipway_channel* h) { return reinterpret_cast<Channel*>(h); }

  // ---- instance --------------------------------------------------------------------------------------------------
  template <typename T>
  static slipway_status Probe(const slipway_host* host, const char* json, size_t len, slipway_attrs* out,
                              slipway_error* error) noexcept {
    if (const slipway_status s = CheckMake(host, json, out, error); s != SLIPWAY_OK) return s;
    return Guarded(error, [&]() -> slipway_status {
      slipway_attrs attrs = DefaultAttrs(T::kInfo);
      Error err(error);
      const slipway_status s = T::Probe(Host(host), std::string_view(json, len), attrs, err);
      if (s != SLIPWAY_OK) return s;
      if (!CopyToCaller(out, attrs)) return err.Fail(SLIPWAY_E_INVALID, "slipway_attrs.struct_size is not set");
      return SLIPWAY_OK;
    });
  }

  template <typename T>
  static slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_instance** out,
                               slipway_error* error) noexcept {
    if (const slipway_status s = CheckMake(host, json, out, error); s != SLIPWAY_OK) return s;
    return Guarded(error, [&]() -> slipway_status {
      std::unique_ptr<Instance> made;
      Error err(error);
      const slipway_status s = T::Create(Host(host), std::string_view(json, len), made, err);
      if (s != SLIPWAY_OK) return s;
      if (made == nullptr) return err.Fail(SLIPWAY_E_INTERNAL, "the plugin's Create said OK and made nothing");
      *out = reinterpret_cast<slipway_instance*>(made.release());
      return SLIPWAY_OK;
    });
  }

  static slipway_status GetAttrs(slipway_instance* h, slipway_attrs* out) noexcept {
    if (h == nullptr || out == nullptr) return SLIPWAY_E_INVALID;
    if (Forked(*From(h))) return SLIPWAY_E_FORKED;
    return CopyToCaller(out, From(h)->attrs_) ? SLIPWAY_OK : SLIPWAY_E_INVALID;
  }

  static slipway_status Quiesce(slipway_instance* h, uint64_t timeout_ns, slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    return Guarded(error, [&] {
      Error err(error);
      From(h)->quiesced_.store(true, std::memory_order_release);
      return From(h)->Quiesce(timeout_ns, err);
    });
  }

  // In a forked child the threads that own the objects' locks do not exist, so nothing is released there.
  static void Destroy(slipway_instance* h) noexcept {
    if (h == nullptr || From(h)->fork_guard_.forked()) return;
    Instance* const instance = From(h);
    instance->quiesced_.store(true, std::memory_order_release);
    instance->Stop();
    DeleteObjects(*instance);
    delete instance;
  }

  // ---- registration ----------------------------------------------------------------------------------------------
  static slipway_status RegisterMemory(slipway_instance* h, const slipway_range* range, slipway_mr** out,
                                       slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    Instance& instance = *From(h);
    Error err(error);
    slipway_range full{};
    if (out == nullptr) return err.Fail(SLIPWAY_E_INVALID, "register_memory: nowhere to put the registration");
    if (const slipway_status s = Checks::CheckRange(range, full, err); s != SLIPWAY_OK) return s;
    if (const slipway_status s = Checks::CheckLimits(instance, full, err); s != SLIPWAY_OK) return s;
    if (const slipway_status s = ReserveRegistration(instance, full, err); s != SLIPWAY_OK) return s;

    std::unique_ptr<Registration> made;
    slipway_status s = Guarded(error, [&] { return instance.RegisterMemory(full, made, err); });
    if (s == SLIPWAY_OK && made == nullptr) {
      s = err.Fail(SLIPWAY_E_INTERNAL, "the plugin's RegisterMemory said OK and made nothing");
    }
    MutexLock lock(instance.mutex_);
    --instance.registering_;
    if (s == SLIPWAY_OK && Enter(instance, *made, full)) {
      *out = reinterpret_cast<slipway_mr*>(made.release());
      return SLIPWAY_OK;
    }
    instance.registered_bytes_ -= full.length;
    lock.Unlock();
    if (s != SLIPWAY_OK) return s;
    // No one has heard of it, so the plugin takes it back; one that cannot keeps it.
    s = Guarded(nullptr, [&] { return instance.DeregisterMemory(*made); });
    if (s != SLIPWAY_OK) (void)made.release();
    return err.FailRetryable(SLIPWAY_E_NOMEM, "no memory to remember the registration");
  }

  static slipway_status DeregisterMemory(slipway_instance* h, slipway_mr* mr) noexcept {
    if (const slipway_status s = CheckAlive(h, nullptr); s != SLIPWAY_OK) return s;
    Instance& instance = *From(h);
    if (mr == nullptr || From(mr)->instance_ != &instance) return SLIPWAY_E_INVALID;
    if (From(mr)->in_use()) return SLIPWAY_E_BUSY;
    const slipway_status s = Guarded(nullptr, [&] { return instance.DeregisterMemory(*From(mr)); });
    if (s != SLIPWAY_OK) return s;
    {
      MutexLock lock(instance.mutex_);
      instance.index_.Erase(*From(mr));
      instance.registered_bytes_ -= From(mr)->length();
      ++instance.generation_;
    }
    delete From(mr);
    return SLIPWAY_OK;
  }

  static slipway_status QueryRegistered(slipway_instance* h, const slipway_range* range,
                                        slipway_reg_info* out) noexcept {
    if (const slipway_status s = CheckAlive(h, nullptr); s != SLIPWAY_OK) return s;
    Error none(nullptr);
    slipway_range full{};
    if (out == nullptr) return SLIPWAY_E_INVALID;
    if (const slipway_status s = Checks::CheckRange(range, full, none); s != SLIPWAY_OK) return s;
    slipway_reg_info info{};
    info.struct_size = sizeof(info);
    const slipway_status s = Guarded(nullptr, [&] { return From(h)->QueryRegistered(full, info); });
    if (s != SLIPWAY_OK) return s;
    if (out->struct_size >= sizeof(info)) {  // a copy of them together would wait until each has reached the cache
      out->state = info.state;
      out->prefix_bytes = info.prefix_bytes;
      out->generation = info.generation;
      out->mr = info.mr;
      return SLIPWAY_OK;
    }
    return CopyToCaller(out, info) ? SLIPWAY_OK : SLIPWAY_E_INVALID;
  }

  // ---- names that travel -----------------------------------------------------------------------------------------
  static slipway_status ExportAddress(slipway_instance* h, void* buf, size_t* len, slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    return Export(buf, len, error, From(h)->attrs_.address_bytes_max,
                  [&](std::string& bytes, Error& err) { return From(h)->ExportAddress(bytes, err); });
  }

  static slipway_status ExportMr(slipway_instance* h, slipway_mr* mr, void* buf, size_t* len,
                                 slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    if (mr == nullptr || From(mr)->instance_ != From(h)) {
      return Fail(error, SLIPWAY_E_INVALID, "export_mr: not a registration of this instance");
    }
    if ((From(mr)->access() & (SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE)) == 0) {
      return Fail(error, SLIPWAY_E_INVALID,
                  "export_mr: the memory was registered without REMOTE_READ or REMOTE_WRITE, so no peer may reach it");
    }
    return Export(buf, len, error, From(h)->attrs_.mr_blob_bytes_max,
                  [&](std::string& bytes, Error& err) { return From(h)->ExportMr(*From(mr), bytes, err); });
  }

  static slipway_status Connect(slipway_instance* h, const void* address, size_t len, slipway_peer** out,
                                slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    if (address == nullptr || out == nullptr) return Fail(error, SLIPWAY_E_INVALID, "connect: a NULL argument");
    Instance& instance = *From(h);
    return Guarded(error, [&]() -> slipway_status {
      std::unique_ptr<Peer> made;
      Error err(error);
      const slipway_status s = instance.Connect(std::string_view(static_cast<const char*>(address), len), made, err);
      if (s != SLIPWAY_OK) return s;
      if (made == nullptr) return err.Fail(SLIPWAY_E_INTERNAL, "the plugin's Connect said OK and made nothing");
      MutexLock lock(instance.mutex_);
      made->instance_ = &instance;
      Link(instance.peers_, made.get());
      *out = reinterpret_cast<slipway_peer*>(made.release());
      return SLIPWAY_OK;
    });
  }

  static slipway_status PeerReady(slipway_peer* peer, slipway_error* error) noexcept {
    if (peer == nullptr) return Fail(error, SLIPWAY_E_INVALID, "peer_ready: the peer is NULL");
    if (Forked(*From(peer)->instance_)) return FailForked(error);
    return Guarded(error, [&] {
      Error err(error);
      return From(peer)->Ready(err);
    });
  }

  static slipway_status Disconnect(slipway_peer* peer) noexcept {
    if (peer == nullptr) return SLIPWAY_E_INVALID;
    Instance& instance = *From(peer)->instance_;
    if (Forked(instance)) return SLIPWAY_E_FORKED;
    {
      MutexLock lock(instance.mutex_);
      if (From(peer)->remotes_ != nullptr) return SLIPWAY_E_BUSY;
    }
    if (From(peer)->in_use()) return SLIPWAY_E_BUSY;
    const slipway_status s = Guarded(nullptr, [&] { return From(peer)->Disconnect(); });
    if (s != SLIPWAY_OK) return s;
    {
      MutexLock lock(instance.mutex_);
      Unlink(instance.peers_, From(peer));
    }
    delete From(peer);
    return SLIPWAY_OK;
  }

  static slipway_status ImportMr(slipway_peer* peer, const void* blob, size_t len, slipway_remote** out,
                                 slipway_error* error) noexcept {
    if (peer == nullptr || blob == nullptr || out == nullptr) {
      return Fail(error, SLIPWAY_E_INVALID, "import_mr: a NULL argument");
    }
    Instance& instance = *From(peer)->instance_;
    if (Forked(instance)) return FailForked(error);
    return Guarded(error, [&]() -> slipway_status {
      std::unique_ptr<Remote> made;
      Error err(error);
      const slipway_status s = From(peer)->ImportMr(std::string_view(static_cast<const char*>(blob), len), made, err);
      if (s != SLIPWAY_OK) return s;
      if (made == nullptr) return err.Fail(SLIPWAY_E_INTERNAL, "the plugin's ImportMr said OK and made nothing");
      MutexLock lock(instance.mutex_);
      made->instance_ = &instance;
      made->peer_ = From(peer);
      Link(From(peer)->remotes_, made.get());
      *out = reinterpret_cast<slipway_remote*>(made.release());
      return SLIPWAY_OK;
    });
  }

  static slipway_status ReleaseRemote(slipway_remote* remote) noexcept {
    if (remote == nullptr) return SLIPWAY_E_INVALID;
    Instance& instance = *From(remote)->instance_;
    if (Forked(instance)) return SLIPWAY_E_FORKED;
    if (From(remote)->in_use()) return SLIPWAY_E_BUSY;
    {
      MutexLock lock(instance.mutex_);
      Unlink(From(remote)->peer_->remotes_, From(remote));
    }
    return Guarded(nullptr, [&] {
      delete From(remote);
      return SLIPWAY_OK;
    });
  }

  // ---- channels --------------------------------------------------------------------------------------------------
  static slipway_status ChannelOpen(slipway_instance* h, void* cookie, slipway_channel** out,
                                    slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    if (out == nullptr) return Fail(error, SLIPWAY_E_INVALID, "channel_open: nowhere to put the channel");
    Instance& instance = *From(h);
    {
      MutexLock lock(instance.mutex_);
      if (instance.channel_count_ >= instance.attrs_.max_channels) {
        return Fail(error, SLIPWAY_E_NOMEM, "as many channels are open as this transport has: close one first", {}, 0,
                    SLIPWAY_ERR_RETRYABLE);
      }
      ++instance.channel_count_;
    }
    const slipway_status status = Guarded(error, [&]() -> slipway_status {
      std::unique_ptr<Channel> made;
      Error err(error);
      const slipway_status s = instance.OpenChannel(cookie, made, err);
      if (s != SLIPWAY_OK) return s;
      if (made == nullptr) return err.Fail(SLIPWAY_E_INTERNAL, "the plugin's OpenChannel said OK and made nothing");
      MutexLock lock(instance.mutex_);
      made->instance_ = &instance;
      Link(instance.channels_, made.get());
      *out = reinterpret_cast<slipway_channel*>(made.release());
      return SLIPWAY_OK;
    });
    if (status != SLIPWAY_OK) {
      MutexLock lock(instance.mutex_);
      --instance.channel_count_;
    }
    return status;
  }

  static slipway_status ChannelClose(slipway_channel* channel) noexcept {
    if (channel == nullptr) return SLIPWAY_E_INVALID;
    Instance& instance = *From(channel)->instance_;
    if (Forked(instance)) return SLIPWAY_E_FORKED;
    if (From(channel)->inflight_ != 0) return SLIPWAY_E_BUSY;
    {
      MutexLock lock(instance.mutex_);
      Unlink(instance.channels_, From(channel));
      --instance.channel_count_;
    }
    return Guarded(nullptr, [&] {
      delete From(channel);
      return SLIPWAY_OK;
    });
  }

  static slipway_status Submit(slipway_channel* h, const slipway_slice* slices, uint32_t stride, uint32_t n,
                               uint32_t* accepted, slipway_error* error) noexcept {
    Error err(error);
    if (accepted == nullptr) return err.Fail(SLIPWAY_E_INVALID, "submit: `accepted` is NULL");
    *accepted = 0;
    if (h == nullptr || slices == nullptr) return err.Fail(SLIPWAY_E_INVALID, "submit: a NULL argument");
    if (stride < kSliceBytesV1 || stride % alignof(slipway_slice) != 0) {
      return err.Fail(SLIPWAY_E_INVALID, "submit: the stride is smaller than a slice or misaligned");
    }
    Channel& channel = *From(h);
    Instance& instance = *channel.instance_;
    if (Forked(instance)) return FailForked(error);
    if (instance.quiesced_.load(std::memory_order_acquire)) {
      return err.Fail(SLIPWAY_E_CANCELED, "submit: the instance was quiesced and takes no more slices");
    }
    const uint32_t room = instance.attrs_.max_inflight_per_channel - channel.inflight_;
    if (room == 0) return err.FailRetryable(SLIPWAY_E_AGAIN, "submit: as many slices are in flight as may be: poll");
    const Slices all(slices, stride, std::min({n, room, instance.attrs_.max_submit_batch}));

    // The fault of the first bad slice is told only if every slice before it was accepted.
    uint32_t good = 0;
    Checks::Fault fault{};
    while (good < all.size() && (fault = Checks::CheckSlice(instance, all[good])).status == SLIPWAY_OK) ++good;
    if (good > 0) {
      const slipway_status s =
          Guarded(error, [&] { return channel.Submit(Slices(slices, stride, good), *accepted, err); });
      channel.inflight_ += *accepted;
      if (s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN) return s;
      if (*accepted < good) {
        return *accepted > 0 ? SLIPWAY_OK : err.FailRetryable(SLIPWAY_E_AGAIN, "submit: no room: poll and try again");
      }
    }
    return fault.status == SLIPWAY_OK ? SLIPWAY_OK : err.Fail(fault.status, fault.why);
  }

  static slipway_status Poll(slipway_channel* h, slipway_completion* out, uint32_t stride, uint32_t max,
                             uint32_t* n) noexcept {
    if (n == nullptr) return SLIPWAY_E_INVALID;
    *n = 0;
    if (h == nullptr || out == nullptr || stride < kCompletionBytesV1) return SLIPWAY_E_INVALID;
    Channel& channel = *From(h);
    if (Forked(*channel.instance_)) return SLIPWAY_E_FORKED;
    Completions completions(out, stride, max);
    const slipway_status s = Guarded(nullptr, [&] { return channel.Poll(completions); });
    *n = completions.size();
    channel.inflight_ -= std::min(channel.inflight_, *n);
    return s;
  }

  static slipway_status Cancel(slipway_channel* h, uint64_t token) noexcept {
    if (h == nullptr) return SLIPWAY_E_INVALID;
    if (Forked(*From(h)->instance_)) return SLIPWAY_E_FORKED;
    return Guarded(nullptr, [&] { return From(h)->Cancel(token); });
  }

  static int EventFd(slipway_channel* h) noexcept {
    if (h == nullptr || Forked(*From(h)->instance_)) return -1;
    int fd = -1;
    Guarded(nullptr, [&] {
      fd = From(h)->EventFd();
      return SLIPWAY_OK;
    });
    return fd;
  }

  static slipway_status StatsJson(slipway_instance* h, char* buf, size_t* len) noexcept {
    if (const slipway_status s = CheckAlive(h, nullptr); s != SLIPWAY_OK) return s;
    return Guarded(nullptr, [&] {
      std::string json;
      const slipway_status s = From(h)->StatsJson(json);
      return s == SLIPWAY_OK ? CopyOut(json, buf, len) : s;
    });
  }

  template <typename T>
  static const void* GetExtension(const char* id) noexcept {
    const void* table = nullptr;
    if (id == nullptr) return table;
    Guarded(nullptr, [&] {
      table = T::GetExtension(std::string_view(id));
      return SLIPWAY_OK;
    });
    return table;
  }

 private:
  static bool Forked(const Instance& i) {
    return (i.attrs_.caps & SLIPWAY_CAP_FORK_SAFE) == 0 && i.fork_guard_.forked();
  }
  static slipway_status FailForked(slipway_error* error) {
    return Fail(error, SLIPWAY_E_FORKED,
                "this process was forked from the one that made the instance: make an engine of its own in the child");
  }
  static slipway_status CheckAlive(slipway_instance* h, slipway_error* error) {
    if (h == nullptr) return Fail(error, SLIPWAY_E_INVALID, "the instance is NULL");
    return Forked(*From(h)) ? FailForked(error) : SLIPWAY_OK;
  }
  static slipway_status CheckMake(const slipway_host* host, const char* json, const void* out, slipway_error* error) {
    if (json == nullptr || out == nullptr) return Fail(error, SLIPWAY_E_INVALID, "a NULL argument");
    if (!Host::Usable(host)) {
      return Fail(error, SLIPWAY_E_INVALID, "the host table is NULL, too short or of another ABI major than 1");
    }
    return SLIPWAY_OK;
  }

  // Counts a registration against the limits before it is made.
  static slipway_status ReserveRegistration(Instance& i, const slipway_range& range, Error& err) {
    MutexLock lock(i.mutex_);
    if (i.attrs_.max_mrs != 0 && i.index_.size() + i.registering_ >= i.attrs_.max_mrs) {
      return err.FailRetryable(SLIPWAY_E_NOMEM, "as many registrations exist as may: deregister one first");
    }
    if (i.attrs_.max_registered_bytes != 0 && (i.registered_bytes_ > i.attrs_.max_registered_bytes ||
                                               range.length > i.attrs_.max_registered_bytes - i.registered_bytes_)) {
      return err.FailRetryable(SLIPWAY_E_NOMEM, "as many bytes are registered as may be: deregister some first");
    }
    ++i.registering_;
    i.registered_bytes_ += range.length;
    return SLIPWAY_OK;
  }

  // False: there is no memory for it, and nothing has changed.
  static bool Enter(Instance& i, Registration& made, const slipway_range& range) noexcept SLIPWAY_REQUIRES(i.mutex_) {
    try {
      i.index_.Insert(made, reinterpret_cast<uintptr_t>(range.addr), range.length, range.access);
    } catch (const std::bad_alloc&) {
      return false;
    }
    made.instance_ = &i;
    ++i.generation_;
    return true;
  }

  template <typename Fill>
  static slipway_status Export(void* buf, size_t* len, slipway_error* error, uint32_t bytes_max, Fill&& fill) noexcept {
    return Guarded(error, [&] {
      std::string bytes;
      Error err(error);
      slipway_status s = fill(bytes, err);
      if (s != SLIPWAY_OK) return s;
      if (bytes.size() > bytes_max) return err.Fail(SLIPWAY_E_INTERNAL, "longer than the attributes announced");
      s = CopyOut(bytes, buf, len);
      if (s == SLIPWAY_E_BUFFER_TOO_SMALL)
        return err.Fail(s, "the buffer is too small; its length says what is needed");
      return s == SLIPWAY_OK ? s : err.Fail(s, "NULL buffer or length");
    });
  }

  template <typename T>
  static void Link(T*& head, T* object) {
    object->link_.prev = nullptr;
    object->link_.next = head;
    if (head != nullptr) head->link_.prev = object;
    head = object;
  }
  template <typename T>
  static void Unlink(T*& head, T* object) {
    if (object->link_.prev != nullptr) object->link_.prev->link_.next = object->link_.next;
    if (object->link_.next != nullptr) object->link_.next->link_.prev = object->link_.prev;
    if (head == object) head = object->link_.next;
  }

  // In the order that the contract names: channels and remotes, peers, registrations.
  static void DeleteObjects(Instance& i) noexcept {
    MutexLock lock(i.mutex_);
    while (Channel* channel = i.channels_) {
      Unlink(i.channels_, channel);
      delete channel;
    }
    while (Peer* peer = i.peers_) {
      while (Remote* remote = peer->remotes_) {
        Unlink(peer->remotes_, remote);
        delete remote;
      }
      Unlink(i.peers_, peer);
      delete peer;
    }
    while (RegistrationNode* node = i.index_.any()) {
      i.index_.Erase(*node);
      delete static_cast<Registration*>(node);
    }
  }
};

}  // namespace slipway::sdk::detail

#endif  // SLIPWAY_SDK_TRANSPORT_GLUE_HPP_

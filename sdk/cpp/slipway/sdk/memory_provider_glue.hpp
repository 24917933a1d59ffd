// From the C table to the classes of memory_provider.hpp: every entry checks its arguments, survives a fork, and lets
// no exception out. Authors do not use this header directly.
#ifndef SLIPWAY_SDK_MEMORY_PROVIDER_GLUE_HPP_
#define SLIPWAY_SDK_MEMORY_PROVIDER_GLUE_HPP_

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "slipway/sdk/memory_provider.hpp"

namespace slipway::sdk::detail {

class ProviderGlue {
 public:
  static ProviderInstance* From(slipway_provider* h) { return reinterpret_cast<ProviderInstance*>(h); }
  static CopyQueue* From(slipway_copy_queue* h) { return reinterpret_cast<CopyQueue*>(h); }

  // ---- instance --------------------------------------------------------------------------------------------------
  template <typename T>
  static slipway_status Probe(const slipway_host* host, const char* json, size_t len, slipway_error* error) noexcept {
    if (const slipway_status s = CheckMake(host, json, error); s != SLIPWAY_OK) return s;
    return Guarded(error, [&] {
      Error err(error);
      return T::Probe(Host(host), std::string_view(json, len), err);
    });
  }

  template <typename T>
  static slipway_status Create(const slipway_host* host, const char* json, size_t len, slipway_provider** out,
                               slipway_error* error) noexcept {
    if (out == nullptr) return Fail(error, SLIPWAY_E_INVALID, "create: nowhere to put the instance");
    if (const slipway_status s = CheckMake(host, json, error); s != SLIPWAY_OK) return s;
    return Guarded(error, [&]() -> slipway_status {
      std::unique_ptr<ProviderInstance> made;
      Error err(error);
      const slipway_status s = T::Create(Host(host), std::string_view(json, len), made, err);
      if (s != SLIPWAY_OK) return s;
      if (made == nullptr) return err.Fail(SLIPWAY_E_INTERNAL, "the plugin's Create said OK and made nothing");
      *out = reinterpret_cast<slipway_provider*>(made.release());
      return SLIPWAY_OK;
    });
  }

  // In a forked child neither the threads nor the device's state exist, so nothing is released there.
  static void Destroy(slipway_provider* h) noexcept {
    if (h == nullptr || From(h)->fork_guard_.forked()) return;
    ProviderInstance* const instance = From(h);
    instance->Stop();
    DeleteObjects(*instance);
    delete instance;
  }

  static slipway_status Classify(slipway_provider* h, const void* addr, uint64_t length,
                                 slipway_mem_info* out) noexcept {
    if (const slipway_status s = CheckAlive(h, nullptr); s != SLIPWAY_OK) return s;
    if (out == nullptr || !SLIPWAY_HAS(out, slipway_mem_info, mem_kind)) return SLIPWAY_E_INVALID;
    slipway_mem_info info{sizeof(info), -1, 0, nullptr, 0, 0};
    const slipway_status s = Guarded(nullptr, [&] { return From(h)->Classify(addr, length, info); });
    if (s != SLIPWAY_OK) return s;
    if (info.mem_kind == 0) {
      out->mem_kind = 0;
      return SLIPWAY_OK;
    }
    return CopyToCaller(out, info) ? SLIPWAY_OK : SLIPWAY_E_INVALID;
  }

  // ---- pins ------------------------------------------------------------------------------------------------------
  static slipway_status PinHost(slipway_provider* h, void* addr, uint64_t length, slipway_pin** out,
                                slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    Error err(error);
    const auto start = reinterpret_cast<uintptr_t>(addr);
    if (out == nullptr) return err.Fail(SLIPWAY_E_INVALID, "pin_host: nowhere to put the pin");
    if (const slipway_status s = CheckPages(start, length, err); s != SLIPWAY_OK) return s;
    ProviderInstance& instance = *From(h);
    return Guarded(error, [&]() -> slipway_status {
      // What is needed once the range is pinned is made before, so that there is no way to fail then.
      std::map<const HostPin*, uintptr_t> spare{{nullptr, start}};
      auto node = spare.extract(spare.begin());
      if (!Reserve(instance, start, length)) {
        return err.Fail(SLIPWAY_E_BUSY,
                        "pin_host: the range overlaps one that this provider has pinned: unpin it first");
      }
      std::unique_ptr<HostPin> made;
      slipway_status s = Guarded(error, [&] { return instance.PinHost(addr, length, made, err); });
      if (s == SLIPWAY_OK && made == nullptr) {
        s = err.Fail(SLIPWAY_E_INTERNAL, "the plugin's PinHost said OK and made nothing");
      }
      MutexLock lock(instance.mutex_);
      if (s != SLIPWAY_OK) {
        instance.pins_.erase(start);
        return s;
      }
      made->start_ = start;
      made->length_ = length;
      *out = reinterpret_cast<slipway_pin*>(made.get());
      node.key() = made.get();
      instance.starts_.insert(std::move(node));
      instance.pins_.find(start)->second.pin = made.release();
      return SLIPWAY_OK;
    });
  }

  // A pin that is not this instance's, or not any more, is found out without being looked at.
  static slipway_status UnpinHost(slipway_provider* h, slipway_pin* handle, slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    Error err(error);
    ProviderInstance& instance = *From(h);
    HostPin* const pin = reinterpret_cast<HostPin*>(handle);
    std::map<const HostPin*, uintptr_t>::node_type node;  // taken out meanwhile, so that nobody else unpins it
    {
      MutexLock lock(instance.mutex_);
      node = instance.starts_.extract(pin);
    }
    if (node.empty()) return err.Fail(SLIPWAY_E_INVALID, "unpin_host: NULL, or no pin of this provider's (any more)");
    const slipway_status s = Guarded(error, [&] { return instance.UnpinHost(*pin, err); });
    {
      MutexLock lock(instance.mutex_);
      if (s != SLIPWAY_OK) {
        instance.starts_.insert(std::move(node));
        return s;
      }
      instance.pins_.erase(node.mapped());
    }
    delete pin;
    return SLIPWAY_OK;
  }

  static slipway_status ExportDmabuf(slipway_provider* h, const void* addr, uint64_t length, int* fd, uint64_t* offset,
                                     slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    if (fd == nullptr || offset == nullptr || addr == nullptr || length == 0 || Wraps(addr, length)) {
      return Fail(error, SLIPWAY_E_INVALID, "export_dmabuf: a NULL argument, or a range that is empty or wraps around");
    }
    return Guarded(error, [&] {
      Error err(error);
      return From(h)->ExportDmabuf(addr, length, *fd, *offset, err);
    });
  }

  // ---- queues ----------------------------------------------------------------------------------------------------
  static slipway_status QueueOpen(slipway_provider* h, void* cookie, slipway_copy_queue** out,
                                  slipway_error* error) noexcept {
    if (const slipway_status s = CheckAlive(h, error); s != SLIPWAY_OK) return s;
    if (out == nullptr) return Fail(error, SLIPWAY_E_INVALID, "queue_open: nowhere to put the queue");
    ProviderInstance& instance = *From(h);
    return Guarded(error, [&]() -> slipway_status {
      std::unique_ptr<CopyQueue> made;
      Error err(error);
      const slipway_status s = instance.OpenQueue(cookie, made, err);
      if (s != SLIPWAY_OK) return s;
      if (made == nullptr) return err.Fail(SLIPWAY_E_INTERNAL, "the plugin's OpenQueue said OK and made nothing");
      MutexLock lock(instance.mutex_);
      made->instance_ = &instance;
      made->link_.next = instance.queues_;
      if (instance.queues_ != nullptr) instance.queues_->link_.prev = made.get();
      instance.queues_ = made.get();
      *out = reinterpret_cast<slipway_copy_queue*>(made.release());
      return SLIPWAY_OK;
    });
  }

  static slipway_status QueueClose(slipway_copy_queue* h) noexcept {
    if (h == nullptr) return SLIPWAY_E_INVALID;
    CopyQueue* const queue = From(h);
    ProviderInstance& instance = *queue->instance_;
    if (instance.fork_guard_.forked()) return SLIPWAY_E_FORKED;
    if (queue->inflight_ != 0) return SLIPWAY_E_BUSY;
    {
      MutexLock lock(instance.mutex_);
      if (queue->link_.prev != nullptr) queue->link_.prev->link_.next = queue->link_.next;
      if (queue->link_.next != nullptr) queue->link_.next->link_.prev = queue->link_.prev;
      if (instance.queues_ == queue) instance.queues_ = queue->link_.next;
    }
    return Guarded(nullptr, [&] {
      delete queue;
      return SLIPWAY_OK;
    });
  }

  static slipway_status CopySubmit(slipway_copy_queue* h, const slipway_copy* pieces, uint32_t stride, uint32_t n,
                                   uint32_t* accepted, slipway_error* error) noexcept {
    Error err(error);
    if (const slipway_status s = CheckSubmit(h, pieces, stride, accepted, error); s != SLIPWAY_OK) return s;
    if (n == 0) return SLIPWAY_OK;
    CopyQueue& queue = *From(h);
    const uint32_t room = queue.max_inflight_ - queue.inflight_;
    if (room == 0) return FailFull(err);
    const Copies all(pieces, stride, std::min(n, room));
    // Some at a time, so that the first are under way while the others are looked at.
    constexpr uint32_t kCheckedAtOnce = 2048;
    for (;;) {
      const Copies rest = all.From(*accepted);
      const char* fault = nullptr;
      const uint32_t good = CountGood(queue, rest.First(std::min(rest.size(), kCheckedAtOnce)), fault);
      uint32_t taken = 0;
      if (good > 0) {
        const slipway_status s = Guarded(error, [&] { return queue.Submit(rest.First(good), taken, err); });
        *accepted += taken;
        queue.inflight_ += taken;
        if (s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN) return s;
      }
      if (taken < good) break;
      // The fault of the first bad piece is told only if every piece before it was accepted.
      if (fault != nullptr) return err.Fail(SLIPWAY_E_INVALID, fault);
      if (*accepted == all.size()) break;
    }
    return *accepted > 0 ? SLIPWAY_OK : FailFull(err);
  }

  // All pieces are looked at before the first is submitted: the queue is told of a group once.
  static slipway_status GroupSubmit(slipway_copy_queue* h, uint64_t token, const slipway_copy* pieces, uint32_t stride,
                                    uint32_t n, uint32_t* accepted, slipway_error* error) noexcept {
    Error err(error);
    if (const slipway_status s = CheckSubmit(h, pieces, stride, accepted, error); s != SLIPWAY_OK) return s;
    if (n == 0) return SLIPWAY_OK;
    CopyQueue& queue = *From(h);
    if (queue.inflight_ == queue.max_inflight_) return FailFull(err);
    const char* fault = nullptr;
    const Copies all(pieces, stride, n);
    const uint32_t good = CountGood(queue, all, fault);
    uint32_t taken = 0;
    if (good > 0) {
      const slipway_status s = Guarded(error, [&] { return queue.SubmitGroup(token, all.First(good), taken, err); });
      *accepted = taken;
      if (taken > 0) ++queue.inflight_;
      if (s != SLIPWAY_OK && s != SLIPWAY_E_AGAIN) return s;
    }
    if (taken == good && fault != nullptr) return err.Fail(SLIPWAY_E_INVALID, fault);
    return taken > 0 ? SLIPWAY_OK : FailFull(err);
  }

  static slipway_status CopyPoll(slipway_copy_queue* h, slipway_completion* out, uint32_t stride, uint32_t max,
                                 uint32_t* n) noexcept {
    if (n == nullptr) return SLIPWAY_E_INVALID;
    *n = 0;
    if (h == nullptr || out == nullptr || stride < sizeof(slipway_completion)) return SLIPWAY_E_INVALID;
    CopyQueue& queue = *From(h);
    if (queue.instance_->fork_guard_.forked()) return SLIPWAY_E_FORKED;
    Completions completions(out, stride, max);
    const slipway_status s = Guarded(nullptr, [&] { return queue.Poll(completions); });
    *n = completions.size();
    queue.inflight_ -= std::min(queue.inflight_, *n);
    return s;
  }

 private:
  static slipway_status CheckSubmit(slipway_copy_queue* h, const slipway_copy* pieces, uint32_t stride,
                                    uint32_t* accepted, slipway_error* error) {
    if (accepted == nullptr) return Fail(error, SLIPWAY_E_INVALID, "copy_submit: `accepted` is NULL");
    *accepted = 0;
    if (h == nullptr || pieces == nullptr) return Fail(error, SLIPWAY_E_INVALID, "copy_submit: a NULL argument");
    if (stride < sizeof(slipway_copy) || stride % alignof(slipway_copy) != 0) {
      return Fail(error, SLIPWAY_E_INVALID, "copy_submit: the stride is smaller than a piece or misaligned");
    }
    return From(h)->instance_->fork_guard_.forked() ? FailForked(error) : SLIPWAY_OK;
  }
  static slipway_status FailFull(Error& err) {
    return err.FailRetryable(SLIPWAY_E_AGAIN, "copy_submit: as much is in flight as may be: poll and try again");
  }
  // How many pieces there are before one that cannot be accepted, and what is wrong with that one.
  static uint32_t CountGood(const CopyQueue& queue, const Copies& pieces, const char*& fault) {
    const uint64_t kind = queue.instance_->mem_kind_;
    uint64_t dst_kind = 0, src_kind = 0;  // that were found to be right
    for (uint32_t i = 0; i < pieces.size(); ++i) {
      const slipway_copy& c = pieces[i];
      if (c.dst_kind != dst_kind || c.src_kind != src_kind) {
        fault = FaultOfKinds(c, kind);
        if (fault != nullptr) return i;
        dst_kind = c.dst_kind;
        src_kind = c.src_kind;
      }
      fault = FaultOfRanges(c);
      if (fault != nullptr) return i;
    }
    return pieces.size();
  }
  static slipway_status FailForked(slipway_error* error) {
    return Fail(error, SLIPWAY_E_FORKED,
                "this process was forked from the one that made the instance: make an engine of its own in the child");
  }
  static slipway_status CheckAlive(slipway_provider* h, slipway_error* error) {
    if (h == nullptr) return Fail(error, SLIPWAY_E_INVALID, "the instance is NULL");
    return From(h)->fork_guard_.forked() ? FailForked(error) : SLIPWAY_OK;
  }
  static slipway_status CheckMake(const slipway_host* host, const char* json, slipway_error* error) {
    if (json == nullptr) return Fail(error, SLIPWAY_E_INVALID, "a NULL argument");
    if (!Host::Usable(host)) {
      return Fail(error, SLIPWAY_E_INVALID, "the host table is NULL, too short or of another ABI major than 1");
    }
    return SLIPWAY_OK;
  }
  static bool Wraps(const void* addr, uint64_t length) {
    return reinterpret_cast<uintptr_t>(addr) > std::numeric_limits<uintptr_t>::max() - length;
  }
  static slipway_status CheckPages(uintptr_t start, uint64_t length, Error& err) {
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    if (start == 0 || length == 0) return err.Fail(SLIPWAY_E_INVALID, "pin_host: the range is empty or at NULL");
    if (start % page != 0 || length % page != 0) {
      return err.Fail(SLIPWAY_E_INVALID, "pin_host: the range is not whole pages: widen it to the pages it touches");
    }
    if (start > std::numeric_limits<uintptr_t>::max() - length) {
      return err.Fail(SLIPWAY_E_INVALID, "pin_host: the range wraps around the address space");
    }
    return SLIPWAY_OK;
  }
  // Why a piece cannot be accepted; NULL where it can. Literals.
  static const char* FaultOfKinds(const slipway_copy& c, uint64_t kind) {
    if (c.dst_kind != kind && c.src_kind != kind) return "copy_submit: neither side is of the provider's kind";
    if (!std::has_single_bit(c.dst_kind) || !std::has_single_bit(c.src_kind)) {
      return "copy_submit: dst_kind or src_kind is not one bit";
    }
    if (((c.dst_kind | c.src_kind) & ~(kind | SLIPWAY_MEM_HOST)) != 0) {
      return "copy_submit: the other side is neither of the provider's kind nor host memory";
    }
    return nullptr;
  }
  static const char* FaultOfRanges(const slipway_copy& c) {
    if (c.length == 0) return nullptr;
    if (c.dst == nullptr || c.src == nullptr) return "copy_submit: NULL address";
    if (Wraps(c.dst, c.length) || Wraps(c.src, c.length)) return "copy_submit: a range wraps around the address space";
    return nullptr;
  }

  // Takes the range for a pin to come. False when it overlaps one that is there.
  static bool Reserve(ProviderInstance& instance, uintptr_t start, uint64_t length) {
    MutexLock lock(instance.mutex_);
    const auto next = instance.pins_.lower_bound(start);
    if (next != instance.pins_.end() && next->first - start < length) return false;
    if (next != instance.pins_.begin()) {
      const auto before = std::prev(next);
      if (start - before->first < before->second.length) return false;
    }
    instance.pins_.emplace(start, ProviderInstance::PinEntry{length, nullptr});
    return true;
  }

  // Queues first: they may use pinned memory.
  static void DeleteObjects(ProviderInstance& instance) noexcept {
    MutexLock lock(instance.mutex_);
    while (CopyQueue* const queue = instance.queues_) {
      instance.queues_ = queue->link_.next;
      delete queue;
    }
    for (auto& [start, entry] : instance.pins_) {
      if (entry.pin == nullptr) continue;
      HostPin* const pin = entry.pin;
      const slipway_status unpinned = Guarded(nullptr, [&] {
        Error none(nullptr);
        return instance.UnpinHost(*pin, none);
      });
      (void)unpinned;  // nobody is left to be told, and the pages go with the process
      delete pin;
    }
    instance.pins_.clear();
    instance.starts_.clear();
  }
};

}  // namespace slipway::sdk::detail

#endif  // SLIPWAY_SDK_MEMORY_PROVIDER_GLUE_HPP_

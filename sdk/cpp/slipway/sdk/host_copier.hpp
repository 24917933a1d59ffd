// The core's copies between memories of any kind (abi/copy.h), as an author of a transport wants to call them.
#ifndef SLIPWAY_SDK_HOST_COPIER_HPP_
#define SLIPWAY_SDK_HOST_COPIER_HPP_

#include <memory>

#include "slipway/abi/copy.h"
#include "slipway/sdk/error.hpp"
#include "slipway/sdk/host.hpp"

namespace slipway::sdk {

namespace detail {

inline const slipway_host_copy* CopyTable(const Host& host) {
  const auto* const table = static_cast<const slipway_host_copy*>(host.GetExtension(SLIPWAY_HOST_COPY_ID));
  return table != nullptr && SLIPWAY_HAS(table, slipway_host_copy, poll) ? table : nullptr;
}

}  // namespace detail

// Pages that devices reach without the CPU, for as long as this lives. Calls are [control].
class PinnedPages {
 public:
  // The kinds whose devices reach [addr, +length) from now on; 0 where the host pins nothing, and then nothing is held.
  uint64_t Pin(const Host& host, void* addr, uint64_t length) {
    Unpin();
    const slipway_host_copy* const table = detail::CopyTable(host);
    uint64_t kinds = 0;
    if (table == nullptr || !SLIPWAY_HAS(table, slipway_host_copy, unpin)) return 0;
    if (table->pin(host.table()->ctx, addr, length, &kinds, &pin_, nullptr) != SLIPWAY_OK) return 0;
    table_ = table;
    ctx_ = host.table()->ctx;
    return kinds;
  }
  void Unpin() {
    if (table_ != nullptr) table_->unpin(ctx_, pin_);
    table_ = nullptr;
  }
  PinnedPages() = default;
  ~PinnedPages() { Unpin(); }
  PinnedPages(const PinnedPages&) = delete;
  PinnedPages& operator=(const PinnedPages&) = delete;

 private:
  const slipway_host_copy* table_ = nullptr;  // null: nothing is pinned
  void* ctx_ = nullptr;
  slipway_host_pin* pin_ = nullptr;
};

// A copier of the host's. Calls are [channel]; opening and destroying it is [control].
class HostCopier {
 public:
  // The kinds that the host copies, host memory not among them; 0 where it copies none.
  static uint64_t Kinds(const Host& host) {
    const slipway_host_copy* const table = detail::CopyTable(host);
    return table == nullptr ? 0 : table->mem_kinds(host.table()->ctx);
  }

  // `cookie` as for Host::Wake. E_UNSUPPORTED where Kinds() is 0.
  static slipway_status Open(const Host& host, void* cookie, std::unique_ptr<HostCopier>& out, Error& err) {
    const slipway_host_copy* const table = detail::CopyTable(host);
    if (table == nullptr) return err.Fail(SLIPWAY_E_UNSUPPORTED, "the host copies no memory of devices");
    std::unique_ptr<HostCopier> made(new HostCopier(*table));
    const slipway_status s = table->open(host.table()->ctx, cookie, &made->copier_, err.c_error());
    if (s == SLIPWAY_OK) out = std::move(made);
    return s;
  }

  // What is not polled goes on, and the host ends it.
  ~HostCopier() {
    if (copier_ != nullptr) (void)table_.close(copier_);
  }
  HostCopier(const HostCopier&) = delete;
  HostCopier& operator=(const HostCopier&) = delete;

  slipway_status Submit(const slipway_copy* pieces, uint32_t n, uint32_t& accepted, slipway_error* error) {
    return table_.submit(copier_, pieces, sizeof(slipway_copy), n, &accepted, error);
  }
  // The number of completions put into `out`, of which there is room for `max`.
  uint32_t Poll(slipway_completion* out, uint32_t max) {
    uint32_t n = 0;
    return table_.poll(copier_, out, sizeof(slipway_completion), max, &n) == SLIPWAY_OK ? n : 0;
  }

 private:
  explicit HostCopier(const slipway_host_copy& table) : table_(table) {}

  const slipway_host_copy& table_;
  slipway_copier* copier_ = nullptr;
};

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_HOST_COPIER_HPP_

#include "core/config/conflicts.h"

#include <algorithm>
#include <set>

#include "core/base/bytes.h"
#include "core/config/listen_address.h"

namespace slipway {
namespace {

class Checker {
 public:
  Checker(const Options& options, const Overridden& overridden, ConfigErrors& errors)
      : o_(options), overridden_(overridden), errors_(errors) {}

  void Memory() {
    const StagingOptions& s = o_.memory.staging;
    if (s.bytes > 0 && s.chunk_bytes > s.bytes) {
      Add("/memory/staging/chunk_bytes", FormatSize(s.chunk_bytes),
          "at most " + Key("/memory/staging/bytes", FormatSize(s.bytes)));
    }
    if (o_.memory.budget_bytes > 0 && s.bytes > o_.memory.budget_bytes) {
      Add("/memory/staging/bytes", FormatSize(s.bytes),
          "at most " + Key("/memory/budget_bytes", FormatSize(o_.memory.budget_bytes)) +
              ", since the pool is pinned within the budget");
    } else if (o_.memory.budget_bytes > 0 && o_.memory.pin_policy == PinPolicy::kOnDemand && s.bytes > 0 &&
               o_.memory.budget_bytes - s.bytes < 2 * s.chunk_bytes) {
      Add("/memory/budget_bytes", FormatSize(o_.memory.budget_bytes),
          "at least " + FormatSize(s.bytes + 2 * s.chunk_bytes) +
              ": what is pinned on demand needs room for two slices beside the pool of " +
              Key("/memory/staging/bytes", FormatSize(s.bytes)) + "; or set /memory/pin_policy to \"off\"");
    }
    const CacheOptions& c = o_.memory.cache;
    if (!IsPowerOfTwo(c.chunk_bytes)) {
      Add("/memory/cache/chunk_bytes", FormatSize(c.chunk_bytes), "a power of two");
    }
    if (c.low_watermark_percent > c.high_watermark_percent) {
      Add("/memory/cache/low_watermark_percent", std::to_string(c.low_watermark_percent),
          "at most " + Key("/memory/cache/high_watermark_percent", std::to_string(c.high_watermark_percent)));
    }
  }

  void Transfer() {
    const TransferOptions& t = o_.transfer;
    if (t.backoff_initial_ms > t.backoff_max_ms) {
      Add("/transfer/backoff_initial_ms", std::to_string(t.backoff_initial_ms),
          "at most " + Key("/transfer/backoff_max_ms", std::to_string(t.backoff_max_ms)));
    }
    if (t.max_batch_requests > t.max_inflight_requests) {
      Add("/transfer/max_batch_requests", std::to_string(t.max_batch_requests),
          "at most " + Key("/transfer/max_inflight_requests", std::to_string(t.max_inflight_requests)) +
              ", since a batch is submitted as a whole");
    }
  }

  void Control() {
    const ControlOptions& c = o_.control;
    if (c.tls.certificate_file.empty() && !c.tls.key_file.empty()) {
      Add("/control/tls/key_file", Quoted(c.tls.key_file), "/control/tls/certificate_file beside it, or no key");
    }
    if (!c.tls.certificate_file.empty() && c.tls.key_file.empty()) {
      Add("/control/tls/certificate_file", Quoted(c.tls.certificate_file), "/control/tls/key_file beside it");
    }
    if (c.listen.empty() || !c.secret_file.empty()) return;
    const auto address = ParseListenAddress(c.listen);
    if (address && !IsLoopbackHost(address->host)) {
      Add("/control/listen", Quoted(c.listen),
          "/control/secret_file beside it, since others than this machine can reach that address; without a secret "
          "listen on 127.0.0.1, [::1] or localhost");
    }
  }

  void Store() {
    const StoreOptions& s = o_.store;
    if (s.low_watermark_percent > s.high_watermark_percent) {
      Add("/store/low_watermark_percent", std::to_string(s.low_watermark_percent),
          "at most " + Key("/store/high_watermark_percent", std::to_string(s.high_watermark_percent)));
    }
    Names(s.segments, "/store/segments");
    for (size_t i = 0; i < s.segments.size(); ++i) {
      const StoreSegmentUse& use = s.segments[i];
      const std::string pointer = PointerTo("/store/segments", i);
      if (use.bytes == 0 && use.file.empty()) Add(PointerTo(pointer, "bytes"), "0", "a length, or a file");
      if (use.transport.empty()) continue;
      if (!use.file.empty()) Add(PointerTo(pointer, "transport"), Quoted(use.transport), "no file beside it");
      const bool known = std::any_of(o_.transports.begin(), o_.transports.end(),
                                     [&](const PluginUse& plugin) { return plugin.name == use.transport; });
      if (!known) Add(PointerTo(pointer, "transport"), Quoted(use.transport), "one of /transports");
    }
    if (!s.connect.empty() && !s.segments.empty()) {
      Add("/store/segments", "segments", "none beside /store/connect: they would be of another store");
    }
  }

  template <typename Named>
  void Names(const std::vector<Named>& list, const std::string& pointer) {
    std::set<std::string> names;
    for (size_t i = 0; i < list.size(); ++i) {
      if (names.insert(list[i].name).second) continue;
      Add(PointerTo(PointerTo(pointer, i), "name"), Quoted(list[i].name), "each name once");
    }
  }

 private:
  std::string From(const std::string& pointer) const {
    const auto it = overridden_.find(pointer);
    return it == overridden_.end() ? "" : " (from the environment variable " + it->second + ")";
  }
  std::string Key(const std::string& pointer, const std::string& value) const {
    return pointer + ", which is " + value + From(pointer);
  }
  void Add(const std::string& pointer, const std::string& found, const std::string& expected) {
    errors_.Add(SLIPWAY_E_CONFIG_CONFLICT, pointer, "found " + found + From(pointer) + ", expected " + expected);
  }

  const Options& o_;
  const Overridden& overridden_;
  ConfigErrors& errors_;
};

}  // namespace

void CheckConflicts(const Options& options, const Overridden& overridden, ConfigErrors& errors) {
  Checker checker(options, overridden, errors);
  checker.Names(options.transports, "/transports");
  checker.Names(options.memory_providers, "/memory_providers");
  checker.Memory();
  checker.Transfer();
  checker.Control();
  checker.Store();
}

}  // namespace slipway

#include "tools/conform/suite.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "tools/conform/child.h"
#include "tools/conform/failure.h"
#include "tools/conform/memory.h"
#include "tools/conform/usage.h"

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

bool AnyMatches(const std::vector<std::string>& patterns, const std::string& id) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return Matches(p, id); });
}

// A seed of its own for every case, so that one alone does what it does among all.
uint64_t SeedOf(uint64_t seed, const std::string& id) {
  uint64_t hash = 0xcbf29ce484222325 ^ seed;  // FNV-1a
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return Random(hash).Next() >> 1;
}

std::string Quoted(const std::string& text) {
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") ==
      std::string::npos) {
    return text;
  }
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// What the plugin turned out to be before any case ran.
struct Preflight {
  Json description, transport, provider;  // null where it could not be had
  std::string not_loadable, no_transport, no_provider;
  bool has_transport = false, has_provider = false;
  bool no_device = false;  // the provider's device is not in this machine
};

class Run {
 public:
  Run(const SuiteOptions& options, const Progress& progress) : o_(options), progress_(progress) {}

  SuiteReport Go() {
    const uint64_t start = MonotonicNs();
    Look();
    SelectCases();
    if (o_.profile.claimed_caps || o_.profile.claimed_mem_kinds) CheckClaims();
    RunSelected();
    for (Result& r : report_.results) Judge(r);
    report_.exit_code = ExitCodeNow();
    report_.duration_ms = (MonotonicNs() - start) / 1000000;
    return std::move(report_);
  }

 private:
  static std::string Why(const Outcome& out) {
    return out.status == "fail" ? out.reason : out.status + ": " + out.reason;
  }

  void Look() {
    report_.plugin_path = o_.plugin;
    report_.plugin_sha256 = Sha256HexOfFile(o_.plugin);
    report_.profile_path = o_.profile.path;
    report_.mustpass = o_.mustpass;
    report_.limits = o_.profile.limits;
    report_.waivers = o_.profile.waivers;
    report_.seed = o_.seed;
    report_.strict = o_.strict;
    const Outcome described = RunOne(SpecFor(o_, kDescribe, 0));
    if (described.status != "pass") {
      report_.not_loadable = pre_.not_loadable = Why(described);
      return;
    }
    report_.description = described.data;
    pre_.description = Json::parse(described.data);
    pre_.has_transport = Offers("transports", o_.profile.transport);
    pre_.has_provider = Offers("providers", o_.profile.provider);
    if (!o_.profile.transport.empty() && !pre_.has_transport) {
      report_.not_loadable = pre_.not_loadable = "the plugin has no transport \"" + o_.profile.transport + "\"";
    }
    if (!o_.profile.provider.empty() && !pre_.has_provider) {
      report_.not_loadable = pre_.not_loadable = "the plugin has no memory provider \"" + o_.profile.provider + "\"";
    }
    if (!pre_.not_loadable.empty()) return;
    if (pre_.has_transport) TryTo(kTryTransport, pre_.transport, pre_.no_transport);
    if (pre_.has_provider) {
      TryTo(kTryProvider, pre_.provider, pre_.no_provider);
      pre_.no_device = pre_.no_provider.find("E_DEVICE") != std::string::npos;
    }
  }
  bool Offers(const char* list, const std::string& name) const {
    for (const Json& one : pre_.description[list]) {
      if (name.empty() || one["name"] == name) return true;
    }
    return false;
  }
  void TryTo(const char* inquiry, Json& out, std::string& why) {
    const Outcome tried = RunOne(SpecFor(o_, inquiry, 0));
    if (tried.status == "pass") {
      out = Json::parse(tried.data);
      if (inquiry == std::string(kTryTransport)) report_.attributes = tried.data;
    } else {
      why = Why(tried);
    }
  }

  void SelectCases() {
    const std::vector<std::string> must = MustPass(o_.mustpass);
    for (const Case* c : AllCases()) {
      if (!o_.include.empty() && !AnyMatches(o_.include, c->id)) continue;
      if (AnyMatches(o_.exclude, c->id)) continue;
      const bool loadable = pre_.not_loadable.empty();
      if (loadable && c->kind == Kind::kTransport && !pre_.has_transport) continue;
      if (loadable && c->kind == Kind::kProvider && !pre_.has_provider) continue;
      Result r;
      r.id = c->id;
      r.level = LevelName(c->level);
      r.what = c->what;
      r.seed = SeedOf(o_.seed, c->id);
      r.must = std::find(must.begin(), must.end(), r.id) != must.end();
      r.repro = ReproCommand(o_, c->id, o_.seed);
      Gate(*c, r);
      report_.results.push_back(r);
    }
  }

  // Gives the cases that cannot run the status that says why.
  void Gate(const Case& c, Result& r) const {
    if (c.opens_itself) return;
    if (!pre_.not_loadable.empty()) return Set(r, "skip", "the plugin cannot be used: " + pre_.not_loadable);
    if (c.kind == Kind::kTransport) {
      if (!pre_.no_transport.empty()) return Set(r, "fail", "not run, no instance can be made: " + pre_.no_transport);
      const uint64_t missing = c.caps & ~pre_.transport["caps"].get<uint64_t>();
      if (missing == 0) return;
      r.missing_cap = NameBits(CapNames(), missing);
      return Set(r, "skip", "the transport does not claim " + r.missing_cap);
    }
    if (c.kind == Kind::kProvider && !pre_.no_provider.empty()) {
      Set(r, pre_.no_device ? "skip" : "fail", "not run, no provider can be made: " + pre_.no_provider);
    }
  }
  static void Set(Result& r, const char* status, const std::string& reason) {
    r.status = status;
    r.reason = reason;
  }

  // A profile's claims are a case of their own: what the author believes must be what the plugin says.
  void CheckClaims() {
    Result r;
    r.id = "profile.claims";
    r.level = "M";
    r.what = "the capabilities that the profile claims are those of an instance";
    r.must = true;
    r.seed = o_.seed;
    r.repro = ReproCommand(o_, "profile.claims", o_.seed);
    if ((!o_.include.empty() && !AnyMatches(o_.include, r.id)) || AnyMatches(o_.exclude, r.id)) return;
    const Json& attributes = pre_.has_transport ? pre_.transport : pre_.provider;
    if (attributes.is_null()) {
      Set(r, "skip", "there is no instance to ask");
    } else {
      std::string differ;
      if (o_.profile.claimed_caps) {
        differ += Difference("caps", CapNames(), *o_.profile.claimed_caps, attributes.value("caps", uint64_t{0}));
      }
      if (o_.profile.claimed_mem_kinds) {
        differ += Difference("mem_kinds", MemKindNames(), *o_.profile.claimed_mem_kinds,
                             attributes.value("mem_kinds", uint64_t{0}));
      }
      Set(r, differ.empty() ? "pass" : "fail", differ);
    }
    report_.results.insert(report_.results.begin(), r);
  }
  static std::string Difference(const char* what, const std::vector<BitName>& names, uint64_t claimed, uint64_t real) {
    std::string text;
    if ((claimed & ~real) != 0)
      text += std::string(what) + " claimed and not offered: " + NameBits(names, claimed & ~real) + ". ";
    if ((real & ~claimed) != 0)
      text += std::string(what) + " offered and not claimed: " + NameBits(names, real & ~claimed) + ". ";
    return text;
  }

  void RunSelected() {
    std::vector<Spec> specs;
    std::vector<size_t> where;
    const uint64_t caps = pre_.transport.is_object() ? pre_.transport["caps"].get<uint64_t>() : 0;
    for (size_t i = 0; i < report_.results.size(); ++i) {
      if (!report_.results[i].status.empty()) continue;
      specs.push_back(SpecFor(o_, report_.results[i].id, caps));
      specs.back().seed = report_.results[i].seed;
      where.push_back(i);
    }
    size_t done = 0;
    RunAll(
        specs, o_.jobs, o_.profile.limits.total_timeout_ms,
        [&](size_t i) {
          if (progress_.started) progress_.started(done, specs.size(), specs[i].case_id);
        },
        [&](size_t i, const Outcome& out) {
          Result& r = report_.results[where[i]];
          r.status = out.status;
          r.reason = out.reason;
          r.stacks = out.stacks;
          r.output = out.output;
          r.signal = out.signal;
          r.duration_ms = out.duration_ms;
          ++done;
          if (progress_.ended) progress_.ended(done, specs.size(), r);
        });
  }

  // From what happened to what it means: levels, the mustpass list and waivers.
  void Judge(Result& r) const {
    if (r.status == "skip" || r.status == "error") return;
    const bool bad = r.status != "pass";
    for (const Waiver& w : o_.profile.waivers) {
      if (w.case_id != r.id) continue;
      const std::string version = pre_.description.is_object() ? pre_.description["version"].get<std::string>() : "";
      if (w.plugin_version != version) {
        r.reason += (bad ? " " : "") + std::string("[the waiver for ") + w.issue + " is of plugin version " +
                    w.plugin_version + ", this is " + version + "]";
      } else if (w.expires < o_.today) {
        r.reason += (bad ? " " : "") + std::string("[the waiver for ") + w.issue + " expired on " + w.expires + "]";
      } else {
        r.waiver = w.issue;
        if (!bad) r.reason = "passes, though a waiver (" + w.issue + ") says it fails: remove the waiver";
        r.status = bad ? "xfail" : "xpass";
        return;
      }
    }
    if (bad && (r.level == "W" || !r.must)) {
      r.reason = r.status == "fail" ? r.reason : r.status + ": " + r.reason;
      r.status = "warn";
    }
  }

  int ExitCodeNow() const {
    bool ran = false, failed = false, error = false;
    for (const Result& r : report_.results) {
      ran = ran || r.status != "skip";
      error = error || r.status == "error";
      failed = failed || r.status == "fail" || r.status == "crash" || r.status == "timeout" || r.status == "xpass" ||
               (o_.strict && r.status == "warn");
    }
    if (!pre_.not_loadable.empty()) return kNotLoadable;
    if (error) return kRunnerFailed;
    if (failed) return kCaseFailed;
    return ran ? kConforms : kNothingRan;
  }

  const SuiteOptions& o_;
  const Progress& progress_;
  Preflight pre_;
  SuiteReport report_;
};

}  // namespace

size_t SuiteReport::Count(const std::string& status) const {
  return static_cast<size_t>(
      std::count_if(results.begin(), results.end(), [&](const Result& r) { return r.status == status; }));
}

Spec SpecFor(const SuiteOptions& o, const std::string& case_id, uint64_t caps) {
  std::error_code ignored;
  Spec spec;
  spec.plugin = std::filesystem::absolute(o.plugin, ignored).string();
  spec.case_id = case_id;
  spec.profile = o.profile;
  // Providers that the profile names lie beside the plugin, where nothing else is said.
  for (auto& [kind, source] : spec.profile.memory) {
    source.plugin = (std::filesystem::path(spec.plugin).parent_path() / source.plugin).string();
  }
  spec.seed = SeedOf(o.seed, case_id);
  spec.caps = caps;
  return spec;
}

uint64_t CapsOf(const SuiteOptions& o) {
  const Outcome tried = RunOne(SpecFor(o, kTryTransport, 0));
  return tried.status == "pass" ? Json::parse(tried.data).value("caps", uint64_t{0}) : 0;
}

std::string ReproCommand(const SuiteOptions& o, const std::string& case_id, uint64_t seed) {
  std::string text = "slipway-conform run " + Quoted(o.plugin);
  if (!o.profile.path.empty()) text += " --profile " + Quoted(o.profile.path);
  return text + " --include " + case_id + " --seed " + std::to_string(seed);
}

SuiteReport RunSuite(const SuiteOptions& options, const Progress& progress) { return Run(options, progress).Go(); }

}  // namespace slipway::conform

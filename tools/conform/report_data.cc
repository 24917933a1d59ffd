// Reports for programs: JSON, JUnit and TAP.
#include <sys/resource.h>
#include <sys/utsname.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tools/conform/failure.h"
#include "tools/conform/suite.h"

namespace slipway::conform {
namespace {

using Json = nlohmann::json;

Json Machine() {
  utsname name{};
  uname(&name);
  Json limits;
  const std::pair<const char*, decltype(RLIMIT_CORE)> wanted[] = {
      {"memlock_bytes", RLIMIT_MEMLOCK}, {"open_files", RLIMIT_NOFILE}, {"address_space_bytes", RLIMIT_AS}};
  for (const auto& [key, what] : wanted) {
    rlimit limit{};
    getrlimit(what, &limit);
    if (limit.rlim_cur == RLIM_INFINITY) {
      limits[key] = "unlimited";
    } else {
      limits[key] = limit.rlim_cur;
    }
  }
  return {{"kernel", std::string(name.sysname) + " " + name.release}, {"machine", name.machine}, {"limits", limits}};
}

Json ToJson(const Result& r) {
  Json j = {{"id", r.id},         {"level", r.level}, {"status", r.status},           {"reason", r.reason},
            {"mustpass", r.must}, {"seed", r.seed},   {"duration_ms", r.duration_ms}, {"check", r.what}};
  if (r.status != "pass" && r.status != "skip") j["repro"] = r.repro;
  if (r.signal != 0) j["signal"] = r.signal;
  if (!r.stacks.empty()) j["stacks"] = r.stacks;
  if (!r.output.empty() && r.status != "pass") j["output"] = r.output;
  if (!r.waiver.empty()) j["waiver"] = r.waiver;
  if (!r.missing_cap.empty()) j["missing_cap"] = r.missing_cap;
  return j;
}

std::string Xml(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML 1.0 has no other control characters.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return out;
}

bool Bad(const SuiteReport& report, const Result& r) {
  return r.status == "fail" || r.status == "crash" || r.status == "timeout" || r.status == "xpass" ||
         (report.strict && r.status == "warn");
}

std::string OneLine(std::string text) {
  for (char& c : text) c = c == '\n' || c == '\r' ? ' ' : c;
  return text;
}

}  // namespace

std::string ToJsonText(const SuiteReport& r) {
  Json limits, waivers = Json::array(), results = Json::array(), counts = Json::object();
  for (const LimitField& f : LimitFields()) limits[f.name] = r.limits.*f.field;
  for (const Waiver& w : r.waivers) {
    waivers.push_back(
        {{"case", w.case_id}, {"issue", w.issue}, {"expires", w.expires}, {"plugin_version", w.plugin_version}});
  }
  for (const Result& one : r.results) {
    results.push_back(ToJson(one));
    counts[one.status] = counts.value(one.status, 0) + 1;
  }
  Json plugin = r.description.empty() ? Json::object() : Json::parse(r.description);
  plugin["path"] = r.plugin_path;
  plugin["sha256"] = r.plugin_sha256;
  Json j = {{"runner", {{"name", "slipway-conform"}, {"abi", "1.0"}}},
            {"plugin", plugin},
            {"profile", r.profile_path},
            {"mustpass", r.mustpass},
            {"seed", r.seed},
            {"strict", r.strict},
            {"limits", limits},
            {"host", Machine()},
            {"waivers", waivers},
            {"counts", counts},
            {"duration_ms", r.duration_ms},
            {"exit_code", r.exit_code},
            {"results", results}};
  if (!r.attributes.empty()) j["attributes"] = Json::parse(r.attributes);
  if (!r.not_loadable.empty()) j["not_loadable"] = r.not_loadable;
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ToJUnit(const SuiteReport& report) {
  std::ostringstream out;
  size_t bad = 0, skipped = 0, errors = 0;
  for (const Result& r : report.results) {
    bad += Bad(report, r);
    skipped += r.status == "skip" || r.status == "xfail";
    errors += r.status == "error";
  }
  out << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"slipway-conform "
      << Xml(report.plugin_path) << "\" tests=\"" << report.results.size() << "\" failures=\"" << bad << "\" errors=\""
      << errors << "\" skipped=\"" << skipped << "\" time=\"" << static_cast<double>(report.duration_ms) / 1000
      << "\">\n";
  for (const Result& r : report.results) {
    const size_t dot = r.id.find('.');
    out << "<testcase classname=\"" << Xml(r.id.substr(0, dot)) << "\" name=\"" << Xml(r.id) << "\" time=\""
        << static_cast<double>(r.duration_ms) / 1000 << "\">";
    if (Bad(report, r)) {
      out << "<failure type=\"" << r.status << "\" message=\"" << Xml(r.reason) << "\">" << Xml(r.repro) << "\n"
          << Xml(r.stacks) << "</failure>";
    } else if (r.status == "error") {
      out << "<error message=\"" << Xml(r.reason) << "\"/>";
    } else if (r.status == "skip" || r.status == "xfail") {
      out << "<skipped message=\"" << Xml(r.reason) << "\"/>";
    } else if (r.status == "warn") {
      out << "<system-out>warning: " << Xml(r.reason) << "</system-out>";
    }
    out << "</testcase>\n";
  }
  out << "</testsuite>\n</testsuites>\n";
  return out.str();
}

std::string ToTap(const SuiteReport& report) {
  std::ostringstream out;
  out << "TAP version 14\n1.." << report.results.size() << "\n";
  if (!report.not_loadable.empty()) out << "# not loadable: " << OneLine(report.not_loadable) << "\n";
  size_t n = 0;
  for (const Result& r : report.results) {
    const bool bad = Bad(report, r) || r.status == "error";
    out << (bad || r.status == "xfail" ? "not ok " : "ok ") << ++n << " - " << r.id;
    if (r.status == "skip") out << " # SKIP " << OneLine(r.reason);
    if (r.status == "xfail") out << " # TODO " << OneLine(r.waiver);
    out << "\n";
    if (bad || r.status == "warn") {
      out << "  ---\n  status: " << r.status << "\n  reason: " << Json(OneLine(r.reason)).dump()
          << "\n  repro: " << Json(r.repro).dump() << "\n  ...\n";
    }
  }
  return out.str();
}

bool ReadReport(const std::string& path, const std::string& case_id, ReproSource& out, std::string& error) {
  std::ifstream file(path);
  const Json j = Json::parse(file, nullptr, false);
  if (!j.is_object() || !j.contains("plugin") || !j.contains("results")) {
    error = path + " is no report of this program in JSON";
    return false;
  }
  bool found = false;
  for (const Json& r : j["results"]) found = found || r.value("id", "") == case_id;
  if (!found) {
    error = path + " has no result of " + case_id;
    return false;
  }
  out.plugin = j["plugin"].value("path", "");
  out.profile_path = j.value("profile", "");
  out.seed = j.value("seed", uint64_t{1});
  return true;
}

}  // namespace slipway::conform

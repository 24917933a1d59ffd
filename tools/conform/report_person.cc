// Reports for people: a table on a terminal, and one page for a browser.
#include <sstream>

#include "tools/conform/failure.h"
#include "tools/conform/suite.h"

namespace slipway::conform {
namespace {

bool Fine(const std::string& status) { return status == "pass" || status == "skip" || status == "xfail"; }

const char* Color(const std::string& status) {
  if (status == "pass") return "\x1b[32m";
  if (status == "skip" || status == "xfail") return "\x1b[2m";
  if (status == "warn") return "\x1b[33m";
  return "\x1b[31m";
}

std::string Indented(const std::string& text, const char* by) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out += by + line + "\n";
  return out;
}

std::string Html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

constexpr char kStyle[] = R"(
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#5c6670;--line:#d8dde2;--pass:#18794e;--bad:#b42318;--warn:#9a6700}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e9ec;--dim:#98a2ac;--line:#30363c;--pass:#4cc38a;--bad:#ff7b72;--warn:#e3b341}}
body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}
th{color:var(--dim);font-weight:600}code,pre{font:13px/1.4 ui-monospace,monospace}pre{overflow-x:auto;white-space:pre-wrap}
.s{font-weight:600;white-space:nowrap}.pass{color:var(--pass)}.skip,.xfail{color:var(--dim)}.warn{color:var(--warn)}
.fail,.crash,.timeout,.xpass,.error{color:var(--bad)}.d{color:var(--dim)}.big{font-size:1.3rem;font-weight:600}
)";

}  // namespace

std::string Verdict(const SuiteReport& r) {
  std::string text = r.exit_code == kConforms      ? "conforms"
                     : r.exit_code == kCaseFailed  ? "does not conform"
                     : r.exit_code == kNotLoadable ? "not loadable: " + r.not_loadable
                     : r.exit_code == kNothingRan  ? "nothing ran"
                                                   : "the runner failed";
  std::string counts;
  for (const char* status : {"pass", "fail", "crash", "timeout", "warn", "skip", "xfail", "xpass", "error"}) {
    const size_t n = r.Count(status);
    if (n != 0) counts += Format("%s%zu %s", counts.empty() ? "" : ", ", n, status);
  }
  return Format("%s; %s; %.1f s; seed %llu", text.c_str(), counts.empty() ? "no cases" : counts.c_str(),
                static_cast<double>(r.duration_ms) / 1000, static_cast<unsigned long long>(r.seed));
}

std::string ToTable(const SuiteReport& report, bool color) {
  std::string out;
  size_t unusable = 0;  // all for the same reason, which the last line says
  for (const Result& r : report.results) {
    if (!report.not_loadable.empty() && r.status == "skip") {
      ++unusable;
      continue;
    }
    const std::string status = color ? Color(r.status) + r.status + "\x1b[0m" : r.status;
    const int width = 8 + static_cast<int>(status.size() - r.status.size());
    out += Format("%-*s %s %-32s %6llu ms  %s\n", width, status.c_str(), r.level.c_str(), r.id.c_str(),
                  static_cast<unsigned long long>(r.duration_ms), r.what.c_str());
    if (!r.reason.empty()) out += "         " + r.reason + "\n";
    if (Fine(r.status)) continue;
    out += "         alone: " + r.repro + "\n";
    if (!r.stacks.empty()) out += Indented(r.stacks, "         | ");
    if (!r.output.empty()) out += "         it wrote:\n" + Indented(r.output, "         > ");
  }
  if (unusable != 0) out += Format("skip       %zu cases that need the plugin loaded\n", unusable);
  for (const Waiver& w : report.waivers) {
    out += "waived: " + w.case_id + " (" + w.issue + ") until " + w.expires + " for version " + w.plugin_version + "\n";
  }
  return out;
}

std::string ToHtml(const SuiteReport& report) {
  std::ostringstream out;
  out << "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\"><title>slipway-conform: "
      << Html(report.plugin_path) << "</title><style>" << kStyle
      << "</style></head><body><h1>Conformance</h1><p class=\"big " << (report.exit_code == kConforms ? "pass" : "fail")
      << "\">" << Html(Verdict(report)) << "</p><p><code>" << Html(report.plugin_path)
      << "</code><br><span class=\"d\">sha256 " << Html(report.plugin_sha256) << "</span></p>";
  if (!report.attributes.empty()) {
    out << "<details><summary>Attributes of an instance</summary><pre>" << Html(report.attributes)
        << "</pre></details>";
  }
  if (!report.waivers.empty()) {
    out << "<h2>Waivers</h2><ul>";
    for (const Waiver& w : report.waivers) {
      out << "<li>" << Html(w.case_id + ": " + w.issue + ", until " + w.expires + ", version " + w.plugin_version);
    }
    out << "</ul>";
  }
  out << "<table><thead><tr><th>status<th>level<th>case<th>ms<th>check</thead><tbody>";
  for (const Result& r : report.results) {
    out << "<tr><td class=\"s " << r.status << "\">" << r.status << "<td>" << r.level << "<td><code>" << Html(r.id)
        << "</code><td>" << r.duration_ms << "<td>" << Html(r.what);
    if (!r.reason.empty()) out << "<br><span class=\"" << r.status << "\">" << Html(r.reason) << "</span>";
    if (!Fine(r.status)) out << "<br><code>" << Html(r.repro) << "</code>";
    if (!r.stacks.empty()) out << "<details><summary>stacks</summary><pre>" << Html(r.stacks) << "</pre></details>";
    if (!r.output.empty() && r.status != "pass") {
      out << "<details><summary>output</summary><pre>" << Html(r.output) << "</pre></details>";
    }
    out << "</tr>";
  }
  out << "</tbody></table></body></html>\n";
  return out.str();
}

}  // namespace slipway::conform

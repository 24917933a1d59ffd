// The report as a page: the JSON, and what draws it (page_style.inc, page_script.inc).
#include "tools/slipway/bench/report.h"

namespace slipway::cli::bench {
namespace {

constexpr char kStyle[] =
#include "tools/slipway/bench/page_style.inc"
    ;
constexpr char kScript[] =
#include "tools/slipway/bench/page_script.inc"
    ;

// Inside a script element nothing may look like its end, or like a comment of HTML.
std::string ForScript(const std::string& json) {
  std::string text;
  for (const char c : json) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

}  // namespace

std::string ReportAsPage(const Report& report) {
  return std::string("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n") +
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
         // The browser itself keeps the page from loading anything.
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
         "script-src 'unsafe-inline'\">\n" +
         "<title>slipway bench</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n" +
         "<main id=\"page\"><noscript>This page draws its plots with the script inside it; `slipway bench --json` has "
         "the same numbers.</noscript></main>\n" +
         "<script type=\"application/json\" id=\"report\">" + ForScript(ReportAsJson(report)) + "</script>\n<script>" +
         kScript + "</script>\n</body>\n</html>\n";
}

}  // namespace slipway::cli::bench

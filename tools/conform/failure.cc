#include "tools/conform/failure.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace slipway::conform {
namespace {

// Before anything is set: a person sees it, and the process ends.
void EndOnStderr(const char* status, const std::string& reason) {
  std::fprintf(stderr, "%s: %s\n", status, reason.c_str());
  _exit(1);
}
void NoteNothing(const std::string&) {}

Sink g_sink = {EndOnStderr, NoteNothing};

std::string FormatV(const char* format, va_list args) {
  char text[2048];
  std::vsnprintf(text, sizeof(text), format, args);
  return text;
}

[[noreturn]] void End(const char* status, const std::string& reason) {
  g_sink.end(status, reason);
  _exit(1);
}

// The format attribute has been checked at the callers.
#define SLIPWAY_CONFORM_FORMAT(text)              \
  va_list args;                                   \
  va_start(args, format);                         \
  const std::string text = FormatV(format, args); \
  va_end(args)

}  // namespace

void SetSink(const Sink& sink) { g_sink = sink; }

std::string Format(const char* format, ...) {
  SLIPWAY_CONFORM_FORMAT(text);
  return text;
}
void Fail(const char* format, ...) {
  SLIPWAY_CONFORM_FORMAT(text);
  End("fail", text);
}
void Skip(const char* format, ...) {
  SLIPWAY_CONFORM_FORMAT(text);
  End("skip", text);
}
void Require(bool ok, const char* format, ...) {
  if (ok) return;
  SLIPWAY_CONFORM_FORMAT(text);
  End("fail", text);
}
void Note(const char* format, ...) {
  SLIPWAY_CONFORM_FORMAT(text);
  g_sink.note(text);
}

std::string StatusName(slipway_status status) {
  struct Name {
    slipway_status status;
    const char* name;
  };
  static constexpr Name kNames[] = {{SLIPWAY_OK, "OK"},
                                    {SLIPWAY_IN_PROGRESS, "IN_PROGRESS"},
                                    {SLIPWAY_E_INVALID, "E_INVALID"},
                                    {SLIPWAY_E_UNSUPPORTED, "E_UNSUPPORTED"},
                                    {SLIPWAY_E_AGAIN, "E_AGAIN"},
                                    {SLIPWAY_E_NOMEM, "E_NOMEM"},
                                    {SLIPWAY_E_RANGE, "E_RANGE"},
                                    {SLIPWAY_E_NOT_REGISTERED, "E_NOT_REGISTERED"},
                                    {SLIPWAY_E_CANCELED, "E_CANCELED"},
                                    {SLIPWAY_E_BUSY, "E_BUSY"},
                                    {SLIPWAY_E_CONFIG, "E_CONFIG"},
                                    {SLIPWAY_E_PIN_LIMIT, "E_PIN_LIMIT"},
                                    {SLIPWAY_E_BUFFER_TOO_SMALL, "E_BUFFER_TOO_SMALL"},
                                    {SLIPWAY_E_IO, "E_IO"},
                                    {SLIPWAY_E_PEER, "E_PEER"},
                                    {SLIPWAY_E_STALE_REMOTE, "E_STALE_REMOTE"},
                                    {SLIPWAY_E_PROTOCOL, "E_PROTOCOL"},
                                    {SLIPWAY_E_TIMEOUT, "E_TIMEOUT"},
                                    {SLIPWAY_E_ACCESS, "E_ACCESS"},
                                    {SLIPWAY_E_DEVICE, "E_DEVICE"},
                                    {SLIPWAY_E_FORKED, "E_FORKED"},
                                    {SLIPWAY_E_INTERNAL, "E_INTERNAL"}};
  for (const Name& n : kNames) {
    if (n.status == status) return Format("%s (%d)", n.name, status);
  }
  return Format("status %d, which is none of the contract's", status);
}

Report::Report() {
  std::memset(&error_, 0, sizeof(error_));
  error_.struct_size = sizeof(error_);
}

std::string Report::Say(slipway_status status) const {
  std::string text = StatusName(status);
  if (error_.message[0] != '\0') text += Format(" \"%.255s\"", error_.message);
  if (error_.where[0] != '\0') text += Format(" at \"%.63s\"", error_.where);
  if (error_.native != 0) text += Format(" (native %d)", error_.native);
  return text;
}

}  // namespace slipway::conform

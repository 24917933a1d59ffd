#include "core/base/status_name.h"

#include <cstring>

namespace slipway {
namespace {

struct Name {
  slipway_status code;
  const char* name;
};

#define SLIPWAY_NAME(x) \
  { SLIPWAY_##x, #x }
constexpr Name kNames[] = {SLIPWAY_NAME(OK),
                           SLIPWAY_NAME(IN_PROGRESS),
                           SLIPWAY_NAME(E_INVALID),
                           SLIPWAY_NAME(E_UNSUPPORTED),
                           SLIPWAY_NAME(E_AGAIN),
                           SLIPWAY_NAME(E_NOMEM),
                           SLIPWAY_NAME(E_RANGE),
                           SLIPWAY_NAME(E_NOT_REGISTERED),
                           SLIPWAY_NAME(E_CANCELED),
                           SLIPWAY_NAME(E_BUSY),
                           SLIPWAY_NAME(E_CONFIG),
                           SLIPWAY_NAME(E_PIN_LIMIT),
                           SLIPWAY_NAME(E_BUFFER_TOO_SMALL),
                           SLIPWAY_NAME(E_IO),
                           SLIPWAY_NAME(E_PEER),
                           SLIPWAY_NAME(E_STALE_REMOTE),
                           SLIPWAY_NAME(E_PROTOCOL),
                           SLIPWAY_NAME(E_TIMEOUT),
                           SLIPWAY_NAME(E_ACCESS),
                           SLIPWAY_NAME(E_DEVICE),
                           SLIPWAY_NAME(E_FORKED),
                           SLIPWAY_NAME(E_INTERNAL),
                           SLIPWAY_NAME(E_PLUGIN_NOT_FOUND),
                           SLIPWAY_NAME(E_PLUGIN_OPEN),
                           SLIPWAY_NAME(E_PLUGIN_ARCH),
                           SLIPWAY_NAME(E_PLUGIN_NO_ENTRY),
                           SLIPWAY_NAME(E_PLUGIN_ABI_NEWER),
                           SLIPWAY_NAME(E_PLUGIN_ABI_OLDER),
                           SLIPWAY_NAME(E_PLUGIN_ABI_MISMATCH),
                           SLIPWAY_NAME(E_PLUGIN_INCOMPLETE),
                           SLIPWAY_NAME(E_PLUGIN_NAME),
                           SLIPWAY_NAME(E_PLUGIN_DUPLICATE),
                           SLIPWAY_NAME(E_PLUGIN_NO_TRANSPORT),
                           SLIPWAY_NAME(E_PLUGIN_CONFIG),
                           SLIPWAY_NAME(E_CONFIG_FILE),
                           SLIPWAY_NAME(E_CONFIG_SYNTAX),
                           SLIPWAY_NAME(E_CONFIG_TYPE),
                           SLIPWAY_NAME(E_CONFIG_KEY),
                           SLIPWAY_NAME(E_CONFIG_VALUE),
                           SLIPWAY_NAME(E_CONFIG_CONFLICT),
                           SLIPWAY_NAME(E_CONFIG_ENV),
                           SLIPWAY_NAME(E_ADDRESS),
                           SLIPWAY_NAME(E_ADDRESS_IN_USE),
                           SLIPWAY_NAME(E_UNREACHABLE),
                           SLIPWAY_NAME(E_UNAUTHENTICATED),
                           SLIPWAY_NAME(E_NO_SEGMENT),
                           SLIPWAY_NAME(E_SEGMENT_EXISTS),
                           SLIPWAY_NAME(E_BAD_REPLY),
                           SLIPWAY_NAME(E_TLS),
                           SLIPWAY_NAME(E_NO_ROUTE),
                           SLIPWAY_NAME(E_STAGING_EXHAUSTED),
                           SLIPWAY_NAME(E_STAGING_NOT_CONFIGURED),
                           SLIPWAY_NAME(E_PIN_BUDGET),
                           SLIPWAY_NAME(E_NOT_DECLARED),
                           SLIPWAY_NAME(E_REGION_BUSY),
                           SLIPWAY_NAME(E_SEGMENT_RANGE),
                           SLIPWAY_NAME(E_SEGMENT_ACCESS),
                           SLIPWAY_NAME(E_TOO_LARGE),
                           SLIPWAY_NAME(E_DEADLINE),
                           SLIPWAY_NAME(E_CLOSED),
                           SLIPWAY_NAME(E_STUCK),
                           SLIPWAY_NAME(EXISTS),
                           SLIPWAY_NAME(E_EXISTS),
                           SLIPWAY_NAME(E_NOT_FOUND),
                           SLIPWAY_NAME(E_NO_SPACE),
                           SLIPWAY_NAME(E_CHECKSUM),
                           SLIPWAY_NAME(E_NOT_TENSOR),
                           SLIPWAY_NAME(E_NO_STORE)};
#undef SLIPWAY_NAME

std::string BoundedString(const char* text, size_t capacity) { return std::string(text, strnlen(text, capacity)); }

}  // namespace

const char* StatusName(slipway_status code) {
  for (const Name& entry : kNames) {
    if (entry.code == code) return entry.name;
  }
  return "E_UNKNOWN";
}

BlastRadius BlastRadiusOf(slipway_status code) {
  if (code >= 0) return BlastRadius::kNone;
  if (code > -100) return BlastRadius::kOperation;
  if (code > -200) return BlastRadius::kPeer;
  return BlastRadius::kInstance;
}

slipway_error EmptyError() {
  slipway_error error;
  std::memset(&error, 0, sizeof error);
  error.struct_size = sizeof error;
  return error;
}

Status FromPlugin(slipway_status code, const slipway_error& error, const std::string& who) {
  if (code >= 0) return {};
  std::string message = who + ": ";
  const std::string said = BoundedString(error.message, sizeof error.message);
  message += said.empty() ? std::string(StatusName(code)) : said;
  const std::string where = BoundedString(error.where, sizeof error.where);
  if (!where.empty()) message += " (at " + where + ")";
  return Status(code, std::move(message));
}

}  // namespace slipway

#include "core/control/messages.h"

#include "core/base/status_name.h"
#include "core/control/json_reader.h"

namespace slipway {
namespace {

using nlohmann::json;

constexpr uint64_t kVersion = 1;
constexpr size_t kMaxErrorBytes = 1024;
constexpr size_t kMaxOpenValues = 256 + 16 * kMaxProtocols;
constexpr size_t kMaxListValues = 256 + 16 * kMaxListedSegments;
constexpr size_t kMaxErrorValues = 256;
constexpr size_t kMaxOtherValues = 1u << 20;

// What one node may tell another. Anything else in a reply means that the peer is not what it should be.
constexpr slipway_status kPeerStatuses[] = {
    SLIPWAY_E_INVALID, SLIPWAY_E_UNSUPPORTED, SLIPWAY_E_AGAIN,          SLIPWAY_E_NOMEM,           SLIPWAY_E_BUSY,
    SLIPWAY_E_TIMEOUT, SLIPWAY_E_ACCESS,      SLIPWAY_E_INTERNAL,       SLIPWAY_E_UNAUTHENTICATED, SLIPWAY_E_NO_SEGMENT,
    SLIPWAY_E_TLS,     SLIPWAY_E_NO_ROUTE,    SLIPWAY_E_SEGMENT_ACCESS, SLIPWAY_E_TOO_LARGE,       SLIPWAY_E_DEADLINE,
    SLIPWAY_E_CLOSED,  SLIPWAY_E_NO_STORE};

std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kMaxErrorBytes));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

ProtocolRange ReadProtocol(const json& value, const JsonPlace& place, Status* status) {
  JsonObject object(value, place, SLIPWAY_E_INVALID, status);
  ProtocolRange range;
  range.name = object.String("name", kMaxProtocolNameBytes);
  range.min = static_cast<uint32_t>(object.Uint("min", UINT32_MAX));
  range.max = static_cast<uint32_t>(object.Uint("max", UINT32_MAX));
  if (object.ok() && !IsProtocolName(range.name)) object.Fail("name", "is not of the form [a-z0-9-]{1,31}");
  if (object.ok() && range.min > range.max) object.Fail("min", "is above max");
  return range;
}

OpenRequest ReadOpenRequest(const json& value, Status* status) {
  const JsonPlace root{nullptr, "", 0};
  JsonObject object(value, root, SLIPWAY_E_INVALID, status);
  OpenRequest request;
  const uint64_t version = object.Uint("version");
  if (object.ok() && version != kVersion) {
    object.Fail("version",
                "is " + std::to_string(version) + "; this node speaks version 1: upgrade the older of the two");
  }
  request.segment = object.String("segment", kMaxSegmentNameBytes);
  if (object.ok() && !IsSegmentName(request.segment))
    object.Fail("segment", "is not of the form [A-Za-z0-9._-/]{1,255}");
  const json& protocols = object.Array("protocols", kMaxProtocols);
  const JsonPlace list{&root, "protocols", 0};
  for (size_t i = 0; i < protocols.size() && status->ok(); ++i) {
    request.protocols.push_back(ReadProtocol(protocols[i], JsonPlace{&list, nullptr, i}, status));
  }
  return request;
}

SegmentSummary ReadSummary(const json& value, const JsonPlace& place, Status* status) {
  JsonObject object(value, place, SLIPWAY_E_BAD_REPLY, status);
  SegmentSummary summary;
  summary.name = object.String("name", kMaxSegmentNameBytes);
  summary.length = object.Uint("length");
  summary.readable = object.Bool("readable");
  summary.writable = object.Bool("writable");
  summary.mem_kind = object.Uint("mem_kind");
  if (object.ok() && !IsSegmentName(summary.name)) object.Fail("name", "is not of the form [A-Za-z0-9._-/]{1,255}");
  return summary;
}

}  // namespace

std::string OpenRequestToJson(const OpenRequest& request) {
  json protocols = json::array();
  for (const ProtocolRange& range : request.protocols) {
    protocols.push_back({{"name", range.name}, {"min", range.min}, {"max", range.max}});
  }
  return DumpJson({{"segment", request.segment}, {"version", kVersion}, {"protocols", std::move(protocols)}});
}

Result<OpenRequest> OpenRequestFromJson(std::string_view text) {
  try {
    Result<json> value = ParseJson(text, kMaxOpenValues, SLIPWAY_E_INVALID);
    if (!value.ok()) return Status(SLIPWAY_E_INVALID, "open request: " + value.status().message());
    Status status;
    OpenRequest request = ReadOpenRequest(*value, &status);
    if (!status.ok()) return Status(SLIPWAY_E_INVALID, "open request: " + status.message());
    return request;
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_NOMEM, std::string("open request: ") + e.what());
  }
}

std::string SegmentListToJson(const std::vector<SegmentSummary>& segments) {
  json list = json::array();
  for (const SegmentSummary& segment : segments) {
    list.push_back({{"name", segment.name},
                    {"length", segment.length},
                    {"readable", segment.readable},
                    {"writable", segment.writable},
                    {"mem_kind", segment.mem_kind}});
  }
  return DumpJson({{"version", kVersion}, {"segments", std::move(list)}});
}

Result<std::vector<SegmentSummary>> SegmentListFromJson(std::string_view text) {
  try {
    Result<json> value = ParseJson(text, kMaxListValues, SLIPWAY_E_BAD_REPLY);
    if (!value.ok()) return Status(SLIPWAY_E_BAD_REPLY, "segment list: " + value.status().message());
    Status status;
    const JsonPlace root{nullptr, "", 0};
    JsonObject object(*value, root, SLIPWAY_E_BAD_REPLY, &status);
    const uint64_t version = object.Uint("version");
    if (object.ok() && version != kVersion) object.Fail("version", "is not 1: upgrade the older of the two nodes");
    const json& list = object.Array("segments", kMaxListedSegments);
    const JsonPlace place{&root, "segments", 0};
    std::vector<SegmentSummary> segments;
    for (size_t i = 0; i < list.size() && status.ok(); ++i) {
      segments.push_back(ReadSummary(list[i], JsonPlace{&place, nullptr, i}, &status));
    }
    if (!status.ok()) return Status(SLIPWAY_E_BAD_REPLY, "segment list: " + status.message());
    return segments;
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_NOMEM, std::string("segment list: ") + e.what());
  }
}

std::string ErrorToJson(const Status& status) {
  return DumpJson({{"error", {{"status", StatusName(status.code())}, {"message", status.message()}}}});
}

Status ErrorFromJson(std::string_view text) {
  try {
    Result<json> value = ParseJson(text, kMaxErrorValues, SLIPWAY_E_BAD_REPLY);
    if (!value.ok()) return value.status();
    Status status;
    const JsonPlace root{nullptr, "", 0}, inner{&root, "error", 0};
    JsonObject object(*value, root, SLIPWAY_E_BAD_REPLY, &status);
    JsonObject error(object.Object("error"), inner, SLIPWAY_E_BAD_REPLY, &status);
    const std::string& name = error.String("status", 64);
    const std::string& message = error.String("message", 64u << 10);
    if (!status.ok()) return status;
    for (const slipway_status code : kPeerStatuses) {
      if (name == StatusName(code)) return Status(code, Printable(message));
    }
    return Status(SLIPWAY_E_BAD_REPLY, "unexpected " + Printable(name) + ": " + Printable(message));
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_NOMEM, e.what());
  }
}

bool IsBoundedJson(std::string_view text) { return ParseJson(text, kMaxOtherValues, SLIPWAY_E_BAD_REPLY).ok(); }

}  // namespace slipway

#include "core/control/descriptor.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/control/base64.h"
#include "core/control/json_reader.h"

namespace slipway {
namespace {

using nlohmann::json;

constexpr slipway_status kBad = SLIPWAY_E_BAD_REPLY;
constexpr uint64_t kVersion = 1;
constexpr size_t kMaxValues = 256 + kMaxTransports * (16 + 7 * kMaxRegistrations);

bool IsHex(std::string_view text, size_t min_bytes, size_t max_bytes) {
  return text.size() >= min_bytes && text.size() <= max_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsAlphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

ProcessIdentity ReadProcess(const json& value, const JsonPlace& place, Status* status) {
  JsonObject object(value, place, kBad, status);
  ProcessIdentity process;
  process.boot_id = object.String("boot_id", 64);
  process.pid = object.Uint("pid");
  process.start_time = object.Uint("start_time");
  process.process_nonce = object.String("process_nonce", 32);
  if (HasControlCharacter(process.boot_id)) object.Fail("boot_id", "holds a control character");
  if (!process.process_nonce.empty() && !IsHex(process.process_nonce, 32, 32)) {
    object.Fail("process_nonce", "is not 32 lower-case hex digits");
  }
  return process;
}

// `end` is where the registration before this one ended.
RegistrationOffer ReadRegistration(const json& value, const JsonPlace& place, uint64_t segment_length, uint64_t* end,
                                   Status* status) {
  JsonObject object(value, place, kBad, status);
  RegistrationOffer offer;
  offer.offset = object.Uint("offset");
  offer.length = object.Uint("length");
  offer.blob = object.Bytes("blob", kMaxBlobBytes);
  if (!object.ok()) return offer;
  if (offer.length == 0 || !Within(offer.offset, offer.length, segment_length)) {
    object.Fail("", "is empty or reaches beyond the segment's " + std::to_string(segment_length) + " bytes");
  } else if (offer.offset < *end) {
    object.Fail("", "overlaps the one before it, or they are not in order");
  } else {
    *end = offer.offset + offer.length;
  }
  return offer;
}

TransportOffer ReadTransport(const json& value, const JsonPlace& place, uint64_t segment_length, Status* status) {
  JsonObject object(value, place, kBad, status);
  TransportOffer offer;
  offer.protocol = object.String("protocol", kMaxProtocolNameBytes);
  offer.protocol_min = static_cast<uint32_t>(object.Uint("protocol_min", UINT32_MAX));
  offer.protocol_max = static_cast<uint32_t>(object.Uint("protocol_max", UINT32_MAX));
  offer.address = object.Bytes("address", kMaxAddressBytes);
  if (object.ok() && !IsProtocolName(offer.protocol)) object.Fail("protocol", "is not of the form [a-z0-9-]{1,31}");
  if (object.ok() && offer.protocol_min > offer.protocol_max) object.Fail("protocol_min", "is above protocol_max");
  const json& registrations = object.Array("registrations", kMaxRegistrations);
  if (!object.ok()) return offer;
  const JsonPlace list{&place, "registrations", 0};
  offer.registrations.reserve(registrations.size());
  uint64_t end = 0;
  for (size_t i = 0; i < registrations.size() && status->ok(); ++i) {
    const JsonPlace here{&list, nullptr, i};
    offer.registrations.push_back(ReadRegistration(registrations[i], here, segment_length, &end, status));
  }
  return offer;
}

SegmentDescriptor ReadDescriptor(const json& value, Status* status) {
  const JsonPlace root{nullptr, "", 0};
  JsonObject object(value, root, kBad, status);
  SegmentDescriptor descriptor;
  const uint64_t version = object.Uint("version");
  if (object.ok() && version != kVersion) {
    object.Fail("version",
                "is " + std::to_string(version) + "; this side reads version 1: upgrade the older of the two");
  }
  descriptor.name = object.String("name", kMaxSegmentNameBytes);
  descriptor.length = object.Uint("length");
  descriptor.readable = object.Bool("readable");
  descriptor.writable = object.Bool("writable");
  descriptor.mem_kind = object.Uint("mem_kind");
  descriptor.instance_id = object.String("instance_id", 32);
  descriptor.epoch = object.String("epoch", 32);
  descriptor.node_name = object.String("node_name", kMaxNodeNameBytes);
  if (!object.ok()) return descriptor;
  if (!IsSegmentName(descriptor.name)) object.Fail("name", "is not of the form [A-Za-z0-9._-/]{1,255}");
  if (!IsHex(descriptor.instance_id, 32, 32)) object.Fail("instance_id", "is not 32 lower-case hex digits");
  if (!IsHex(descriptor.epoch, 1, 32)) object.Fail("epoch", "is not 1 to 32 lower-case hex digits");
  if (HasControlCharacter(descriptor.node_name)) object.Fail("node_name", "holds a control character");
  descriptor.process = ReadProcess(object.Object("process"), JsonPlace{&root, "process", 0}, status);
  const json& transports = object.Array("transports", kMaxTransports);
  const JsonPlace list{&root, "transports", 0};
  for (size_t i = 0; i < transports.size() && status->ok(); ++i) {
    const JsonPlace here{&list, nullptr, i};
    descriptor.transports.push_back(ReadTransport(transports[i], here, descriptor.length, status));
  }
  return descriptor;
}

json TransportToJson(const TransportOffer& offer) {
  json registrations = json::array();
  for (const RegistrationOffer& registration : offer.registrations) {
    registrations.push_back(
        {{"offset", registration.offset}, {"length", registration.length}, {"blob", Base64Encode(registration.blob)}});
  }
  return {{"protocol", offer.protocol},
          {"protocol_min", offer.protocol_min},
          {"protocol_max", offer.protocol_max},
          {"address", Base64Encode(offer.address)},
          {"registrations", std::move(registrations)}};
}

}  // namespace

bool IsSegmentName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxSegmentNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-' || c == '/';
  });
}

bool IsProtocolName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxProtocolNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string DescriptorToJson(const SegmentDescriptor& descriptor) {
  json transports = json::array();
  for (const TransportOffer& offer : descriptor.transports) transports.push_back(TransportToJson(offer));
  const ProcessIdentity& process = descriptor.process;
  return DumpJson({{"version", kVersion},
                   {"name", descriptor.name},
                   {"length", descriptor.length},
                   {"readable", descriptor.readable},
                   {"writable", descriptor.writable},
                   {"mem_kind", descriptor.mem_kind},
                   {"instance_id", descriptor.instance_id},
                   {"epoch", descriptor.epoch},
                   {"node_name", descriptor.node_name},
                   {"process",
                    {{"boot_id", process.boot_id},
                     {"pid", process.pid},
                     {"start_time", process.start_time},
                     {"process_nonce", process.process_nonce}}},
                   {"transports", std::move(transports)}});
}

Result<SegmentDescriptor> DescriptorFromJson(std::string_view text) {
  try {
    Result<json> value = ParseJson(text, kMaxValues, kBad);
    if (!value.ok()) return Status(kBad, "segment descriptor: " + value.status().message());
    Status status;
    SegmentDescriptor descriptor = ReadDescriptor(*value, &status);
    if (!status.ok()) return Status(kBad, "segment descriptor: " + status.message());
    return descriptor;
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_NOMEM, std::string("segment descriptor: ") + e.what());
  }
}

}  // namespace slipway

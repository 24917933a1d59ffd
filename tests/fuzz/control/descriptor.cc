#include "core/control/descriptor.h"

#include <cstdlib>
#include <string_view>

#include "core/base/bytes.h"
#include "tests/fuzz/control/targets.h"

namespace slipway {
namespace {

void CheckTransport(const TransportOffer& offer, uint64_t segment_length) {
  if (!IsProtocolName(offer.protocol) || offer.protocol_min > offer.protocol_max) std::abort();
  if (offer.address.size() > kMaxAddressBytes || offer.registrations.size() > kMaxRegistrations) std::abort();
  uint64_t end = 0;
  for (const RegistrationOffer& registration : offer.registrations) {
    if (registration.length == 0 || registration.offset < end || registration.blob.size() > kMaxBlobBytes) std::abort();
    if (!Within(registration.offset, registration.length, segment_length)) std::abort();
    end = registration.offset + registration.length;
  }
}

}  // namespace

void FuzzDescriptor(const uint8_t* data, size_t size) {
  const Result<SegmentDescriptor> descriptor = DescriptorFromJson({reinterpret_cast<const char*>(data), size});
  if (!descriptor.ok()) {
    if (descriptor.status().code() != SLIPWAY_E_BAD_REPLY) std::abort();
    return;
  }
  if (!IsSegmentName(descriptor->name) || descriptor->instance_id.size() != 32 || descriptor->epoch.empty())
    std::abort();
  if (descriptor->transports.size() > kMaxTransports) std::abort();
  for (const TransportOffer& offer : descriptor->transports) CheckTransport(offer, descriptor->length);
  const Result<SegmentDescriptor> again = DescriptorFromJson(DescriptorToJson(*descriptor));
  if (!again.ok() || *again != *descriptor) std::abort();
}

}  // namespace slipway

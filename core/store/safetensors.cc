#include "core/store/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/base/bytes.h"
#include "core/store/tensor.h"

namespace slipway {
namespace {

constexpr uint64_t kLengthBytes = 8;

Status NotTensor(const std::string& what) { return Status(SLIPWAY_E_NOT_TENSOR, "the object is no tensor: " + what); }

bool IsCount(const nlohmann::json& value) { return value.is_number_unsigned(); }

Status ParseShape(const nlohmann::json& shape, slipway_tensor_info* info) {
  if (!shape.is_array() || shape.size() > SLIPWAY_TENSOR_RANK_MAX) return NotTensor("its shape is no list of extents");
  info->rank = static_cast<uint32_t>(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) {
    if (!IsCount(shape[d]) || shape[d].get<uint64_t>() > INT64_MAX) return NotTensor("its shape is no list of extents");
    info->shape[d] = shape[d].get<int64_t>();
  }
  return {};
}

// Bytes that the shape asks for.
Status ExpectedBytes(const slipway_tensor_info& info, uint64_t* bytes) {
  *bytes = FindDtype(info.dtype)->bytes;
  for (uint32_t d = 0; d < info.rank; ++d) {
    if (__builtin_mul_overflow(*bytes, static_cast<uint64_t>(info.shape[d]), bytes)) {
      return NotTensor("its size overflows");
    }
  }
  return {};
}

}  // namespace

std::string TensorHeader(const slipway_tensor& tensor, uint64_t data_bytes) {
  std::string json =
      "{\"" + std::string(kTensorName) + "\":{\"dtype\":\"" + FindDtype(tensor.dtype)->name + "\",\"shape\":[";
  for (uint32_t d = 0; d < tensor.rank; ++d) json += (d == 0 ? "" : ",") + std::to_string(tensor.shape[d]);
  json += "],\"data_offsets\":[0," + std::to_string(data_bytes) + "]}}";
  json.resize(RoundUp(kLengthBytes + json.size(), kTensorAlign) - kLengthBytes, ' ');
  std::string header;
  for (uint64_t i = 0; i < kLengthBytes; ++i) header += static_cast<char>((json.size() >> (8 * i)) & 0xff);
  return header + json;
}

Result<uint64_t> TensorHeaderBytes(std::string_view first, uint64_t object_bytes) {
  if (first.size() < kLengthBytes || object_bytes < kLengthBytes) return NotTensor("it is shorter than a header");
  uint64_t length = 0;
  for (uint64_t i = 0; i < kLengthBytes; ++i) length |= uint64_t{static_cast<unsigned char>(first[i])} << (8 * i);
  if (length > kMaxTensorHeader || length > object_bytes - kLengthBytes) return NotTensor("it has no header");
  return kLengthBytes + length;
}

Status ParseTensorHeader(std::string_view header, uint64_t object_bytes, slipway_tensor_info* info) {
  const std::string_view text = header.substr(std::min<size_t>(kLengthBytes, header.size()));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || text.empty() || text.front() != '{') return NotTensor("its header is no JSON object");
  const nlohmann::json* tensor = nullptr;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") continue;
    if (tensor != nullptr) return NotTensor("it holds more than one tensor; read it as bytes");
    tensor = &value;
  }
  if (tensor == nullptr || !tensor->is_object()) return NotTensor("it holds none");
  const auto dtype = tensor->find("dtype"), shape = tensor->find("shape"), offsets = tensor->find("data_offsets");
  if (dtype == tensor->end() || shape == tensor->end() || offsets == tensor->end() || !dtype->is_string()) {
    return NotTensor("dtype, shape or data_offsets is missing");
  }
  const DtypeInfo* const known = FindDtype(std::string_view(dtype->get_ref<const std::string&>()));
  if (known == nullptr) return NotTensor("its dtype is not known here");
  info->dtype = known->dtype;
  SLIPWAY_RETURN_IF_ERROR(ParseShape(*shape, info));
  if (!offsets->is_array() || offsets->size() != 2 || !IsCount((*offsets)[0]) || !IsCount((*offsets)[1])) {
    return NotTensor("its data_offsets are no two numbers");
  }
  const uint64_t begin = (*offsets)[0].get<uint64_t>(), end = (*offsets)[1].get<uint64_t>();
  uint64_t bytes = 0;
  SLIPWAY_RETURN_IF_ERROR(ExpectedBytes(*info, &bytes));
  if (begin != 0 || end != bytes || end != object_bytes - header.size()) {
    return NotTensor("its length is not what its shape asks for");
  }
  info->data_offset = header.size();
  info->data_length = bytes;
  return {};
}

}  // namespace slipway

// One tensor as a safetensors file: what stands before its elements, and reading that back.
#ifndef SLIPWAY_CORE_STORE_SAFETENSORS_H_
#define SLIPWAY_CORE_STORE_SAFETENSORS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/status.hpp"
#include "slipway/store.h"

namespace slipway {

inline constexpr uint64_t kTensorAlign = 64;            // the elements begin at a multiple of it
inline constexpr uint64_t kMaxTensorHeader = 1u << 20;  // longer ones are not read
inline constexpr std::string_view kTensorName = "tensor";

// The 8 bytes of length and the JSON, padded with spaces. The tensor has been checked (Layout::Of).
std::string TensorHeader(const slipway_tensor& tensor, uint64_t data_bytes);

// How long the header is, from the first 8 bytes of an object of `object_bytes`. E_NOT_TENSOR.
Result<uint64_t> TensorHeaderBytes(std::string_view first, uint64_t object_bytes);
// `header` is the whole of it, its 8 bytes of length included. E_NOT_TENSOR: no safetensors file with one tensor.
Status ParseTensorHeader(std::string_view header, uint64_t object_bytes, slipway_tensor_info* info);

}  // namespace slipway

#endif  // SLIPWAY_CORE_STORE_SAFETENSORS_H_

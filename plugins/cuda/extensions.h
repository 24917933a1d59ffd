// The optional tables that the provider offers; see slipway/sdk/memory_provider_extensions.hpp.
#ifndef SLIPWAY_PLUGINS_CUDA_EXTENSIONS_H_
#define SLIPWAY_PLUGINS_CUDA_EXTENSIONS_H_

#include <string_view>

namespace slipway::cuda {

// NULL where there is none of that name.
const void* FindExtension(std::string_view id);

}  // namespace slipway::cuda

#endif  // SLIPWAY_PLUGINS_CUDA_EXTENSIONS_H_

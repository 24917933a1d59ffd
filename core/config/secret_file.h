// The secret that nodes share.
#ifndef SLIPWAY_CORE_CONFIG_SECRET_FILE_H_
#define SLIPWAY_CORE_CONFIG_SECRET_FILE_H_

#include <cstddef>
#include <string>

#include "slipway/status.hpp"

namespace slipway {

inline constexpr size_t kMinSecretBytes = 16;
inline constexpr size_t kMaxSecretBytes = 4096;

// The bytes of the file without one newline at the end. E_CONFIG_FILE: it cannot be read, is no regular file, or others
// than its owner may use it. E_CONFIG_VALUE: it is shorter or longer than a secret may be. The message never holds any
// of the secret.
Result<std::string> ReadSecretFile(const std::string& path);

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_SECRET_FILE_H_

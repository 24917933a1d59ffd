// What the programs that tests start as a peer process share: they speak in lines of "KEY VALUE", and end at the first
// thing that goes wrong with the line "error WHY" and exit status 1.
#ifndef SLIPWAY_TESTS_SUPPORT_PEER_PROCESS_H_
#define SLIPWAY_TESTS_SUPPORT_PEER_PROCESS_H_

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "slipway/engine.h"
#include "slipway/status.hpp"

namespace slipway {

inline void Say(std::string_view key, const std::string& value) {
  std::printf("%.*s %s\n", static_cast<int>(key.size()), key.data(), value.c_str());
  std::fflush(stdout);
}

// At once, whatever other threads do.
[[noreturn]] inline void Fail(const std::string& why) {
  Say("error", why);
  std::_Exit(1);
}
inline void Must(const Status& status) {
  if (!status.ok()) Fail(std::string(slipway_status_name(status.code())) + ": " + status.message());
}
template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) Must(result.status());
  return std::move(*result);
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_PEER_PROCESS_H_

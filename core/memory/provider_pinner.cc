#include "core/memory/provider_pinner.h"

#include <chrono>
#include <thread>

namespace slipway {

void ProviderPinner::AwaitQuiet() {
  constexpr auto kLook = std::chrono::microseconds(50);
  constexpr int kLooks = 100;  // devices that always copy are held up now and then
  for (int i = 0; i < kLooks && copies_.inflight() > 0; ++i) std::this_thread::sleep_for(kLook);
}

}  // namespace slipway

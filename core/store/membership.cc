#include "core/store/membership.h"

#include "core/store/checksum.h"

namespace slipway {

size_t HomeOf(std::string_view key, const std::vector<Member>& members) {
  size_t best = 0;
  uint64_t highest = 0;
  for (size_t i = 0; i < members.size() && members.size() > 1; ++i) {
    std::string text = members[i].address;
    text += '\0';
    text += key;
    const uint64_t weight = HashBytes(text.data(), text.size());
    if (i > 0 && weight <= highest) continue;
    highest = weight;
    best = i;
  }
  return best;
}

}  // namespace slipway

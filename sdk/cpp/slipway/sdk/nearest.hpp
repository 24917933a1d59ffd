// The word that somebody probably meant.
#ifndef SLIPWAY_SDK_NEAREST_HPP_
#define SLIPWAY_SDK_NEAREST_HPP_

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::sdk {

// The number of characters to insert, delete, replace or swap with their neighbour to make one word of the other (the
// optimal string alignment variant of Damerau's distance).
inline size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

// The candidate closest to `word`; empty when none is close enough to be a slip of the finger. Words longer than 64
// bytes are not looked at, since they may come from anywhere.
template <typename Words>
std::string Nearest(std::string_view word, const Words& candidates) {
  constexpr size_t kLongest = 64;
  std::string best;
  if (word.size() > kLongest) return best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const std::string_view text(candidate);
    if (text.size() > kLongest) continue;
    if (const size_t d = EditDistance(word, text); d < best_distance) {
      best_distance = d;
      best = text;
    }
  }
  return best;
}

}  // namespace slipway::sdk

#endif  // SLIPWAY_SDK_NEAREST_HPP_

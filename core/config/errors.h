// Errors of one configuration, collected so that a person can correct all of them at once.
#ifndef SLIPWAY_CORE_CONFIG_ERRORS_H_
#define SLIPWAY_CORE_CONFIG_ERRORS_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/status.hpp"

namespace slipway {

// `text` in double quotes for a message: control characters and bytes that are not UTF-8 are escaped, and what is
// longer than `max_bytes` is cut.
std::string Quoted(std::string_view text, size_t max_bytes = 80);

// `pointer` extended by one key or index (RFC 6901), the key escaped.
std::string PointerTo(std::string_view pointer, std::string_view key);
std::string PointerTo(std::string_view pointer, size_t index);

// The candidate that a person who wrote `word` most likely meant; empty when none is near.
std::string_view Nearest(std::string_view word, std::span<const std::string_view> candidates);

// `; did you mean "x"?` for the nearest, or the list of the candidates.
std::string Suggestion(std::string_view word, std::span<const std::string_view> candidates);

// Where a value stands in the document, as its index on each level: errors are told in the order of the document.
using DocumentPosition = std::vector<size_t>;

class ConfigErrors {
 public:
  static constexpr size_t kMaxListed = 10;  // in one message
  static constexpr size_t kMaxKept = 1000;

  // `what` begins with what was found.
  void Add(slipway_status code, std::string pointer, std::string what, DocumentPosition position = {});
  bool empty() const { return total_ == 0; }

  // Calls `visit` with what was said about each error that was kept.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const Entry& entry : entries_) visit(entry.what);
  }

  // OK, or the code of the first error and a message that begins with `source` and lists the first kMaxListed.
  Status ToStatus(const std::string& source);

 private:
  struct Entry {
    slipway_status code;
    std::string pointer;
    std::string what;
    DocumentPosition position;
  };
  std::vector<Entry> entries_;
  size_t total_ = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_ERRORS_H_

#include "core/config/errors.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace slipway {
namespace {

// Bytes of the well-formed UTF-8 sequence that `text` begins with; 0: it does not begin with one (Unicode, table 3-7).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](size_t i) { return byte(i) >= 0x80 && byte(i) <= 0xbf; };
  const unsigned b0 = byte(0);
  const unsigned b1 = byte(1);
  if (b0 < 0x80) return 1;
  if (b0 >= 0xc2 && b0 <= 0xdf) return tail(1) ? 2 : 0;
  if (b0 >= 0xe0 && b0 <= 0xef) {
    const bool valid = tail(1) && !(b0 == 0xe0 && b1 < 0xa0) && !(b0 == 0xed && b1 > 0x9f);
    return valid && tail(2) ? 3 : 0;
  }
  if (b0 >= 0xf0 && b0 <= 0xf4) {
    const bool valid = tail(1) && !(b0 == 0xf0 && b1 < 0x90) && !(b0 == 0xf4 && b1 > 0x8f);
    return valid && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

std::string Printable(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= max_bytes) return out + "...";
    const size_t n = Utf8Length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    // C1 controls (U+0080..U+009F) move a terminal's cursor as well.
    const bool c1 = n == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (n == 0 || first < 0x20 || first == 0x7f || c1) {
      std::array<char, 5> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02x", first);
      out += hex.data();
      text.remove_prefix(1);
      continue;
    }
    out += text.substr(0, n);
    text.remove_prefix(n);
  }
  return out;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Edits (insert, delete, replace, swap of neighbours) between two words, case and the kind of dash ignored: optimal
// string alignment.
size_t Edits(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) { return Lower(x == '-' ? '_' : x) == Lower(y == '-' ? '_' : y); };
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1)});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

constexpr size_t kMaxWordBytes = 64;      // longer ones are no misspelling of a key
constexpr size_t kMaxPointerBytes = 256;  // of a message

}  // namespace

std::string Quoted(std::string_view text, size_t max_bytes) { return '"' + Printable(text, max_bytes) + '"'; }

std::string PointerTo(std::string_view pointer, std::string_view key) {
  std::string out(pointer);
  out += '/';
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string PointerTo(std::string_view pointer, size_t index) {
  return std::string(pointer) + "/" + std::to_string(index);
}

std::string_view Nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.empty() || word.size() > kMaxWordBytes) return {};
  std::string_view best;
  size_t fewest = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kMaxWordBytes) continue;
    if (const size_t edits = Edits(word, candidate); edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  }
  if (!best.empty()) return best;
  // A unit left away or added: "budget" for "budget_bytes".
  for (const std::string_view candidate : candidates) {
    if (word.size() >= 4 && candidate.size() > word.size() && candidate.substr(0, word.size()) == word)
      return candidate;
    if (candidate.size() >= 4 && word.size() > candidate.size() && word.substr(0, candidate.size()) == candidate) {
      return candidate;
    }
  }
  return {};
}

std::string Suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  if (const std::string_view nearest = Nearest(word, candidates); !nearest.empty()) {
    return "; did you mean " + Quoted(nearest) + "?";
  }
  if (candidates.empty()) return ", expected no keys";
  std::string out = candidates.size() == 1 ? ", expected " : ", expected one of ";
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (i > 0) out += ", ";
    if (i == 24) return out + "...";
    out += Quoted(candidates[i]);
  }
  return out;
}

void ConfigErrors::Add(slipway_status code, std::string pointer, std::string what, DocumentPosition position) {
  ++total_;
  if (entries_.size() >= kMaxKept) return;
  entries_.push_back({code, std::move(pointer), std::move(what), std::move(position)});
}

Status ConfigErrors::ToStatus(const std::string& source) {
  if (entries_.empty()) return {};
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.position < b.position; });
  const auto line = [](const Entry& e) {
    const std::string where = Printable(e.pointer, kMaxPointerBytes);
    return where.empty() ? e.what : where + ": " + e.what;
  };
  const Entry& first = entries_.front();
  if (total_ == 1) return Status(first.code, source + ": " + line(first));
  std::string message = source + ": " + std::to_string(total_) + " errors:";
  for (size_t i = 0; i < entries_.size() && i < kMaxListed; ++i) message += "\n  " + line(entries_[i]);
  if (total_ > kMaxListed) message += "\n  and " + std::to_string(total_ - kMaxListed) + " more";
  return Status(first.code, std::move(message));
}

}  // namespace slipway

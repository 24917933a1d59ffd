#include "tools/slipway/segment_spec.h"

#include "tools/slipway/output.h"

namespace slipway::cli {

Result<SegmentSpec> ParseSegmentSpec(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
    return Status(SLIPWAY_E_INVALID, "--segment " + text + ": expected NAME=SIZE or NAME=FILE, such as box=64MiB");
  SegmentSpec spec{.name = text.substr(0, equals)};
  std::string value = text.substr(equals + 1);
  const bool says_read_only = value.ends_with(":ro");
  const bool says_writable = value.ends_with(":rw");
  if (says_read_only || says_writable) value.resize(value.size() - 3);
  if (const auto bytes = ParseSize(value)) {
    if (*bytes == 0) return Status(SLIPWAY_E_INVALID, "--segment " + text + ": a segment has at least one byte");
    spec.bytes = *bytes;
    spec.writable = !says_read_only;
  } else {
    if (value.empty()) return Status(SLIPWAY_E_INVALID, "--segment " + text + ": the file's name is missing");
    spec.file = std::move(value);
    spec.writable = says_writable;
  }
  return spec;
}

}  // namespace slipway::cli

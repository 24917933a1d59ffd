#include "core/loader/discover.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace slipway {
namespace {

constexpr std::string_view kPrefix = "libslipway-";
constexpr std::string_view kSuffix = ".so";

}  // namespace

bool IsPluginName(std::string_view name) {
  constexpr size_t kLongest = 31;
  return !name.empty() && name.size() <= kLongest && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::vector<PluginFile> DiscoverPlugins(const std::vector<std::string>& path) {
  std::vector<PluginFile> found;
  for (const std::string& folder : path) {
    const size_t first = found.size();
    std::error_code ec;
    std::filesystem::directory_iterator entry(folder, ec);
    for (; !ec && entry != std::filesystem::directory_iterator(); entry.increment(ec)) {
      const std::string file = entry->path().filename().string();
      if (file.size() <= kPrefix.size() + kSuffix.size() || !file.starts_with(kPrefix) || !file.ends_with(kSuffix)) {
        continue;
      }
      std::string name = file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
      if (IsPluginName(name)) found.push_back({std::move(name), entry->path().string()});
    }
    std::sort(found.begin() + static_cast<std::ptrdiff_t>(first), found.end(),
              [](const PluginFile& a, const PluginFile& b) { return a.name < b.name; });
  }
  return found;
}

}  // namespace slipway

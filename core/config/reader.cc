#include "core/config/reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>

#include "core/config/conflicts.h"
#include "core/config/field_reader.h"
#include "core/config/json_document.h"

namespace slipway {
namespace {

// For editors: names the schema, means nothing to the engine.
constexpr std::array<std::string_view, 1> kIgnoredKeys = {"$schema"};

// {"memory": {"staging": {"bytes": value}}} for "/memory/staging/bytes". The pointers of overrides have no escapes.
Json Wrapped(std::string_view pointer, Json value) {
  while (!pointer.empty()) {
    const size_t slash = pointer.rfind('/');
    Json outer = Json::object();
    outer[std::string(pointer.substr(slash + 1))] = std::move(value);
    value = std::move(outer);
    pointer = pointer.substr(0, slash);
  }
  return value;
}

// The value that the variable gives its key; null: the key stays as it is. False: the text is nothing of that form.
bool OverrideValue(const EnvironmentOverride& entry, const std::string& text, const Options& options, Json& value) {
  value = nullptr;
  if (entry.form == OverrideForm::kOffSwitch) {
    std::string lower = text;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (lower == "0" || lower == "false") value = "off";
    return !value.is_null() || lower == "1" || lower == "true";
  }
  if (entry.form == OverrideForm::kPrepend) {
    value = Json::array();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(':', begin), text.size());
      if (end > begin) value.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    for (const std::string& folder : options.plugin_path) value.push_back(folder);
    return true;
  }
  value = text;
  return true;
}

void ApplyOverrides(const Environment& environment, Options& options, Overridden& overridden, ConfigErrors& errors) {
  // After everything in the document.
  const DocumentPosition last = {std::numeric_limits<size_t>::max()};
  for (const EnvironmentOverride& entry : EnvironmentOverrides()) {
    const std::optional<std::string> text = environment.Get(entry.name);
    if (!text || text->empty()) continue;
    const std::string who = "environment variable " + std::string(entry.name) + ", which overrides " + entry.pointer;
    Json value;
    if (!OverrideValue(entry, *text, options, value)) {
      errors.Add(SLIPWAY_E_CONFIG_ENV, "", who + ": found " + Quoted(*text) + ", expected 0, false, 1 or true", last);
      continue;
    }
    if (value.is_null()) continue;
    // Read like the key itself, so that the same rules hold and the same words are used.
    ConfigErrors own;
    FieldReader(own).Read(Wrapped(entry.pointer, std::move(value)), options);
    own.ForEach([&](const std::string& what) { errors.Add(SLIPWAY_E_CONFIG_ENV, "", who + ": " + what, last); });
    overridden[entry.pointer] = entry.name;
  }
}

Result<Options> Parse(std::string_view json, const std::string& source_name, const Environment& environment) {
  ConfigErrors errors;
  Json root;
  Options options;
  if (!ParseJson(json, root, errors)) return errors.ToStatus(source_name);
  FieldReader(errors).Read(root, options, kIgnoredKeys);
  Overridden overridden;
  ApplyOverrides(environment, options, overridden, errors);
  // A value in error was left out, so whether it goes together with others cannot be told.
  if (errors.empty()) CheckConflicts(options, overridden, errors);
  if (!errors.empty()) return errors.ToStatus(source_name);
  return options;
}

Status CannotRead(const std::string& path, int error) {
  return Status(SLIPWAY_E_CONFIG_FILE, path + ": cannot be read: " + std::strerror(error));
}

// Reads a byte more than kMaxJsonBytes at most: the parser says that this is too much.
Result<std::string> ReadText(const std::string& path) {
  if (path.find('\0') != std::string::npos) return CannotRead(path.c_str(), EINVAL);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotRead(path, errno);
  std::string text;
  std::array<char, 16384> block{};
  int error = 0;
  while (text.size() <= kMaxJsonBytes) {
    const ssize_t n = read(fd, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error = errno;
    if (n <= 0) break;
    text.append(block.data(), static_cast<size_t>(n));
  }
  close(fd);
  if (error != 0) return CannotRead(path, error);
  return text;
}

}  // namespace

Result<Options> ParseOptions(std::string_view json, const std::string& source_name, const Environment& environment) {
  try {
    return Parse(json, source_name, environment);
  } catch (const std::bad_alloc&) {
    return Status(SLIPWAY_E_NOMEM, source_name + ": out of memory while reading the configuration");
  } catch (const std::exception& e) {
    return Status(SLIPWAY_E_INTERNAL, source_name + ": " + e.what());
  }
}

Result<Options> LoadOptionsFile(const std::string& path, const Environment& environment) {
  const Result<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  return ParseOptions(*text, path, environment);
}

}  // namespace slipway

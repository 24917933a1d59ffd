#include "core/config/field_reader.h"

#include <algorithm>
#include <cmath>

#include "core/base/bytes.h"
#include "core/config/listen_address.h"
#include "core/config/text_rules.h"

namespace slipway {
namespace {

std::string NumberText(const NumberField& field, int64_t value) {
  // Round sizes are told as people write them; the others would only be longer.
  if (field.kind == NumberKind::kBytes && value >= 1024 && value % 1024 == 0) {
    return Quoted(FormatSize(static_cast<uint64_t>(value)));
  }
  return std::to_string(value);
}

std::string Expected(const NumberField& field) {
  const std::string range = " from " + NumberText(field, field.min) + " to " + NumberText(field, field.max);
  switch (field.kind) {
    case NumberKind::kBytes:
      return "a size such as 65536 or \"64KiB\"," + range;
    case NumberKind::kMilliseconds:
      return "a whole number of milliseconds" + range;
    case NumberKind::kMicroseconds:
      return "a whole number of microseconds" + range;
    case NumberKind::kPercent:
      return "a whole number of percent" + range;
    case NumberKind::kCount:
      break;
  }
  return "a whole number" + range;
}

// The number where it is a whole one that fits; 1.0 and 1e3 are, as in JSON Schema.
std::optional<int64_t> WholeNumber(const Json& value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: up to here a double holds what was written
  if (value.is_number_unsigned()) {
    const auto v = value.get<uint64_t>();
    if (v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(v);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  const double v = value.get<double>();
  if (!(std::fabs(v) <= kExact) || std::trunc(v) != v) return std::nullopt;
  return static_cast<int64_t>(v);
}

}  // namespace

FieldReader::Member::Member(FieldReader& reader, const Field& field)
    : reader_(reader), outer_pointer_bytes_(reader.pointer_.size()) {
  Frame& frame = reader.frames_.back();
  frame.known.emplace_back(field.key);
  const auto it = frame.object->find(field.key);
  if (it == frame.object->end()) return;
  value_ = &*it;
  reader.pointer_ = PointerTo(reader.pointer_, field.key);
  reader.position_.push_back(static_cast<size_t>(std::distance(frame.object->begin(), it)));
}

FieldReader::Member::~Member() {
  if (value_ == nullptr) return;
  reader_.pointer_.resize(outer_pointer_bytes_);
  reader_.position_.pop_back();
}

void FieldReader::Add(slipway_status code, const Json& found, const std::string& expected) {
  errors_.Add(code, pointer_, "found " + Found(found) + ", expected " + expected, position_);
}

bool FieldReader::ExpectObject(const Json& value) {
  if (value.is_object()) return true;
  Add(SLIPWAY_E_CONFIG_TYPE, value, "an object");
  return false;
}

void FieldReader::ReportUnknownKeys() {
  const Frame& frame = frames_.back();
  size_t index = 0;
  for (const auto& [key, value] : frame.object->items()) {
    if (std::find(frame.known.begin(), frame.known.end(), key) == frame.known.end()) {
      DocumentPosition position = position_;
      position.push_back(index);
      errors_.Add(SLIPWAY_E_CONFIG_KEY, PointerTo(pointer_, key), "found an unknown key" + Suggestion(key, frame.known),
                  std::move(position));
    }
    ++index;
  }
}

std::optional<int64_t> FieldReader::ReadNumber(const NumberField& field, const Json& value) {
  std::optional<int64_t> number;
  if (value.is_number()) {
    number = WholeNumber(value);
  } else if (field.kind == NumberKind::kBytes && value.is_string()) {
    if (const std::optional<uint64_t> size = ParseSize(value.get_ref<const std::string&>())) {
      number = static_cast<int64_t>(*size);  // ParseSize gives at most 2^63 - 1
    }
  } else {
    Add(SLIPWAY_E_CONFIG_TYPE, value, Expected(field));
    return std::nullopt;
  }
  if (!number || *number < field.min || *number > field.max) {
    Add(SLIPWAY_E_CONFIG_VALUE, value, Expected(field));
    return std::nullopt;
  }
  return number;
}

std::optional<size_t> FieldReader::ReadChoice(const std::vector<std::string_view>& names, const Json& value) {
  std::string choices;
  for (const std::string_view name : names) choices += (choices.empty() ? "" : ", ") + Quoted(name);
  if (!value.is_string()) {
    Add(SLIPWAY_E_CONFIG_TYPE, value, "one of " + choices);
    return std::nullopt;
  }
  const auto& text = value.get_ref<const std::string&>();
  const auto it = std::find(names.begin(), names.end(), text);
  if (it != names.end()) return static_cast<size_t>(it - names.begin());
  const std::string_view nearest = Nearest(text, names);
  Add(SLIPWAY_E_CONFIG_VALUE, value,
      "one of " + choices + (nearest.empty() ? "" : "; did you mean " + Quoted(nearest) + "?"));
  return std::nullopt;
}

bool FieldReader::ReadText(TextRule rule, const Json& value, std::string& member) {
  if (!value.is_string()) {
    Add(SLIPWAY_E_CONFIG_TYPE, value, ExpectedText(rule));
    return false;
  }
  const auto& text = value.get_ref<const std::string&>();
  if (!FollowsRule(rule, text)) {
    Add(SLIPWAY_E_CONFIG_VALUE, value, ExpectedText(rule));
    return false;
  }
  member = text;
  return true;
}

void FieldReader::Flag(const Field& field, bool& member) {
  const Member m(*this, field);
  if (!m) return;
  if ((*m).is_boolean()) {
    member = (*m).get<bool>();
  } else {
    Add(SLIPWAY_E_CONFIG_TYPE, *m, "true or false");
  }
}

void FieldReader::TextList(const TextListField& field, std::vector<std::string>& member) {
  const Member m(*this, field);
  if (!m) return;
  const Json& list = *m;
  const std::string expected = "an array of at most " + std::to_string(field.max_items) + " strings";
  if (!list.is_array()) return Add(SLIPWAY_E_CONFIG_TYPE, list, expected);
  if (list.size() > field.max_items) {
    return errors_.Add(SLIPWAY_E_CONFIG_VALUE, pointer_,
                       "found " + std::to_string(list.size()) + " items, expected " + expected, position_);
  }
  std::vector<std::string> texts(list.size());
  bool all = true;
  const size_t outer = pointer_.size();
  for (size_t i = 0; i < list.size(); ++i) {
    pointer_ = PointerTo(pointer_, i);
    position_.push_back(i);
    all &= ReadText(field.rule, list[i], texts[i]);
    position_.pop_back();
    pointer_.resize(outer);
  }
  if (all) member = std::move(texts);
}

void FieldReader::JsonObject(const Field& field, std::string& member) {
  const Member m(*this, field);
  if (m && ExpectObject(*m)) member = (*m).dump();
}

bool FieldReader::ExpectArray(const Json& value, size_t max_items) {
  const std::string expected = "an array of at most " + std::to_string(max_items) + " objects";
  if (!value.is_array()) {
    Add(SLIPWAY_E_CONFIG_TYPE, value, expected);
    return false;
  }
  if (value.size() <= max_items) return true;
  errors_.Add(SLIPWAY_E_CONFIG_VALUE, pointer_,
              "found " + std::to_string(value.size()) + " items, expected " + expected, position_);
  return false;
}

void FieldReader::ExpectName(const Json& value, const std::string& name) {
  if (!value.is_object() || value.contains("name")) return;
  errors_.Add(SLIPWAY_E_CONFIG_VALUE, PointerTo(pointer_, "name"), "found nothing, expected " + name, position_);
}

}  // namespace slipway

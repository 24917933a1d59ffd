// The visitor that fills Options from a JSON tree. Internal to core/config.
#ifndef SLIPWAY_CORE_CONFIG_FIELD_READER_H_
#define SLIPWAY_CORE_CONFIG_FIELD_READER_H_

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/errors.h"
#include "core/config/json_document.h"
#include "core/config/text_rules.h"
#include "slipway/options_fields.hpp"

namespace slipway {

// Visits one tree. Members whose key is absent or in error keep their value.
class FieldReader {
 public:
  explicit FieldReader(ConfigErrors& errors) : errors_(errors) {}

  // `also_allowed` are keys of the outermost object that are accepted and ignored.
  void Read(const Json& root, Options& options, std::span<const std::string_view> also_allowed = {}) {
    Object(root, options, also_allowed);
  }

  template <std::integral T>
  void Number(const NumberField& field, T& member) {
    static_assert(sizeof(T) == sizeof(int64_t), "the table's bounds are 64 bits wide");
    if (const Member m(*this, field); m) {
      if (const std::optional<int64_t> value = ReadNumber(field, *m)) member = static_cast<T>(*value);
    }
  }
  template <size_t N, typename E>
  void Choice(const ChoiceField<N>& field, E& member) {
    if (const Member m(*this, field); m) {
      const std::vector<std::string_view> names(field.names.begin(), field.names.end());
      if (const std::optional<size_t> index = ReadChoice(names, *m)) member = static_cast<E>(*index);
    }
  }
  void Text(const TextField& field, std::string& member) {
    if (const Member m(*this, field); m) ReadText(field.rule, *m, member);
  }
  void Flag(const Field& field, bool& member);
  void TextList(const TextListField& field, std::vector<std::string>& member);
  void JsonObject(const Field& field, std::string& member);
  void Plugins(const PluginsField& field, std::vector<PluginUse>& member) {
    Objects(field, field.max_items, ExpectedText(TextRule::kPluginName), member, field.role);
  }
  void Segments(const SegmentsField& field, std::vector<StoreSegmentUse>& member) {
    Objects(field, field.max_items, ExpectedText(TextRule::kEngineName), member);
  }
  template <typename S>
  void Nested(const Field& field, S& member) {
    if (const Member m(*this, field); m) Object(*m, member, {});
  }

 private:
  // One object being read.
  struct Frame {
    const Json* object;
    std::vector<std::string_view> known;  // keys that were described so far
  };

  // The value of a field in the innermost object; while it lives, the pointer and position are its.
  class Member {
   public:
    Member(FieldReader& reader, const Field& field);
    ~Member();
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    explicit operator bool() const { return value_ != nullptr; }
    const Json& operator*() const { return *value_; }

   private:
    FieldReader& reader_;
    const size_t outer_pointer_bytes_;
    const Json* value_ = nullptr;
  };

  template <typename S, typename... Role>
  void Object(const Json& value, S& options, std::span<const std::string_view> also_allowed, Role... role) {
    if (!ExpectObject(value)) return;
    frames_.push_back({&value, {also_allowed.begin(), also_allowed.end()}});
    DescribeFields(*this, options, role...);
    ReportUnknownKeys();
    frames_.pop_back();
  }
  // An array of objects that each have a name, which is what `name` says.
  template <typename S, typename... Role>
  void Objects(const Field& field, size_t max_items, const std::string& name, std::vector<S>& member, Role... role) {
    const Member m(*this, field);
    if (!m || !ExpectArray(*m, max_items)) return;
    std::vector<S> list((*m).size());
    for (size_t i = 0; i < list.size(); ++i) {
      const size_t outer = pointer_.size();
      pointer_ = PointerTo(pointer_, i);
      position_.push_back(i);
      Object((*m)[i], list[i], {}, role...);
      ExpectName((*m)[i], name);
      position_.pop_back();
      pointer_.resize(outer);
    }
    member = std::move(list);
  }
  bool ExpectArray(const Json& value, size_t max_items);
  void ExpectName(const Json& value, const std::string& name);

  bool ExpectObject(const Json& value);
  void ReportUnknownKeys();
  std::optional<int64_t> ReadNumber(const NumberField& field, const Json& value);
  std::optional<size_t> ReadChoice(const std::vector<std::string_view>& names, const Json& value);
  bool ReadText(TextRule rule, const Json& value, std::string& member);
  void Add(slipway_status code, const Json& found, const std::string& expected);

  ConfigErrors& errors_;
  std::vector<Frame> frames_;
  std::string pointer_;
  DocumentPosition position_;
};

}  // namespace slipway

#endif  // SLIPWAY_CORE_CONFIG_FIELD_READER_H_

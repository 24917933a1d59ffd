// Walks the table of keys: each is given each wrong JSON type, values out of range and a misspelling of its name.
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "slipway/options_fields.hpp"
#include "slipway/options_json.hpp"
#include "tests/config/config_fixture.h"

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Key {
  std::string pointer;
  std::set<std::string> types;     // of JSON that are not a type error
  std::vector<json> wrong_values;  // of the right type
};

// A visitor that lists every key.
class KeyLister {
 public:
  template <typename O, typename... Role>
  void Object(const std::string& pointer, const O& options, Role... role) {
    const std::string outer = pointer_;
    pointer_ = pointer;
    DescribeFields(*this, options, role...);
    pointer_ = outer;
  }
  template <typename T>
  void Number(const NumberField& field, T value) {
    EXPECT_TRUE(static_cast<int64_t>(value) >= field.min && static_cast<int64_t>(value) <= field.max)
        << At(field) << ": the default is out of range";
    Key key{At(field), {"number"}, {field.min - 1, field.max + 1, 0.5, -0.5, 1e300}};
    if (field.kind == NumberKind::kBytes) {
      key.types.insert("string");
      for (const char* text : {"", "x", "-1", "64 mib", "1e3", "9999999TiB"}) key.wrong_values.push_back(text);
    }
    keys.push_back(std::move(key));
  }
  template <size_t N, typename E>
  void Choice(const ChoiceField<N>& field, E) {
    keys.push_back({At(field), {"string"}, {"", "no such choice", std::string("\0", 1)}});
  }
  void Text(const TextField& field, const std::string&) {
    keys.push_back({At(field), {"string"}, {std::string("a\0b", 3), "a\nb", std::string(kMaxTextBytes + 1, 'a')}});
  }
  void Flag(const Field& field, bool) { keys.push_back({At(field), {"boolean"}, {}}); }
  void TextList(const TextListField& field, const std::vector<std::string>&) {
    keys.push_back({At(field), {"array"}, {}});
    keys.push_back({At(field) + "/0", {"string"}, {"", "a\nb"}});
  }
  void JsonObject(const Field& field, const std::string&) { keys.push_back({At(field), {"object"}, {}}); }
  template <typename S>
  void Nested(const Field& field, const S& options) {
    keys.push_back({At(field), {"object"}, {}});
    Object(At(field), options);
  }
  void Plugins(const PluginsField& field, const std::vector<PluginUse>& plugins) {
    keys.push_back({At(field), {"array"}, {}});
    keys.push_back({At(field) + "/0", {"object"}, {}});
    Object(At(field) + "/0", plugins.at(0), field.role);
  }
  void Segments(const SegmentsField& field, const std::vector<StoreSegmentUse>& segments) {
    keys.push_back({At(field), {"array"}, {}});
    keys.push_back({At(field) + "/0", {"object"}, {}});
    Object(At(field) + "/0", segments.at(0));
  }

  std::vector<Key> keys;
  std::map<std::string, std::string> docs;  // by pointer

 private:
  std::string At(const Field& field) {
    const std::string pointer = pointer_ + "/" + field.key;
    docs[pointer] = field.doc;
    return pointer;
  }
  std::string pointer_;
};

class EveryKeyTest : public ConfigTest {
 protected:
  EveryKeyTest() {
    full_.plugin_path = {"folder"};
    full_.transports.push_back({.name = "t"});
    full_.memory_providers.push_back({.name = "m"});
    full_.store.segments.push_back({.name = "s", .bytes = 4096});
    KeyLister lister;
    lister.Object("", full_);
    keys_ = std::move(lister.keys);
    docs_ = std::move(lister.docs);
    document_ = json::parse(OptionsToJson(full_));
  }
  std::string With(const std::string& pointer, const json& value) const {
    json document = document_;
    document.at(json::json_pointer(pointer)) = value;
    return document.dump();
  }
  const std::vector<Key>& keys() const { return keys_; }
  const std::map<std::string, std::string>& docs() const { return docs_; }
  const Options& full() const { return full_; }
  const json& document() const { return document_; }

 private:
  Options full_;
  std::vector<Key> keys_;
  std::map<std::string, std::string> docs_;
  json document_;
};

TEST_F(EveryKeyTest, TheDocumentWithAllOfThemIsRight) {
  EXPECT_GT(keys().size(), 50u);
  EXPECT_EQ(OptionsToJson(Accept(document().dump())), OptionsToJson(full()));
}

TEST_F(EveryKeyTest, RefusesEachWrongType) {
  const std::vector<json> samples = {nullptr, true, 1, "text", json::array({1}), {{"a", 1}}};
  for (const Key& key : keys()) {
    for (const json& sample : samples) {
      if (key.types.contains(sample.type_name())) continue;
      const std::string message = Refuse(With(key.pointer, sample), SLIPWAY_E_CONFIG_TYPE);
      EXPECT_THAT(message, HasSubstr("node.json: " + key.pointer + ": found "));
      EXPECT_THAT(message, HasSubstr(", expected "));
    }
  }
}

TEST_F(EveryKeyTest, RefusesEachWrongValue) {
  for (const Key& key : keys()) {
    for (const json& value : key.wrong_values) {
      EXPECT_THAT(Refuse(With(key.pointer, value), SLIPWAY_E_CONFIG_VALUE),
                  HasSubstr("node.json: " + key.pointer + ": found "))
          << value;
    }
  }
}

TEST_F(EveryKeyTest, RefusesEachMisspelling) {
  for (const Key& key : keys()) {
    const size_t slash = key.pointer.rfind('/');
    const std::string name = key.pointer.substr(slash + 1);
    if (name == "0") continue;
    json with = document();
    with.at(json::json_pointer(key.pointer.substr(0, slash)))[name + "x"] = 1;
    EXPECT_THAT(Refuse(with.dump(), SLIPWAY_E_CONFIG_KEY),
                HasSubstr(key.pointer + "x: found an unknown key; did you mean \"" + name + "\"?"));
  }
}

TEST_F(EveryKeyTest, EachHasASentence) {
  EXPECT_GT(docs().size(), 50u);
  for (const auto& [pointer, doc] : docs()) {
    EXPECT_TRUE(doc.size() > 10 && doc.back() == '.' && doc.find('|') == std::string::npos) << pointer << ": " << doc;
  }
}

}  // namespace
}  // namespace slipway

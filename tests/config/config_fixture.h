// What the tests of the configuration share.
#ifndef SLIPWAY_TESTS_CONFIG_CONFIG_FIXTURE_H_
#define SLIPWAY_TESTS_CONFIG_CONFIG_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>

#include "core/base/status_name.h"
#include "core/config/reader.h"

namespace slipway {

class ConfigTest : public ::testing::Test {
 protected:
  void SetVariable(const std::string& name, const std::string& value) { variables_[name] = value; }

  Result<Options> Parse(std::string_view json) const {
    return ParseOptions(json, "node.json", FixedEnvironment(variables_));
  }
  // The options of a text that must be right.
  Options Accept(std::string_view json) const {
    Result<Options> result = Parse(json);
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result.ok() ? *std::move(result) : Options{};
  }
  // The message of a text that must be refused with this code.
  std::string Refuse(std::string_view json, slipway_status code) const {
    const Result<Options> result = Parse(json);
    EXPECT_EQ(StatusName(result.status().code()), std::string(StatusName(code))) << json.substr(0, 200) << "\n"
                                                                                 << result.status().message();
    return result.status().message();
  }

 private:
  std::map<std::string, std::string> variables_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_CONFIG_CONFIG_FIXTURE_H_

#include "core/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>

namespace slipway {
namespace {

constexpr std::array kSpdlogLevels = {spdlog::level::err, spdlog::level::warn, spdlog::level::info,
                                      spdlog::level::debug, spdlog::level::trace};

std::string Escaped(std::string_view message) {
  std::string out;
  out.reserve(message.size());
  for (const char c : message) {
    const unsigned char u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u != 0x7f) {
      out += c;
      continue;
    }
    std::array<char, 5> hex{};
    std::snprintf(hex.data(), hex.size(), "\\x%02x", u);
    out += hex.data();
  }
  return out;
}

class SpdlogLogger final : public Logger {
 public:
  SpdlogLogger(std::shared_ptr<spdlog::logger> logger, LogLevel level) : logger_(std::move(logger)), level_(level) {
    logger_->set_level(kSpdlogLevels[static_cast<size_t>(level)]);
    logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l [%n] %v");
    logger_->flush_on(spdlog::level::warn);
  }
  LogLevel level() const override { return level_; }
  void Write(LogLevel level, std::string_view message) override {
    logger_->log(kSpdlogLevels[static_cast<size_t>(level)], Escaped(message));
  }

 private:
  const std::shared_ptr<spdlog::logger> logger_;
  const LogLevel level_;
};

}  // namespace

std::shared_ptr<Logger> MakeLogger(const std::string& name, LogLevel level, const std::string& file) {
  try {
    std::shared_ptr<spdlog::sinks::sink> sink;
    if (file.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
    }
    // Not registered with spdlog: two engines may have the same name.
    return std::make_shared<SpdlogLogger>(std::make_shared<spdlog::logger>(name, sink), level);
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace slipway

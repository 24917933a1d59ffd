// One engine's log. Every message gives a reason to act or to know; errors that are returned are not logged as well.
#ifndef SLIPWAY_CORE_BASE_LOG_H_
#define SLIPWAY_CORE_BASE_LOG_H_

#include <memory>
#include <string_view>

namespace slipway {

enum class LogLevel { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3, kTrace = 4 };  // values of slipway/abi/host.h

// Thread-safe.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual LogLevel level() const = 0;
  virtual void Write(LogLevel level, std::string_view message) = 0;

  bool Enabled(LogLevel l) const { return l <= level(); }
  void Error(std::string_view m) { WriteIf(LogLevel::kError, m); }
  void Warning(std::string_view m) { WriteIf(LogLevel::kWarning, m); }
  void Info(std::string_view m) { WriteIf(LogLevel::kInfo, m); }
  void Debug(std::string_view m) { WriteIf(LogLevel::kDebug, m); }

 private:
  void WriteIf(LogLevel l, std::string_view m) {
    if (Enabled(l)) Write(l, m);
  }
};

// To standard error, or appended to `file` where it is not empty; null when the file cannot be opened. `name` marks
// the engine in every line. Control characters in messages are escaped, since they may come from a peer.
std::shared_ptr<Logger> MakeLogger(const std::string& name, LogLevel level, const std::string& file);

}  // namespace slipway

#endif  // SLIPWAY_CORE_BASE_LOG_H_

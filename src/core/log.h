// One log line to stderr, or to whoever takes them; nothing here ever writes to stdout, which is for data.
#pragma once
#include <functional>
#include <string_view>

namespace infernum {

void log_info(std::string_view message);
void log_warning(std::string_view message);

enum class LogLevel { Info, Warning, Error };

/// While one lives, lines go to `take`, from whatever thread, instead of stderr. The last one made counts; `take` must not log.
class LogRedirection {
 public:
  explicit LogRedirection(std::function<void(LogLevel level, std::string_view message)> take);
  ~LogRedirection();
  LogRedirection(const LogRedirection&) = delete;
  LogRedirection& operator=(const LogRedirection&) = delete;
};

}  // namespace infernum

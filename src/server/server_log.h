// ServerLog: all lines of a server process, in one form: requests, the server's own messages, and those of the folders below.
#pragma once
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "core/log.h"
#include "server/access_log.h"

namespace infernum::server {

/// "info", "warning", "error". Throws, naming these, on another one.
LogLevel parse_log_level(std::string_view name);
std::string_view name_of(LogLevel level);

/// From any thread; never blocks. One at a time: it takes the lines of log_info() and log_warning(), too.
class ServerLog {
 public:
  /// `fd` stays the caller's. `content`: lines of requests have the prompts and answers that were noted.
  ServerLog(int fd, LogFormat format, LogLevel level, bool content = false);

  LogFormat format() const { return format_; }
  /// Lines below are left out. Requests are Info.
  void set_level(LogLevel level) { level_ = level; }
  /// Equal ones are cut short: ten in a minute, then the next minute's first one says how many there were.
  void message(LogLevel level, std::string_view text);
  void request(const AccessRecord& record);
  uint64_t dropped() const { return writer_.dropped(); }

 private:
  struct Repeats {
    double since = 0;  ///< seconds since 1970
    int64_t count = 0;
  };
  /// How many like it were left out before it; nothing: this one is, too.
  std::optional<int64_t> left_out(const std::string& text, double now);

  LogFormat format_;
  bool content_;
  std::atomic<LogLevel> level_;
  std::mutex mutex_;  ///< of what follows
  std::map<std::string, Repeats> repeats_;
  LineWriter writer_;
  LogRedirection redirection_;  ///< last: its lines go to the rest
};

}  // namespace infernum::server

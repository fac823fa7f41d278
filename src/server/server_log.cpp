#include "server/server_log.h"

#include "core/check.h"

namespace infernum::server {
namespace {

constexpr int64_t equal_lines = 10;
constexpr double period_seconds = 60;
constexpr size_t remembered = 256;  ///< texts may come from strangers

}  // namespace

std::string_view name_of(LogLevel level) { return level == LogLevel::Info ? "info" : level == LogLevel::Warning ? "warning" : "error"; }

LogLevel parse_log_level(std::string_view name) {
  for (const LogLevel level : {LogLevel::Info, LogLevel::Warning, LogLevel::Error})
    if (name_of(level) == name) return level;
  fail("a log level is info, warning or error, not", name);
}

ServerLog::ServerLog(int fd, LogFormat format, LogLevel level, bool content)
    : format_(format), content_(content), level_(level), writer_(fd), redirection_([this](LogLevel l, std::string_view text) {
        message(l, text);
      }) {}

std::optional<int64_t> ServerLog::left_out(const std::string& text, double now) {
  std::lock_guard lock(mutex_);
  if (repeats_.size() >= remembered && !repeats_.contains(text)) repeats_.clear();
  Repeats& r = repeats_[text];
  if (now - r.since >= period_seconds) {
    const int64_t silent = std::max<int64_t>(0, r.count - equal_lines);
    r = {now, 1};
    return silent;
  }
  if (++r.count > equal_lines) return {};
  return 0;
}

void ServerLog::message(LogLevel level, std::string_view text) {
  if (level < level_.load()) return;
  std::string line(text);
  const double now = unix_now();
  const auto before = left_out(line, now);
  if (!before) return;
  if (*before > 0) line += " (and " + std::to_string(*before) + " times more before)";
  writer_.write(message_line(name_of(level), line, format_, now));
}

void ServerLog::request(const AccessRecord& record) {
  if (level_.load() == LogLevel::Info) writer_.write(access_line(record, format_, unix_now(), content_));
}

}  // namespace infernum::server

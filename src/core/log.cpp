#include "core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>

namespace infernum {
namespace {

struct Log {
  std::shared_ptr<spdlog::logger> logger = spdlog::stderr_color_mt("infernum");
  std::mutex mutex;  ///< of what follows
  std::function<void(LogLevel, std::string_view)> taker;

  Log() { logger->set_pattern("%^%l%$: %v"); }
  void write(LogLevel level, std::string_view message) {
    {
      std::lock_guard lock(mutex);
      if (taker) return taker(level, message);
    }
    logger->log(level == LogLevel::Info ? spdlog::level::info : spdlog::level::warn, message);
  }
  void set_taker(std::function<void(LogLevel, std::string_view)> take) {
    std::lock_guard lock(mutex);
    taker = std::move(take);
  }
};

Log& log() {
  static Log instance;
  return instance;
}

}  // namespace

void log_info(std::string_view message) { log().write(LogLevel::Info, message); }
void log_warning(std::string_view message) { log().write(LogLevel::Warning, message); }

LogRedirection::LogRedirection(std::function<void(LogLevel, std::string_view)> take) { log().set_taker(std::move(take)); }
LogRedirection::~LogRedirection() { log().set_taker({}); }

}  // namespace infernum

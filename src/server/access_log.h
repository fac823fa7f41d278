// One line per answered request, and the thread that writes it, so that no slow or full disk ever holds the server up.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "server/access.h"

namespace infernum::server {

enum class LogFormat { Human, Json };

/// Neither prompts nor answers, unless `content` asks for what was noted as "prompt" and "output"; control characters are escaped, so that
/// no client writes lines of its own.
std::string access_line(const AccessRecord& record, LogFormat format, double unix_seconds, bool content = false);

/// Anything else that is to be said; `level` is "info", "warning" or "error".
std::string message_line(std::string_view level, std::string_view message, LogFormat format, double unix_seconds);

/// Writes lines to a descriptor from a thread of its own. What does not fit in its queue, or cannot be written, is dropped and counted.
class LineWriter {
 public:
  /// `fd` stays the caller's.
  explicit LineWriter(int fd, size_t queue_bytes = 4 << 20);
  /// Writes what waits, for a second at most.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  /// From any thread; never blocks.
  void write(const std::string& line);
  uint64_t dropped() const;

 private:
  void run();
  int fd_;
  size_t queue_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string queue_;
  uint64_t dropped_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

double unix_now();

}  // namespace infernum::server

#include "server/access_log.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "server/json_writer.h"

namespace infernum::server {
namespace {

/// 2026-11-21T17:15:23.042Z
std::string timestamp(double unix_seconds) {
  const auto whole = static_cast<time_t>(std::floor(unix_seconds));
  tm parts{};
  gmtime_r(&whole, &parts);
  char text[64];
  const size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>((unix_seconds - std::floor(unix_seconds)) * 1000));
  return text;
}

std::string milliseconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", seconds * 1e3);
  return text;
}

/// Within a line for people: as in JSON, without the quotes.
std::string escaped(std::string_view text) {
  std::string out;
  append_untrusted_string(out, text.substr(0, 200));
  return out.substr(1, out.size() - 2);
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 20 && text != "." && std::count(text.begin(), text.end(), '.') <= 1 && text.front() != '.' &&
         text.back() != '.' && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

/// Noted only where the operator wants prompts and answers in the log; their length is their handler's business.
constexpr std::array<std::string_view, 2> content_notes = {"prompt", "output"};

/// What routes may note. Nothing else gets into a log, whatever handlers note for others.
constexpr std::array<std::string_view, 13> known_notes = {
    "trace_id", "model",     "prompt_tokens", "cached_tokens", "completion_tokens", "queue_ms", "prefill_ms",
    "ttft_ms",  "decode_ms", "finish_reason", "preemptions",   "error_code",        "stream"};

}  // namespace

double unix_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string access_line(const AccessRecord& r, LogFormat format, double unix_seconds, bool content) {
  std::string line;
  const std::string_view route = r.route.empty() ? "-" : r.route;
  const auto each_note = [&r](auto&& take) {
    if (!r.notes) return;
    for (const auto& [name, value] : *r.notes)
      if (std::find(known_notes.begin(), known_notes.end(), name) != known_notes.end()) take(name, value);
  };
  const auto each_content = [&r, content](auto&& take) {
    for (const std::string_view name : content_notes)
      for (size_t i = 0; content && r.notes && i < r.notes->size(); i++)
        if ((*r.notes)[i].first == name) take(name, (*r.notes)[i].second);
  };
  if (format == LogFormat::Human) {
    line = timestamp(unix_seconds).substr(11, 12) + " " + std::to_string(r.status) + " " + escaped(r.method) + " " + escaped(route) + " " +
           milliseconds(r.seconds) + " ms";
    each_note([&](std::string_view name, const std::string& value) { line += " " + std::string(name) + "=" + escaped(value); });
    if (!r.key.empty()) line += " key=" + escaped(r.key);
    if (r.gone) line += " (client gone)";
    line += " " + escaped(r.id);
    each_content([&](std::string_view name, const std::string& value) {
      line += " " + std::string(name) + "=";
      append_untrusted_string(line, value);
    });
    return line + "\n";
  }
  const auto text = [&line](std::string_view name, std::string_view value) {
    line += ",\"" + std::string(name) + "\":";
    append_untrusted_string(line, value.substr(0, 500));
  };
  line = R"({"ts":")" + timestamp(unix_seconds) + R"(","level":"info","event":"request")";
  text("request_id", r.id);
  if (!r.key.empty()) text("key_id", r.key);
  text("peer", r.peer);
  text("method", r.method);
  text("route", route);
  line += ",\"status\":" + std::to_string(r.status) + ",\"total_ms\":" + milliseconds(r.seconds) +
          ",\"bytes_in\":" + std::to_string(r.bytes_in) + ",\"bytes_out\":" + std::to_string(r.bytes_out);
  if (r.streamed) line += ",\"streamed\":true";
  if (r.gone) line += ",\"client_gone\":true";
  each_note([&](std::string_view name, const std::string& value) {
    if (is_number(value))
      line += ",\"" + std::string(name) + "\":" + value;
    else
      text(name, value);
  });
  each_content([&](std::string_view name, const std::string& value) {
    line += ",\"" + std::string(name) + "\":";
    append_untrusted_string(line, value);
  });
  return line + "}\n";
}

std::string message_line(std::string_view level, std::string_view message, LogFormat format, double unix_seconds) {
  std::string line;
  if (format == LogFormat::Human) return std::string(level) + ": " + escaped(message.substr(0, 2000)) + "\n";
  line = R"({"ts":")" + timestamp(unix_seconds) + R"(","level":)";
  append_untrusted_string(line, level);
  line += ",\"message\":";
  append_untrusted_string(line, message);
  return line + "}\n";
}

LineWriter::LineWriter(int fd, size_t queue_bytes) : fd_(fd), queue_bytes_(queue_bytes) {
  // Signals are for others: the thread takes over the mask that is set while it is made.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LineWriter::~LineWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LineWriter::write(const std::string& line) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + line.size() > queue_bytes_) {
      dropped_++;
      return;
    }
    wake = queue_.empty();
    queue_ += line;
  }
  if (wake) wake_.notify_one();
}

uint64_t LineWriter::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void LineWriter::run() {
  std::string batch;
  auto end = std::chrono::steady_clock::time_point::max();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      if (stopping_ && end == std::chrono::steady_clock::time_point::max())
        end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      batch.swap(queue_);
      queue_.clear();
    }
    for (std::string_view rest = batch; !rest.empty();) {
      pollfd ready{fd_, POLLOUT, 0};
      const int polled = poll(&ready, 1, 100);
      const ssize_t n = polled > 0 ? ::write(fd_, rest.data(), std::min<size_t>(rest.size(), 4096)) : -1;
      if (n > 0) {
        rest.remove_prefix(static_cast<size_t>(n));
        continue;
      }
      const std::lock_guard lock(mutex_);
      if (stopping_ && end == std::chrono::steady_clock::time_point::max())
        end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      const bool blocked = polled == 0 || (polled > 0 && (errno == EAGAIN || errno == EINTR));
      if (blocked && std::chrono::steady_clock::now() < end) continue;
      dropped_ += static_cast<uint64_t>(std::count(rest.begin(), rest.end(), '\n'));
      break;
    }
    batch.clear();
  }
}

}  // namespace infernum::server

// TraceRecorder: writes what an engine does to a file of Chrome's trace event format, which Perfetto and chrome://tracing open. Streamed,
// so its memory is bounded; a file that cannot be written ends the trace with a warning and nothing else.
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "core/device.h"
#include "runtime/engine.h"

namespace infernum {

/// Used by the engine's thread alone.
class TraceRecorder {
 public:
  /// Throws, naming the file, if it cannot be opened. Writes at most `most_bytes`.
  explicit TraceRecorder(const std::string& path, int64_t most_bytes = int64_t{4} << 30);
  ~TraceRecorder();
  TraceRecorder(const TraceRecorder&) = delete;
  TraceRecorder& operator=(const TraceRecorder&) = delete;

  /// A step that computed from `start` to `computed` and sampled to `end`.
  void step(SteadyTime start, SteadyTime computed, SteadyTime end, int64_t sequences, int64_t tokens);
  /// The spans of a request that has ended.
  void request(RequestId id, SteadyTime submitted, SteadyTime started, SteadyTime first_token, SteadyTime end, const RequestBill& bill);
  /// On the lane of the processor it ran on: "ops" for the host, "GPU 0", "GPU 1" ...
  void op(const OpTime& op);

  bool writing() const { return file_ != nullptr; }

 private:
  void span(int thread, std::string_view name, SteadyTime start, SteadyTime end, const std::string& arguments = {});
  void edge(char phase, std::string_view name, RequestId id, SteadyTime at, const std::string& arguments = {});
  void name_lane(int thread, std::string_view name);
  void write(const std::string& event);
  double microseconds(SteadyTime at) const;

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::string path_;
  int64_t bytes_left_;
  SteadyTime start_;
  std::set<int> gpus_;  ///< those whose lane has a name
};

}  // namespace infernum

// SseReader: server-sent events from pieces of any size, in time linear in their bytes (WHATWG HTML, 9.2.6).
#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace infernum::load {

class SseReader {
 public:
  using Sink = std::function<void(std::string_view data)>;
  /// Calls `sink` with the data of each event that `bytes` completes. Comments and other fields are passed over. Throws Error if one event
  /// is larger than 16 MiB.
  void feed(std::string_view bytes, const Sink& sink);
  /// Bytes of an event that never ended are left.
  bool inside() const { return !line_.empty() || has_data_; }
  void reset() { *this = SseReader(); }

 private:
  void take(std::string_view line, const Sink& sink);
  std::string line_, data_;
  bool has_data_ = false, after_return_ = false;
};

}  // namespace infernum::load

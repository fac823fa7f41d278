// StopMatcher: finds stop strings in a stream of text, wherever the pieces are cut.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace infernum {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Text that certainly comes before any stop string. Holds back what could be the beginning of one.
  std::string push(std::string_view text);
  /// True once a stop string was seen; nothing more comes out then.
  bool stopped() const { return stopped_; }
  /// What was held back when the stream ends without a stop.
  std::string finish() { return stopped_ ? std::string() : std::move(held_); }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace infernum

#include "runtime/stop_matcher.h"

#include <algorithm>

namespace infernum {

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t found = std::string::npos;
  for (const auto& stop : stops_)
    if (!stop.empty()) found = std::min(found, held_.find(stop));
  size_t keep = 0;  // longest suffix that begins a stop string
  if (found != std::string::npos) {
    stopped_ = true;
  } else {
    for (const auto& stop : stops_)
      for (size_t n = std::min(stop.size() - !stop.empty(), held_.size()); n > keep; n--)
        if (std::string_view(held_).substr(held_.size() - n) == std::string_view(stop).substr(0, n)) keep = n;
    found = held_.size() - keep;
  }
  std::string out = held_.substr(0, found);
  held_.erase(0, stopped_ ? held_.size() : found);
  return out;
}

}  // namespace infernum

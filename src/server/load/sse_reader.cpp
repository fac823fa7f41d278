#include "server/load/sse_reader.h"

#include "core/check.h"

namespace infernum::load {
namespace {
constexpr size_t most_event_bytes = 16 << 20;
}

void SseReader::take(std::string_view line, const Sink& sink) {
  if (line.empty()) {
    if (has_data_) sink(data_);
    data_.clear();
    has_data_ = false;
    return;
  }
  if (line.substr(0, 4) != "data" || (line.size() > 4 && line[4] != ':')) return;
  line.remove_prefix(std::min<size_t>(line.size(), 5));
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += line;
  has_data_ = true;
  check(data_.size() <= most_event_bytes, "event stream: an event is larger than", most_event_bytes, "bytes");
}

void SseReader::feed(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    if (after_return_ && bytes.front() == '\n') bytes.remove_prefix(1);  // of a \r\n cut in two
    after_return_ = false;
    const size_t end = bytes.find_first_of("\r\n");
    if (end == std::string_view::npos) {
      line_ += bytes;
      check(line_.size() <= most_event_bytes, "event stream: an event is larger than", most_event_bytes, "bytes");
      return;
    }
    if (line_.empty()) {
      take(bytes.substr(0, end), sink);
    } else {
      line_ += bytes.substr(0, end);
      take(line_, sink);
      line_.clear();
    }
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
  }
}

}  // namespace infernum::load

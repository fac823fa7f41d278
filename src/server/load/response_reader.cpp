#include "server/load/response_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "core/check.h"

namespace infernum::load {
namespace {

constexpr size_t most_head_bytes = 64 << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// A whole non-negative number, or -1.
int64_t number(std::string_view text, int base) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : -1;
}

}  // namespace

/// Moves bytes into line_ up to the end of a line; true if it is complete, without its end.
bool ResponseReader::take_line(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  line_.append(bytes.substr(0, end));
  head_bytes_ += std::min(end, bytes.size());
  check(head_bytes_ <= most_head_bytes, "response: headers or trailers are larger than", most_head_bytes, "bytes");
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  if (end == std::string_view::npos) return false;
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  return true;
}

void ResponseReader::head_line(std::string_view line) {
  if (status == 0) {
    check(line.size() >= 12 && line.substr(0, 7) == "HTTP/1." && line[8] == ' ', "response: no status line of HTTP/1:", line.substr(0, 40));
    status = static_cast<int>(number(line.substr(9, 3), 10));
    check(status >= 100, "response: no status in", line.substr(0, 40));
    keep_alive = line[7] != '0';
    return;
  }
  const size_t colon = line.find(':');
  check(colon != std::string_view::npos, "response: a header without a colon:", line.substr(0, 40));
  const std::string name = lower(line.substr(0, colon)), value = lower(trimmed(line.substr(colon + 1)));
  if (name == "content-length") {
    left_ = number(value, 10);
    check(left_ >= 0, "response: content-length is no number:", value.substr(0, 40));
  } else if (name == "transfer-encoding") {
    check(value == "chunked", "response: transfer-encoding is not chunked but", value.substr(0, 40));
    chunked_ = true;
  } else if (name == "connection") {
    keep_alive = value == "close" ? false : value == "keep-alive" ? true : keep_alive;
  } else if (name == "content-type") {
    event_stream = value.rfind("text/event-stream", 0) == 0;
  }
}

void ResponseReader::begin_body() {
  if (status < 200) {  // 100 Continue and the like: the response is still to come
    status = 0;
    left_ = -1;
    return;
  }
  if (status == 204 || status == 304) left_ = 0, chunked_ = false;
  if (!chunked_ && left_ < 0) keep_alive = false;
  state_ = chunked_ ? State::ChunkSize : left_ == 0 ? State::Done : left_ > 0 ? State::Sized : State::UntilClose;
}

void ResponseReader::chunk_size(std::string_view line) {
  left_ = number(trimmed(line.substr(0, line.find(';'))), 16);
  check(left_ >= 0, "response: a chunk without a size:", line.substr(0, 40));
  state_ = left_ == 0 ? State::Trailer : State::ChunkData;
}

size_t ResponseReader::feed(std::string_view bytes, const Sink& sink) {
  const size_t size = bytes.size();
  while (!bytes.empty() && state_ != State::Done) {
    if (state_ == State::UntilClose) {
      sink(bytes);
      bytes = {};
    } else if (state_ == State::Sized || state_ == State::ChunkData) {
      const size_t n = static_cast<size_t>(std::min<int64_t>(left_, static_cast<int64_t>(bytes.size())));
      sink(bytes.substr(0, n));
      bytes.remove_prefix(n);
      left_ -= static_cast<int64_t>(n);
      if (left_ == 0) state_ = state_ == State::Sized ? State::Done : State::ChunkEnd;
    } else if (take_line(bytes)) {
      const std::string line = std::move(line_);
      line_.clear();
      switch (state_) {
        case State::ChunkEnd:
          check(line.empty(), "response: a chunk is longer than its size");
          state_ = State::ChunkSize;
          head_bytes_ = 0;
          break;
        case State::ChunkSize: chunk_size(line); break;
        case State::Trailer:
          if (line.empty()) state_ = State::Done;
          break;
        default:
          if (!line.empty())
            head_line(line);
          else if (status != 0)
            begin_body();
      }
    }
  }
  return size - bytes.size();
}

bool ResponseReader::closed() {
  if (state_ == State::UntilClose) state_ = State::Done;
  return state_ == State::Done;
}

}  // namespace infernum::load

// ResponseReader: one HTTP/1.1 response from pieces of any size, in time linear in its bytes.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace infernum::load {

class ResponseReader {
 public:
  using Sink = std::function<void(std::string_view piece)>;
  /// Takes the bytes that belong to the response, hands those of the body to `sink`; returns how many it took. Throws Error on what is no
  /// HTTP.
  size_t feed(std::string_view bytes, const Sink& sink);
  /// The connection was closed; true if that is how this response ends.
  bool closed();
  bool head_done() const { return state_ != State::Head; }
  bool done() const { return state_ == State::Done; }
  void reset() { *this = ResponseReader(); }

  int status = 0;
  bool keep_alive = true;
  bool event_stream = false;  ///< by its content type

 private:
  enum class State { Head, Sized, UntilClose, ChunkSize, ChunkData, ChunkEnd, Trailer, Done };
  bool take_line(std::string_view& bytes);
  void head_line(std::string_view line);
  void begin_body();
  void chunk_size(std::string_view line);
  State state_ = State::Head;
  std::string line_;
  size_t head_bytes_ = 0;
  int64_t left_ = -1;  // of a sized body or a chunk; -1: unknown
  bool chunked_ = false;
};

}  // namespace infernum::load

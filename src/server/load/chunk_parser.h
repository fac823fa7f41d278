// ChunkParser: what an answer of the OpenAI API, or a chunk of its stream, tells a load client.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace infernum::load {

struct Chunk {
  bool content = false;   ///< text, reasoning or a tool call
  bool choices = false;   ///< any at all
  bool finished = false;  ///< a finish_reason, or [DONE]
  std::optional<int64_t> prompt_tokens, output_tokens;
  std::optional<std::string> error;  ///< its message
};

class ChunkParser {
 public:
  ChunkParser();
  ~ChunkParser();
  /// `data` of one event, or a whole body. Throws Error on what is no JSON object.
  Chunk parse(std::string_view data);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace infernum::load

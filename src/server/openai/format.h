// Format: the JSON of responses and of stream chunks, for both endpoints.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/openai/choice_text.h"
#include "server/openai/plan.h"
#include "server/openai/usage.h"

namespace infernum::server::openai {

/// A finished choice of a response that is not streamed.
struct FinishedChoice {
  size_t index = 0;
  const TokenIds* prompt = nullptr;
  std::string_view text;  ///< with the echo
  const std::vector<PlacedToken>* tokens = nullptr;
  const std::vector<ScoredToken>* prompt_scores = nullptr;
  const TokenIds* ids = nullptr;
  size_t character = 0;  ///< characters of the echo: where its tokens' offsets begin
  std::string_view finish_reason;
  std::string_view stop_reason = "null";  ///< JSON
};

/// One event of a stream about one choice.
struct ChunkPart {
  size_t index = 0;
  std::string_view text;  ///< of the choice's echo or tokens
  const std::vector<PlacedToken>* tokens = nullptr;
  const std::vector<ScoredToken>* prompt_scores = nullptr;  ///< of an echo
  const TokenIds* ids = nullptr;
  const TokenIds* prompt = nullptr;  ///< in the choice's first chunk with text, or a chat's first, if ids are wanted
  size_t character = 0;              ///< characters of the choice's echo: where its tokens' offsets begin
  std::string_view finish_reason;    ///< empty: not finished
  std::string_view stop_reason = "null";
};

class Format {
 public:
  /// `plan` and `tokenizer` outlive this.
  Format(const Plan& plan, const ServedModel& model, std::string id, int64_t created);

  /// Chat: says who speaks. The first event of each choice.
  void role_chunk(std::string& out, const ChunkPart& part, const Usage& usage) const;
  /// Text, with logprobs and ids as asked. A chat's finish_reason comes in a chunk of its own.
  void chunk(std::string& out, const ChunkPart& part, const Usage& usage) const;
  void finish_chunk(std::string& out, const ChunkPart& part, const Usage& usage, const Timings* timings) const;
  void usage_chunk(std::string& out, const Usage& usage, const Timings* timings) const;

  std::string body(const std::vector<FinishedChoice>& choices, const Usage& usage, const Timings* timings) const;
  const std::string& id() const { return id_; }

 private:
  void begin_choice(std::string& out, size_t index) const;
  void end_chunk(std::string& out, const Usage& usage, const Timings* timings) const;
  void write_text(std::string& out, const ChunkPart& part) const;
  void write_extras(std::string& out, const ChunkPart& part) const;
  void write_choice(std::string& out, const FinishedChoice& choice) const;
  void write_chat_logprobs(std::string& out, const std::vector<PlacedToken>* tokens) const;
  void write_text_logprobs(std::string& out, const std::vector<ScoredToken>* prompt, const std::vector<PlacedToken>* tokens,
                           size_t character) const;
  void write_prompt_logprobs(std::string& out, const std::vector<ScoredToken>& prompt) const;

  const Plan& plan_;
  Tokenizer tokenizer_;
  std::string id_;
  std::string head_;   ///< of a chunk, up to the index of its choice
  std::string fixed_;  ///< created, model and fingerprint, as members
};

void write_usage(std::string& out, const Usage& usage);
void write_timings(std::string& out, const Timings& timings);

}  // namespace infernum::server::openai

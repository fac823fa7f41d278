// Generator: runs requests to their ends on the caller's thread and joins their tokens to text: EngineCore without an engine's thread.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/model.h"
#include "runtime/token_choice.h"
#include "text/tokenizer.h"

namespace infernum {

struct GenerationRequest {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  int64_t max_tokens = 0;         ///< 0: until the context is full
  std::vector<int32_t> stop_ids;  ///< end of generation; not part of the text
  std::vector<std::string> stop;  ///< strings that end the text before them
  int top_logprobs = -1;          ///< alternatives per token; 0: the token's own logprob alone; -1: none
};

enum class FinishReason { Running, Stop, Length, Cancelled };

struct Generation {
  std::vector<ScoredToken> tokens;
  std::string text;
  FinishReason finish = FinishReason::Running;
  int64_t cached_tokens = 0;  ///< of the prompt, from an earlier turn
  double first_token_seconds = 0, total_seconds = 0;
};

struct GeneratorOptions {
  int64_t prefill_chunk = 512;  ///< most tokens per step
  int64_t cache_tokens = 0;     ///< of all sequences; 0: the model's context for each
  int64_t max_sequences = 1;    ///< that run together; more requests wait their turn
};

class Generator {
 public:
  Generator(Model& model, Tokenizer tokenizer, GeneratorOptions options = {});
  ~Generator();

  /// Called with each new piece of text of request `index`; return false to cancel that request.
  using OnText = std::function<bool(size_t index, const std::string& text)>;
  /// Runs all requests to their ends; what a prompt shares with an earlier sequence that is still cached is not computed again. Throws
  /// before anything runs if one cannot (too long, bad parameters), and what went wrong if one failed: NotFinite, OutOfMemory, DeviceLost,
  /// or Error.
  std::vector<Generation> run(const std::vector<GenerationRequest>& requests, const OnText& on_text = {});

  int64_t cache_bytes() const;

 private:
  struct Engine;
  class Running;
  Tokenizer tokenizer_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace infernum

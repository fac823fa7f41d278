// Generator: runs a set of requests to their ends on one model, together in ragged batches. Requests that arrive later are a scheduler's
// matter.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"
#include "runtime/executor.h"
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
  int64_t prefill_chunk = 512;  ///< most tokens of a prompt per step
  int64_t cache_tokens = 0;     ///< 0: the model's context
  int64_t max_sequences = 1;
};

class Generator {
 public:
  Generator(Model& model, Tokenizer tokenizer, GeneratorOptions options = {});
  ~Generator();

  /// Called with each new piece of text of request `index`; return false to cancel that request.
  using OnText = std::function<bool(size_t index, const std::string& text)>;
  /// Runs all requests to their ends. Throws before anything runs if one cannot (too long, bad parameters).
  std::vector<Generation> run(const std::vector<GenerationRequest>& requests, const OnText& on_text = {});

  /// The same for one request, keeping its cache: what the prompt shares with the sequence before is not computed again.
  Generation continue_with(const GenerationRequest& request, const OnText& on_text = {});

  int64_t cache_bytes() const { return pools_.bytes(); }

 private:
  class Running;
  void check_request(const GenerationRequest& request) const;
  void step(std::vector<Running>& running, const OnText& on_text);

  Model& model_;
  Tokenizer tokenizer_;
  GeneratorOptions options_;
  CachePools pools_;
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

}  // namespace infernum

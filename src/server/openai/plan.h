// Plan: a request with everything filled in and its prompts tokenized, ready for the engine. Made on a worker or on the I/O thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "server/openai/asked.h"
#include "server/openai/served_model.h"

namespace infernum::server::openai {

enum class Shape { Chat, Completion };

struct PlanLimits {
  int64_t n = 16;             ///< choices per prompt
  int64_t top_logprobs = 20;  ///< alternatives per token
  int64_t logprob_values = 50'000'000;
  int64_t context = 0;  ///< longest sequence
  int64_t vocab_size = 0;
  bool any_model = false;           ///< unknown names mean the default model
  bool allow_priority = false;      ///< priority may differ from 0
  bool processed_logprobs = false;  ///< of the distribution that tokens are drawn from
};

struct Plan {
  Shape shape = Shape::Chat;
  std::string model;  ///< as asked for
  std::vector<TokenIds> prompts;
  std::vector<std::string> echoes;  ///< per prompt, what comes before the generated text; empty without echo
  EngineRequest request;            ///< for all choices, but for prompt and seed
  std::vector<uint64_t> seeds;      ///< per choice of a prompt
  int64_t n = 1;
  std::vector<std::string> stop;
  std::vector<int32_t> named_stop_ids;  ///< reported as stop_reason; the model's own ends are not
  bool include_stop = false, skip_special = true, echo = false;
  bool stream = false, include_usage = false, continuous_usage = false;
  int logprobs = -1;         ///< alternatives per generated token (and echoed one); -1: none
  int prompt_logprobs = -1;  ///< the same of the prompt, in its own field
  bool return_ids = false, tokens_as_ids = false, timings = false;
  std::string request_id;
  std::vector<std::string> without_effect, unknown;

  size_t choices() const { return prompts.size() * static_cast<size_t>(n); }
};

/// `seed` is for requests that bring none. Throws ApiError.
Plan make_plan(Asked asked, Shape shape, const ServedModel& model, const PlanLimits& limits, uint64_t seed);
/// Throws ApiError 404 model_not_found.
void check_model(const Asked& asked, const ServedModel& model, bool any_model);
/// Ids of a text or a conversation as /tokenize and the plan see it. Throws ApiError.
TokenIds tokenize_text(const ServedModel& model, const std::string& text, bool add_special);
std::vector<Span> render_chat(const Asked& asked, const ServedModel& model);
TokenIds tokenize_chat(const Asked& asked, const ServedModel& model);

}  // namespace infernum::server::openai

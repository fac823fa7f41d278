// Asked: what a request body says, typed and in range, before anything is filled in.
#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace infernum::server::openai {

using TokenIds = std::vector<int32_t>;
/// One prompt: a text, or ids.
using Prompt = std::variant<std::string, TokenIds>;
using Document = std::shared_ptr<const nlohmann::ordered_json>;

struct Asked {
  std::optional<std::string> model;
  // What to continue.
  std::vector<Prompt> prompts;
  Document messages, documents, chat_template_kwargs;
  std::optional<std::string> chat_template, reasoning_effort, verbosity;
  std::optional<bool> add_generation_prompt, continue_final_message, add_special_tokens, echo;
  std::optional<int64_t> truncate_prompt_tokens;
  bool truncate_right = false;
  // How far.
  std::optional<int64_t> max_completion_tokens, max_tokens, min_tokens, n, best_of;
  std::vector<std::string> stop, bad_words;
  std::vector<int32_t> stop_token_ids, logprob_token_ids;
  std::optional<bool> ignore_eos, include_stop_str_in_output;
  // How tokens are chosen.
  std::optional<double> temperature, top_p, min_p, typical_p, repetition_penalty, frequency_penalty, presence_penalty;
  std::optional<int64_t> top_k, seed;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::optional<std::vector<int32_t>> allowed_token_ids;
  // What comes back.
  std::optional<bool> stream, include_usage, continuous_usage_stats, skip_special_tokens, return_token_ids, return_tokens_as_token_ids;
  std::optional<bool> want_logprobs;                               ///< chat: logprobs
  std::optional<int64_t> top_logprobs, logprobs, prompt_logprobs;  ///< chat; completions; both
  std::optional<bool> timings;
  std::optional<std::string> request_id;
  // Where it runs.
  std::optional<std::string> cache_salt;
  std::optional<int64_t> priority;
  // Of /tokenize and /detokenize.
  std::optional<bool> return_token_strs;
  std::optional<std::vector<int32_t>> tokens;

  bool stream_options = false;              ///< given
  std::vector<std::string> unknown;         ///< names of fields that no table has
  std::vector<std::string> without_effect;  ///< names of accepted fields that were given and change nothing
};

}  // namespace infernum::server::openai

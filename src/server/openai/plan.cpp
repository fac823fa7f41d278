#include "server/openai/plan.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "server/openai/api_error.h"
#include "server/openai/field_readers.h"

namespace infernum::server::openai {
namespace {

/// SplitMix64 finaliser: choices of one seed draw independently.
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

template <class T>
void take(T& value, const auto& asked) {
  if (asked) value = static_cast<T>(*asked);
}

/// Tokens often hold the space before their word, so each word is banned in both forms.
void ban_words(const std::vector<std::string>& words, const Tokenizer& tokenizer, SamplingParams& sampling) {
  for (const std::string& word : words)
    for (const std::string& form : {word, " " + word}) {
      TokenIds ids = tokenizer.encode(form, {false, false});
      if (ids.size() == 1)
        sampling.suppress_tokens.push_back(ids.front());
      else if (!ids.empty())
        sampling.bad_words.push_back(std::move(ids));
    }
}

SamplingParams sampling_of(const Asked& a, const ServedModel& model) {
  SamplingParams s = model.sampling;
  take(s.temperature, a.temperature);
  if (s.temperature < 1e-5f) s.temperature = 0;
  take(s.min_p, a.min_p);
  take(s.typical_p, a.typical_p);
  take(s.repetition_penalty, a.repetition_penalty);
  take(s.frequency_penalty, a.frequency_penalty);
  take(s.presence_penalty, a.presence_penalty);
  if (a.top_k) s.top_k = static_cast<int>(std::max<int64_t>(*a.top_k, 0));
  take(s.top_p, a.top_p);
  if (s.top_p <= 0) s.top_p = 1, s.top_k = 1;
  for (const auto& [id, bias] : a.logit_bias) s.logit_bias[id] = bias;
  take(s.allowed_token_ids, a.allowed_token_ids);
  ban_words(a.bad_words, model.tokenizer, s);
  return s;
}

void check_together(const Asked& a, Shape shape, const PlanLimits& limits) {
  if (a.n.value_or(1) > limits.n)
    refuse_value("n", "must be at most " + std::to_string(limits.n) + " on this server (--max-n), but is " + std::to_string(*a.n));
  if (a.best_of && *a.best_of != a.n.value_or(1))
    refuse_unsupported("best_of", "must equal n, " + std::to_string(a.n.value_or(1)) + ", but is " + std::to_string(*a.best_of));
  if (a.stream_options && !a.stream.value_or(false)) refuse_value("stream_options", "needs stream: true");
  if (a.prompt_logprobs && a.stream.value_or(false)) refuse_value("prompt_logprobs", "cannot be streamed");
  if (a.priority.value_or(0) != 0 && !limits.allow_priority)
    refuse_unsupported("priority",
                       "must be 0 on this server, which runs requests in the order of their arrival (--scheduling-policy), but is " +
                           std::to_string(*a.priority));
  if (shape == Shape::Chat && a.top_logprobs && !a.want_logprobs.value_or(false)) refuse_value("top_logprobs", "needs logprobs: true");
  for (const auto& [name, value] :
       {std::pair("top_logprobs", a.top_logprobs), {"logprobs", a.logprobs}, {"prompt_logprobs", a.prompt_logprobs}})
    if (value.value_or(0) > limits.top_logprobs)
      refuse_value(name, "must be at most " + std::to_string(limits.top_logprobs) + " on this server (--max-logprobs), but is " +
                             std::to_string(*value));
  if (!a.logprob_token_ids.empty() && (shape == Shape::Chat ? !a.want_logprobs.value_or(false) : !a.logprobs))
    refuse_value("logprob_token_ids", shape == Shape::Chat ? "needs logprobs: true" : "needs logprobs: 0 or more");
}

std::string numbers(int64_t context, int64_t prompt, int64_t tokens) {
  return "This model's maximum context length is " + std::to_string(context) + " tokens. The request has " + std::to_string(prompt) +
         " tokens of prompt and asks for " + std::to_string(tokens) + " more: " + std::to_string(prompt + tokens) + " in all.";
}

/// The token limit of one prompt, by what was asked and what is left.
int64_t token_limit(std::optional<int64_t> asked, int64_t prompt, int64_t n, const PlanLimits& limits, std::string_view param) {
  const int64_t room = limits.context - prompt;
  if (room < (asked ? *asked : 1))
    throw ApiError{400, numbers(limits.context, prompt, asked.value_or(1)), "context_length_exceeded", std::string(param)};
  // A request may hold four contexts at most, however many choices it has.
  const int64_t share = std::max<int64_t>(1, 4 * limits.context / n);
  if (asked && *asked > share)
    throw ApiError{400,
                   "n times the token limit must be at most four times the context, " + std::to_string(4 * limits.context) +
                       " tokens, but is " + std::to_string(n) + " times " + std::to_string(*asked),
                   "invalid_value", "n"};
  return asked ? *asked : std::min(room, share);
}

void truncate(TokenIds& ids, const Asked& a, int64_t context, int64_t tokens) {
  if (!a.truncate_prompt_tokens || *a.truncate_prompt_tokens == 0) return;
  const int64_t wanted = *a.truncate_prompt_tokens < 0 ? std::max<int64_t>(1, context - tokens) : *a.truncate_prompt_tokens;
  const auto keep = static_cast<size_t>(std::min<int64_t>(wanted, static_cast<int64_t>(ids.size())));
  if (a.truncate_right)
    ids.resize(keep);
  else
    ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(keep));
}

void fill_prompts(Plan& plan, const Asked& a, const ServedModel& model) {
  if (plan.shape == Shape::Chat) {
    plan.prompts.push_back(tokenize_chat(a, model));
    const auto& last = a.messages->back();
    if (plan.echo)
      plan.echoes.push_back(last["role"] == "assistant" && last["content"].is_string() ? last["content"].get<std::string>() : "");
    return;
  }
  if (a.prompts.empty()) refuse_value("prompt", "is missing");
  for (const Prompt& prompt : a.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    plan.prompts.push_back(text ? tokenize_text(model, *text, a.add_special_tokens.value_or(true)) : std::get<TokenIds>(prompt));
    if (plan.echo) plan.echoes.push_back(text ? *text : model.tokenizer.decode(plan.prompts.back(), plan.skip_special));
  }
}

void fill_output(Plan& plan, const Asked& a) {
  plan.echo = a.echo.value_or(false);
  plan.stream = a.stream.value_or(false);
  plan.include_usage = a.include_usage.value_or(false) || a.continuous_usage_stats.value_or(false);
  plan.continuous_usage = a.continuous_usage_stats.value_or(false);
  plan.skip_special = a.skip_special_tokens.value_or(true);
  plan.include_stop = a.include_stop_str_in_output.value_or(false);
  plan.return_ids = a.return_token_ids.value_or(false);
  plan.tokens_as_ids = a.return_tokens_as_token_ids.value_or(false);
  plan.timings = a.timings.value_or(false);
  if (plan.shape == Shape::Chat)
    plan.logprobs = a.want_logprobs.value_or(false) ? static_cast<int>(a.top_logprobs.value_or(0)) : -1;
  else
    plan.logprobs = static_cast<int>(a.logprobs.value_or(-1));
  plan.prompt_logprobs = static_cast<int>(a.prompt_logprobs.value_or(-1));
}

void fill_request(Plan& plan, const Asked& a, const ServedModel& model, const PlanLimits& limits) {
  EngineRequest& r = plan.request;
  r.sampling = sampling_of(a, model);
  const bool chat = plan.shape == Shape::Chat;
  const bool completion_tokens = chat && a.max_completion_tokens;
  std::optional<int64_t> asked = completion_tokens ? a.max_completion_tokens : a.max_tokens;
  if (!chat && !asked) asked = 16;
  if (asked == 0 && !plan.echo) refuse_value("max_tokens", "0 needs echo: true");
  const char* param = chat ? "messages" : "prompt";
  int64_t longest = 0, shortest_limit = std::numeric_limits<int64_t>::max();
  for (TokenIds& ids : plan.prompts) {
    truncate(ids, a, limits.context, asked.value_or(1));
    if (ids.empty()) refuse_value(param, "has no tokens");
    longest = std::max<int64_t>(longest, static_cast<int64_t>(ids.size()));
    shortest_limit = std::min(shortest_limit, token_limit(asked, static_cast<int64_t>(ids.size()), plan.n, limits, param));
  }
  r.max_tokens = shortest_limit;
  r.min_tokens = a.min_tokens.value_or(0);
  if (r.min_tokens > r.max_tokens)
    refuse_value("min_tokens",
                 "must be at most the token limit, " + std::to_string(r.max_tokens) + ", but is " + std::to_string(r.min_tokens));
  if (!a.ignore_eos.value_or(false)) r.stop_ids = model.end_ids;
  r.stop_ids.insert(r.stop_ids.end(), a.stop_token_ids.begin(), a.stop_token_ids.end());
  r.top_logprobs = plan.logprobs;
  r.prompt_logprobs = std::max(plan.prompt_logprobs, chat || !plan.echo ? -1 : plan.logprobs);
  r.logprob_token_ids = a.logprob_token_ids;
  r.processed_logprobs = limits.processed_logprobs;
  const auto listed = static_cast<int64_t>(a.logprob_token_ids.size());
  const int64_t values =
      static_cast<int64_t>(plan.choices()) * ((r.top_logprobs + 1 + listed) * r.max_tokens + (r.prompt_logprobs + 1) * longest);
  if (values > limits.logprob_values)
    refuse_value("logprobs",
                 "would be " + std::to_string(values) + " values in all; " + std::to_string(limits.logprob_values) + " are allowed");
  r.priority = static_cast<int>(a.priority.value_or(0));
  r.cache_salt = a.cache_salt.value_or("");
}

}  // namespace

void check_model(const Asked& asked, const ServedModel& model, bool any_model) {
  if (!asked.model || any_model) return;
  if (!model.names->has(*asked.model))
    throw ApiError{404, "there is no model " + asked.model->substr(0, 200) + " here; GET /v1/models lists them", "model_not_found",
                   "model"};
}

TokenIds tokenize_text(const ServedModel& model, const std::string& text, bool add_special) {
  TokenIds ids = model.tokenizer.encode(text, {add_special, true});
  const auto bos = model.bos ? model.bos : text.empty() ? model.tokenizer.bos_id() : std::nullopt;
  if (add_special && bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  return ids;
}

std::vector<Span> render_chat(const Asked& asked, const ServedModel& model) {
  if (!asked.messages) refuse_value("messages", "is missing");
  if (asked.chat_template) {
    try {
      return ChatPrompt(model.tokenizer, *asked.chat_template).render(asked);
    } catch (const TemplateError& e) {
      throw ApiError{400, "chat_template: " + e.message, "invalid_value", "chat_template"};
    }
  }
  if (!model.chat)
    throw ApiError{400, "this model has no chat template: use /v1/completions, or start the server with --chat-template",
                   "no_chat_template", "messages"};
  return model.chat->render(asked);
}

TokenIds tokenize_chat(const Asked& asked, const ServedModel& model) {
  const std::vector<Span> spans = render_chat(asked, model);
  std::vector<TextSpan> parts;
  for (const Span& s : spans) parts.push_back({s.text, s.trusted});
  return model.tokenizer.encode(parts, {asked.add_special_tokens.value_or(false), true});
}

Plan make_plan(Asked asked, Shape shape, const ServedModel& model, const PlanLimits& limits, uint64_t seed) {
  check_model(asked, model, limits.any_model);
  check_together(asked, shape, limits);
  Plan plan;
  plan.shape = shape;
  plan.model = asked.model.value_or(model.id());
  plan.n = asked.n.value_or(1);
  fill_output(plan, asked);
  fill_prompts(plan, asked, model);
  fill_request(plan, asked, model, limits);
  const uint64_t base = asked.seed ? static_cast<uint64_t>(*asked.seed) : seed;
  for (int64_t i = 0; i < plan.n; i++) plan.seeds.push_back(mixed(mixed(base) + static_cast<uint64_t>(i)));
  plan.stop = std::move(asked.stop);
  plan.named_stop_ids = std::move(asked.stop_token_ids);
  plan.request_id = asked.request_id.value_or("");
  plan.without_effect = std::move(asked.without_effect);
  plan.unknown = std::move(asked.unknown);
  return plan;
}

}  // namespace infernum::server::openai

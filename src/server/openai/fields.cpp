#include "server/openai/fields.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "server/json_writer.h"
#include "server/openai/api_error.h"
#include "server/openai/field_readers.h"

namespace infernum::server::openai {
namespace {

constexpr double most_tokens_asked = 2147483647;

Field flag(std::string_view name, std::optional<bool> Asked::*to, std::string_view about) {
  return {name, "boolean", Effect::Used, to, -no_bound, no_bound, false, about};
}
Field integer(std::string_view name, std::optional<int64_t> Asked::*to, double min, double max, std::string_view about) {
  return {name, "integer", Effect::Used, to, min, max, false, about};
}
Field number(std::string_view name, std::optional<double> Asked::*to, double min, double max, std::string_view about, bool above = false) {
  return {name, "number", Effect::Used, to, min, max, above, about};
}
Field text(std::string_view name, std::optional<std::string> Asked::*to, std::string_view about) {
  return {name, "string", Effect::Used, to, -no_bound, no_bound, false, about};
}
Field other(std::string_view name, std::string_view type, Reader reader, std::string_view about) {
  return {name, type, Effect::Used, reader, -no_bound, no_bound, false, about};
}
Field refused(std::string_view name, std::string_view type, Reader reader, std::string_view about) {
  return {name, type, Effect::Refused, reader, -no_bound, no_bound, false, about};
}
Field no_effect(std::string_view name, std::string_view type, Reader reader, std::string_view about) {
  return {name, type, Effect::NoEffect, reader, -no_bound, no_bound, false, about};
}

using Table = std::vector<Field>;

void append(Table& table, const Table& more) { table.insert(table.end(), more.begin(), more.end()); }

Table sampling() {
  return {
      number("temperature", &Asked::temperature, 0, 2, "below 0.00001 it counts as 0: the most probable token"),
      number("top_p", &Asked::top_p, 0, 1, "0 means the most probable token"),
      integer("top_k", &Asked::top_k, -1, most_tokens_asked, "0 and -1 switch it off"),
      number("min_p", &Asked::min_p, 0, 1, "keeps tokens at least this fraction as probable as the best"),
      number("typical_p", &Asked::typical_p, 0, 1, "locally typical sampling", true),
      number("repetition_penalty", &Asked::repetition_penalty, 0, 100, "over prompt and output", true),
      number("repeat_penalty", &Asked::repetition_penalty, 0, 100, "another name of `repetition_penalty`", true),
      number("frequency_penalty", &Asked::frequency_penalty, -2, 2, "over generated tokens only"),
      number("presence_penalty", &Asked::presence_penalty, -2, 2, "over generated tokens only"),
      other("logit_bias", "object: id to -100..100", read_logit_bias, "at most 4096 ids; an id outside the vocabulary is 400"),
      integer("seed", &Asked::seed, -no_bound, no_bound,
              "each choice draws from hash(seed, its number among the prompt's choices); see `--seed`"),
      other("allowed_token_ids", "list of ids", read_allowed_token_ids, "no other token is chosen"),
      other("bad_words", "list of strings", read_bad_words,
            "up to 1024 of 256 bytes; the tokens that spell one, with or without a space before it, never come in a row"),
      refused("mirostat", "integer", refuse_unless_empty, "0 passes"),
      refused("dry_multiplier", "number", refuse_unless_empty, "0 passes"),
      refused("xtc_probability", "number", refuse_unless_empty, "0 passes"),
      refused("use_beam_search", "boolean", refuse_unless_empty, "false passes"),
  };
}

Table length() {
  return {
      integer("n", &Asked::n, 1, 128, "at most `--max-n` (16)"),
      integer("min_tokens", &Asked::min_tokens, 0, most_tokens_asked, "no end of generation before; at most the token limit"),
      other("stop", "string or list of strings", read_stop, "16 of up to 256 bytes, not empty; found across token borders"),
      other("stop_token_ids", "list of ids", read_stop_token_ids, "end the generation like the model's own end"),
      flag("ignore_eos", &Asked::ignore_eos, "the model's own end does not end the generation"),
      flag("include_stop_str_in_output", &Asked::include_stop_str_in_output, "the stop string or token stays in the text"),
  };
}

Table output() {
  return {
      flag("stream", &Asked::stream, "server-sent events"),
      other("stream_options", "object", read_stream_options,
            "`include_usage`, `continuous_usage_stats`; `include_obfuscation` has no effect; 400 without `stream`"),
      integer("prompt_logprobs", &Asked::prompt_logprobs, 0, 20, "one map per token of the prompt; not with `stream`"),
      flag("skip_special_tokens", &Asked::skip_special_tokens, "default true"),
      flag("return_token_ids", &Asked::return_token_ids, "adds `prompt_token_ids` and `token_ids`"),
      flag("return_tokens_as_token_ids", &Asked::return_tokens_as_token_ids, "tokens in logprobs read `token_id:N`"),
      other("infernum", "object", read_infernum, "`{\"timings\": true}` adds where the time went"),
      other("request_id", "string", read_request_id, "becomes part of the response's id; 1 to 128 of `A-Z a-z 0-9 _ . : -`"),
      no_effect("spaces_between_special_tokens", "boolean", check_boolean, "the tokenizer decides"),
      other("logprob_token_ids", "list of ids", read_logprob_token_ids,
            "up to 4096; also listed for each generated token, behind the most probable ones; needs `logprobs`"),
      refused("timings_per_token", "boolean", refuse_unless_empty, "false passes"),
      refused("return_progress", "boolean", refuse_unless_empty, "false passes"),
      refused("n_probs", "integer", refuse_unless_empty, "0 passes; use `logprobs`"),
  };
}

Table input() {
  return {
      text("model", &Asked::model, "a served name; absent: the default model; unknown: 404"),
      integer("truncate_prompt_tokens", &Asked::truncate_prompt_tokens, -1, most_tokens_asked,
              "keeps so many tokens of the prompt; -1: as many as fit; 0 switches it off"),
      other("truncation_side", "left or right", read_truncation_side, "where the tokens are dropped; default left"),
      flag("add_special_tokens", &Asked::add_special_tokens, "default true for texts, false for chats"),
      other("cache_salt", "string", read_cache_salt,
            "cached prefixes are shared among equal salts of one key; 1 to 128 characters, no `@ / \\` NUL"),
      integer("priority", &Asked::priority, -2147483648.0, 2147483647,
              "smaller ones run first; needs `--scheduling-policy priority`, else 0 only"),
  };
}

Table accounting() {
  return {
      no_effect("user", "string", check_string, ""),
      no_effect("safety_identifier", "string", check_string, ""),
      no_effect("metadata", "object", check_metadata, "at most 16 keys"),
      no_effect("store", "boolean", check_boolean, "nothing is stored"),
      no_effect("prompt_cache_key", "string", check_string, "prefixes are found without it"),
      no_effect("prompt_cache_retention", "string", check_string, ""),
      no_effect("prompt_cache_options", "object", check_object, ""),
      no_effect("service_tier", "string", check_service_tier, "the answer says default"),
      refused("response_format", "object", refuse_response_format, "`{\"type\": \"text\"}` passes"),
      refused("structured_outputs", "object", refuse_any, ""),
      refused("guided_json", "object or string", refuse_any, ""),
      refused("guided_regex", "string", refuse_any, ""),
      refused("guided_choice", "list of strings", refuse_any, ""),
      refused("guided_grammar", "string", refuse_any, ""),
      refused("grammar", "string", refuse_unless_empty, "an empty one passes"),
      refused("json_schema", "object", refuse_any, ""),
      refused("kv_transfer_params", "object", refuse_any, ""),
      refused("cache_prompt", "boolean", refuse_unless_true, "true passes"),
  };
}

Table chat_table() {
  Table t = {
      other("messages", "list of messages", read_messages, "1 to 4096; content: text, null or text parts"),
      integer("max_completion_tokens", &Asked::max_completion_tokens, 1, most_tokens_asked, "default: what is left of the context"),
      integer("max_tokens", &Asked::max_tokens, 1, most_tokens_asked, "the old name; `max_completion_tokens` wins"),
      {"logprobs", "boolean", Effect::Used, &Asked::want_logprobs, -no_bound, no_bound, false,
       "of the model's own distribution, before any parameter; see `--logprobs-mode`"},
      integer("top_logprobs", &Asked::top_logprobs, 0, 20, "needs `logprobs`: true; at most `--max-logprobs` (20)"),
      flag("echo", &Asked::echo, "a last message of the assistant is repeated before the answer"),
      flag("add_generation_prompt", &Asked::add_generation_prompt, "default true"),
      flag("continue_final_message", &Asked::continue_final_message,
           "the answer continues the last message; not with `add_generation_prompt`: true"),
      other("documents", "list of objects", read_documents, "given to the template"),
      other("chat_template", "string", read_chat_template, "needs `--trust-request-chat-template`"),
      other("chat_template_kwargs", "object", read_template_kwargs, "given to the template; names that it is called with are refused"),
      other("reasoning_effort", "none, minimal, low, medium, high, xhigh or max", read_reasoning_effort,
            "given to the template; sets `enable_thinking` where the template has it"),
      other("verbosity", "low, medium or high", read_verbosity, "given to the template"),
      refused("tools", "list of tools", refuse_tools, ""),
      refused("tool_choice", "string or object", refuse_tool_choice, "none passes"),
      no_effect("parallel_tool_calls", "boolean", check_boolean, "there are no tools"),
      refused("functions", "list of functions", refuse_any, ""),
      refused("function_call", "string or object", refuse_tool_choice, "none passes"),
      no_effect("prediction", "object", check_object, ""),
      refused("modalities", "list of strings", refuse_modalities, "`[\"text\"]` passes"),
      refused("audio", "object", refuse_any, ""),
      refused("web_search_options", "object", refuse_any, ""),
      refused("moderation", "object", refuse_any, ""),
      refused("include_reasoning", "boolean", refuse_unless_true, "true passes"),
      refused("thinking_token_budget", "integer", refuse_any, ""),
  };
  append(t, length());
  append(t, sampling());
  append(t, output());
  append(t, input());
  append(t, accounting());
  return t;
}

Table completion_table() {
  Table t = {
      other("prompt", "string, list of strings, of ids, or of lists of ids", read_prompt,
            "at most 256 prompts; a text may hold special tokens"),
      integer("max_tokens", &Asked::max_tokens, 0, most_tokens_asked, "default 16; 0 with `echo` only: the prompt is scored"),
      integer("best_of", &Asked::best_of, 1, 128, "must equal `n`"),
      flag("echo", &Asked::echo, "the prompt comes first in `text`, and in `logprobs`"),
      integer("logprobs", &Asked::logprobs, 0, 20, "that many alternatives, and the chosen token"),
      refused("suffix", "string", refuse_unless_empty, "an empty one passes"),
  };
  append(t, length());
  append(t, sampling());
  append(t, output());
  append(t, input());
  append(t, accounting());
  return t;
}

Table tokenize_table() {
  return {
      text("model", &Asked::model, "a served name"),
      other("prompt", "string", read_prompt, "the text; or `messages`"),
      other("content", "string", read_prompt, "another name of `prompt`"),
      other("messages", "list of messages", read_messages, "a conversation, by the chat template"),
      flag("add_special_tokens", &Asked::add_special_tokens, "default true for texts, false for chats"),
      flag("add_special", &Asked::add_special_tokens, "another name of `add_special_tokens`"),
      flag("return_token_strs", &Asked::return_token_strs, "adds `token_strs`"),
      flag("with_pieces", &Asked::return_token_strs, "another name of `return_token_strs`"),
      flag("add_generation_prompt", &Asked::add_generation_prompt, "default true"),
      flag("continue_final_message", &Asked::continue_final_message, "as in a chat"),
      other("documents", "list of objects", read_documents, "given to the template"),
      other("chat_template", "string", read_chat_template, "needs `--trust-request-chat-template`"),
      other("chat_template_kwargs", "object", read_template_kwargs, "given to the template"),
      refused("tools", "list of tools", refuse_tools, ""),
  };
}

Table detokenize_table() {
  return {
      text("model", &Asked::model, "a served name"),
      other("tokens", "list of ids", read_tokens, "of the vocabulary"),
      flag("skip_special_tokens", &Asked::skip_special_tokens, "default false here"),
  };
}

void check_range(const Field& field, double value) {
  const bool fits = value >= field.min && value <= field.max && !(field.above_min && static_cast<float>(value) <= field.min);
  if (!fits) {
    std::string shown;
    append_number(shown, value);
    refuse_value(field.name, "must be " + range_text(field) + ", but is " + shown);
  }
}

void read_field(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  if (const auto* to = std::get_if<std::optional<bool> Asked::*>(&field.target)) asked.** to = read_boolean(value, field.name);
  if (const auto* to = std::get_if<std::optional<int64_t> Asked::*>(&field.target))
    asked.** to = read_integer(value, field.name, field.min, field.max);
  if (const auto* to = std::get_if<std::optional<std::string> Asked::*>(&field.target)) asked.** to = read_string(value, field.name);
  if (const auto* to = std::get_if<std::optional<double> Asked::*>(&field.target)) {
    const double x = read_number(value, field.name);
    check_range(field, x);
    asked.** to = x;
  }
  if (const auto* reader = std::get_if<Reader>(&field.target)) (*reader)(value, field, limits, asked);
}

}  // namespace

std::span<const Field> chat_fields() {
  static const Table table = chat_table();
  return table;
}
std::span<const Field> completion_fields() {
  static const Table table = completion_table();
  return table;
}
std::span<const Field> tokenize_fields() {
  static const Table table = tokenize_table();
  return table;
}
std::span<const Field> detokenize_fields() {
  static const Table table = detokenize_table();
  return table;
}

std::string range_text(const Field& field) {
  if (field.min == -no_bound && field.max == no_bound) return {};
  const auto shown = [](double x) {
    std::string digits;
    if (x == std::trunc(x))
      append_number(digits, static_cast<int64_t>(x));
    else
      append_number(digits, x);
    return digits;
  };
  return (field.above_min ? "above " + shown(field.min) + " and up to " : shown(field.min) + " to ") + shown(field.max);
}

Asked read_fields(const Json& root, std::span<const Field> fields, const DecodeLimits& limits) {
  Asked asked;
  for (const auto [key, value] : simdjson::dom::object(root)) {
    const auto field = std::find_if(fields.begin(), fields.end(), [&, name = key](const Field& f) { return f.name == name; });
    if (field == fields.end()) {
      unknown_field(std::string(key.substr(0, 64)), limits, asked);
    } else if (!value.is_null()) {
      read_field(value, *field, limits, asked);
      if (field->effect == Effect::NoEffect) asked.without_effect.emplace_back(field->name);
    }
  }
  return asked;
}

Asked read_body(JsonParser& parser, std::string_view body, std::span<const Field> fields, const DecodeLimits& limits) {
  return read_fields(parser.parse(body), fields, limits);
}

}  // namespace infernum::server::openai

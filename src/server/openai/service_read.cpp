// What OpenAiService makes of each request: bodies read into plans for the engine, or answered at once.
#include "server/json_writer.h"
#include "server/openai/service_state.h"
#include "text/unicode.h"

namespace infernum::server {

using namespace openai;

using Outcome = OpenAiService::State::Outcome;

Outcome OpenAiService::State::read_generation(Shape shape, JsonParser& parser, const HttpRequest& request) const {
  const auto fields = shape == Shape::Chat ? chat_fields() : completion_fields();
  Asked asked = read_body(parser, request.body, fields, decode_limits_);
  const uint64_t seed = asked.seed ? 0 : new_seed(request);
  return make_plan(std::move(asked), shape, model_, plan_limits_, seed);
}

uint64_t OpenAiService::State::new_seed(const HttpRequest& request) const {
  const uint64_t number = seeds_++;
  if (options_.seed) return (*options_.seed + 1) * 0x9e3779b97f4a7c15u + number;
  // One that no other request has.
  return std::hash<std::string>()(request.id) ^ static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

Outcome OpenAiService::State::read_chat(JsonParser& parser, const HttpRequest& request) const {
  return read_generation(Shape::Chat, parser, request);
}

Outcome OpenAiService::State::read_completion(JsonParser& parser, const HttpRequest& request) const {
  return read_generation(Shape::Completion, parser, request);
}

// Vocabularies and templates come from files, and need not be UTF-8; answers are.

Outcome OpenAiService::State::tokenize(JsonParser& parser, const HttpRequest& request) const {
  const Asked asked = read_body(parser, request.body, tokenize_fields(), decode_limits_);
  check_model(asked, model_, options_.accept_any_model);
  const bool text = asked.prompts.size() == 1 && std::holds_alternative<std::string>(asked.prompts.front());
  if (!asked.messages && !text) throw ApiError{400, "prompt must be a string, or messages a conversation", "invalid_value", "prompt"};
  const TokenIds ids = asked.messages
                           ? tokenize_chat(asked, model_)
                           : tokenize_text(model_, std::get<std::string>(asked.prompts.front()), asked.add_special_tokens.value_or(true));
  HttpResponse response;
  JsonWriter w(response.body);
  w.begin_object().key("count").number(static_cast<int64_t>(ids.size())).key("max_model_len").number(model_.max_model_len);
  w.key("tokens").begin_list();
  for (const int32_t id : ids) w.number(int64_t{id});
  w.end_list();
  if (asked.return_token_strs.value_or(false)) {
    w.key("token_strs").begin_list();
    for (const int32_t id : ids) w.string(text::to_valid_utf8(model_.tokenizer.token_text(id)));
    w.end_list();
  }
  w.end_object();
  return response;
}

Outcome OpenAiService::State::detokenize(JsonParser& parser, const HttpRequest& request) const {
  const Asked asked = read_body(parser, request.body, detokenize_fields(), decode_limits_);
  check_model(asked, model_, options_.accept_any_model);
  if (!asked.tokens) throw ApiError{400, "tokens is missing", "invalid_value", "tokens"};
  const std::string text = model_.tokenizer.decode(*asked.tokens, asked.skip_special_tokens.value_or(false));
  HttpResponse response;
  JsonWriter(response.body).begin_object().key("prompt").string(text).key("content").string(text).end_object();
  return response;
}

Outcome OpenAiService::State::apply_template(JsonParser& parser, const HttpRequest& request) const {
  const Asked asked = read_body(parser, request.body, chat_fields(), decode_limits_);
  check_model(asked, model_, options_.accept_any_model);
  HttpResponse response;
  JsonWriter(response.body).begin_object().key("prompt").string(text::to_valid_utf8(joined(render_chat(asked, model_)))).end_object();
  return response;
}

void OpenAiService::State::write_model(std::string& out) const {
  JsonWriter w(out);
  w.begin_object().key("id").string(model_.id()).key("object").string("model").key("created").number(model_.created);
  w.key("owned_by").string("infernum").key("root").string(text::to_valid_utf8(model_.root)).key("parent").null();
  w.key("max_model_len").number(model_.max_model_len).key("aliases").begin_list();
  for (const std::string& alias : model_.names->aliases()) w.string(alias);
  w.end_list().end_object();
}

HttpResponse OpenAiService::State::list_models() const {
  HttpResponse response;
  response.body = R"({"object":"list","data":[)";
  write_model(response.body);
  response.body += "]}";
  return response;
}

HttpResponse OpenAiService::State::show_model(const HttpRequest& request) const {
  constexpr std::string_view mark = "/models/";
  const size_t at = request.path.find(mark);
  Asked asked;
  asked.model = at == std::string::npos ? std::string() : request.path.substr(at + mark.size());
  HttpResponse response;
  try {
    check_model(asked, model_, false);
    write_model(response.body);
  } catch (const ApiError& e) {
    return to_response(e);
  }
  return response;
}

HttpResponse OpenAiService::State::tokenizer_info() const {
  HttpResponse response;
  const Tokenizer& t = model_.tokenizer;
  JsonWriter w(response.body);
  w.begin_object().key("vocab_size").number(int64_t{t.vocab_size()}).key("model_max_length").number(model_.max_model_len);
  const auto add = [&](const char* name, std::optional<int32_t> id) {
    w.key(name);
    id ? w.string(text::to_valid_utf8(t.token_text(*id))) : w.null();
  };
  add("bos_token", t.bos_id());
  add("eos_token", t.eos_id());
  add("unk_token", t.unk_id());
  add("pad_token", t.pad_id());
  w.key("chat_template");
  model_.chat ? w.string(text::to_valid_utf8(model_.chat->source())) : w.null();
  w.end_object();
  return response;
}

}  // namespace infernum::server

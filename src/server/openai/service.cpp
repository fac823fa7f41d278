#include "server/openai/service.h"

#include "server/openai/service_state.h"

namespace infernum::server {

OpenAiService::OpenAiService(ServedModel model, Engine& engine, IoLoop& loop, ServiceOptions options)
    : state_(std::make_shared<State>(std::move(model), engine, loop, std::move(options))) {
  state_->listen();
}

OpenAiService::~OpenAiService() { state_->drop_all(); }

size_t OpenAiService::live() const { return state_->live(); }

void OpenAiService::set_aliases(std::vector<std::string> aliases) { state_->names().set_aliases(std::move(aliases)); }

std::vector<Route> OpenAiService::routes() {
  const std::weak_ptr<State> weak = state_;
  const auto gone = [](Exchange& exchange) { exchange.respond(error_response(503, "the server is shutting down", "draining")); };
  const auto reads = [=](State::Reading reading) -> Handler {
    return [=](const std::shared_ptr<Exchange>& exchange) {
      if (const auto state = weak.lock())
        state->handle(exchange, reading);
      else
        gone(*exchange);
    };
  };
  const auto answers = [=](auto answer) -> Handler {
    return [=](const std::shared_ptr<Exchange>& exchange) {
      if (const auto state = weak.lock())
        exchange->respond(answer(*state, exchange->request()));
      else
        gone(*exchange);
    };
  };
  const Handler models = answers([](const State& s, const HttpRequest&) { return s.list_models(); });
  const Handler model = answers([](const State& s, const HttpRequest& r) { return s.show_model(r); });
  std::vector<Route> routes;
  const auto add = [&](std::string_view method, std::string_view path, const Handler& handler) {
    routes.push_back({method, path, Access::Key, handler, method == "POST"});
  };
  add("GET", "/v1/models", models);
  add("GET", "/v1/models/*", model);
  add("POST", "/v1/completions", reads(&State::read_completion));
  add("POST", "/v1/chat/completions", reads(&State::read_chat));
  add("POST", "/tokenize", reads(&State::tokenize));
  add("POST", "/detokenize", reads(&State::detokenize));
  add("POST", "/apply-template", reads(&State::apply_template));
  const Handler deep = [=](std::shared_ptr<Exchange> exchange) {
    if (const auto state = weak.lock())
      state->generate_one(std::move(exchange));
    else
      gone(*exchange);
  };
  routes.push_back({"GET", "/health?deep=1", Access::Admin, deep, false});
  if (state_->options().tokenizer_info)
    add("GET", "/tokenizer_info", answers([](const State& s, const HttpRequest&) { return s.tokenizer_info(); }));
  return routes;
}

}  // namespace infernum::server

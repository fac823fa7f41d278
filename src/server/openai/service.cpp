#include "server/openai/service.h"

#include "server/openai/service_state.h"

namespace infernum::server {

OpenAiService::OpenAiService(ServedModel model, Engine& engine, IoLoop& loop, ServiceOptions options)
    : state_(std::make_shared<State>(std::move(model), engine, loop, std::move(options))) {
  state_->listen();
}

OpenAiService::~OpenAiService() { state_->drop_all(); }

size_t OpenAiService::live() const { return state_->live(); }

std::vector<Route> OpenAiService::routes() {
  const std::weak_ptr<State> weak = state_;
  const auto gone = [](Exchange& exchange) { exchange.respond(error_response(503, "the server is shutting down", "draining")); };
  const auto reads = [=](State::Reading reading) -> Handler {
    return [=](std::shared_ptr<Exchange> exchange) {
      if (const auto state = weak.lock())
        state->handle(std::move(exchange), reading);
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
  // Clients are configured with and without /v1 at the end of the address.
  const auto add = [&](std::string_view method, std::string_view with_prefix, std::string_view without, const Handler& handler) {
    const bool posts = method == "POST";
    routes.push_back({method, with_prefix, Access::Key, handler, posts});
    routes.push_back({method, without, Access::Key, handler, posts});
  };
  add("GET", "/v1/models", "/models", models);
  add("GET", "/v1/models/*", "/models/*", model);
  add("POST", "/v1/completions", "/completions", reads(&State::read_completion));
  add("POST", "/v1/chat/completions", "/chat/completions", reads(&State::read_chat));
  add("POST", "/v1/tokenize", "/tokenize", reads(&State::tokenize));
  add("POST", "/v1/detokenize", "/detokenize", reads(&State::detokenize));
  add("POST", "/v1/apply-template", "/apply-template", reads(&State::apply_template));
  if (state_->options().tokenizer_info)
    add("GET", "/v1/tokenizer_info", "/tokenizer_info", answers([](const State& s, const HttpRequest&) { return s.tokenizer_info(); }));
  return routes;
}

}  // namespace infernum::server

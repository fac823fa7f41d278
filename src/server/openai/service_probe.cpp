// GET /health?deep=1: one token through the queue, the model and the sampler, for whoever has an admin key.
#include "server/openai/service_state.h"

namespace infernum::server {

using namespace openai;

namespace {

/// Says "ok" where a request's answer would be the token, and hands everything else through.
class ProbeExchange final : public Exchange {
 public:
  explicit ProbeExchange(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  const HttpRequest& request() const override { return exchange_->request(); }
  void respond(HttpResponse response) override {
    if (response.status == 200) response.body = R"({"status":"ok"})";
    exchange_->respond(std::move(response));
  }
  void begin_stream(HeaderFields more) override { exchange_->begin_stream(std::move(more)); }
  void send(std::string_view events) override { exchange_->send(events); }
  void finish() override { exchange_->finish(); }
  void on_gone(std::function<void()> handler) override { exchange_->on_gone(std::move(handler)); }
  void note(std::string_view name, std::string value) override { exchange_->note(name, std::move(value)); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace

void OpenAiService::State::generate_one(std::shared_ptr<Exchange> exchange) {
  Asked asked;
  asked.prompts = {TokenIds{model_.tokenizer.bos_id().value_or(0)}};
  asked.max_tokens = 1;
  const auto arrived = std::chrono::steady_clock::now();
  start(std::make_shared<ProbeExchange>(std::move(exchange)), make_plan(std::move(asked), Shape::Completion, model_, plan_limits_, 0),
        arrived);
}

}  // namespace infernum::server

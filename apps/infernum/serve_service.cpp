#include "serve_service.h"

#include <ctime>

#include "server/openai/service.h"

namespace infernum::app {

struct Service::State {
  std::optional<server::ServedModel> model;
  server::ServiceOptions options;
  std::unique_ptr<server::OpenAiService> service;
  std::string name;
  bool chats = false;
  int64_t vocab_size = 0;
};

Service::Service() : state_(std::make_unique<State>()) {}
Service::~Service() = default;

void Service::describe(const Checkpoint& checkpoint, ModelDescription description, const ServeFlags& flags) {
  server::ServedModel model = server::served_model(checkpoint, std::move(description.chat_template));
  model.ids = std::move(description.names);
  model.root = std::move(description.root);
  model.system_fingerprint = std::move(description.fingerprint);
  model.created = std::time(nullptr);
  if (flags.generation_config == "none") model.sampling = SamplingParams();
  state_->name = model.id();
  state_->chats = model.chat != nullptr;
  state_->vocab_size = model.tokenizer.vocab_size();
  state_->model = std::move(model);
  server::ServiceOptions& o = state_->options;
  o.stream_interval = flags.stream_interval;
  o.queue_seconds = flags.queue_timeout;
  o.request_seconds = flags.request_timeout;
  o.first_byte_seconds = flags.http.limits.ping_seconds;
  o.strict_fields = flags.strict_fields;
  o.accept_any_model = flags.accept_any_model;
  o.request_templates = flags.trust_request_chat_template;
  o.tokenizer_info = flags.enable_tokenizer_info;
}

std::vector<server::Route> Service::open(Engine& engine, server::IoLoop& loop, std::function<void(const FinishedRequest&)> finished) {
  state_->options.on_record = [finished = std::move(finished)](const server::RequestRecord& r) {
    FinishedRequest f;
    f.route = r.route;
    f.model = r.model;
    f.finish_reason = r.finish_reason;
    f.status = r.status;
    f.prompt_tokens = r.prompt_tokens;
    f.cached_tokens = r.cached_tokens;
    f.completion_tokens = r.completion_tokens;
    f.choices = r.choices;
    f.max_tokens = r.max_tokens;
    f.seconds = r.seconds;
    f.queue_seconds = r.queue_seconds;
    f.prefill_seconds = r.prefill_seconds;
    f.decode_seconds = r.decode_seconds;
    f.first_token_seconds = r.first_token_seconds;
    f.token_gaps = r.token_gaps;
    f.preemptions = r.preemptions;
    finished(f);
  };
  state_->model->max_model_len = engine.info().context;
  state_->service = std::make_unique<server::OpenAiService>(std::move(*state_->model), engine, loop, state_->options);
  state_->model.reset();
  return state_->service->routes();
}

void Service::close() { state_->service.reset(); }
const std::string& Service::model_name() const { return state_->name; }
bool Service::chats() const { return state_->chats; }
int64_t Service::vocab_size() const { return state_->vocab_size; }

}  // namespace infernum::app

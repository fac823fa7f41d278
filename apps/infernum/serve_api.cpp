#include "serve_api.h"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>

#include "checkpoint/text_file.h"
#include "core/check.h"
#include "ops/batch.h"
#include "runtime/model_engine.h"
#include "runtime/sim_engine.h"
#include "runtime/trace_recorder.h"
#include "server/openai/service.h"
#include "session.h"

namespace infernum::app {
namespace {

constexpr int64_t longest_template = 4 << 20;
constexpr size_t logged_bytes = 2048;  ///< of the prompts of a request, and of its answers

std::string default_name(const std::string& path) {
  std::filesystem::path p(path);
  if (!p.has_filename()) p = p.parent_path();
  const std::string extension = p.extension().string();
  return extension == ".gguf" || extension == ".safetensors" ? p.stem().string() : p.filename().string();
}

std::chrono::nanoseconds nanoseconds(double milliseconds) { return std::chrono::nanoseconds(static_cast<int64_t>(milliseconds * 1e6)); }

/// Same version, model and numeric settings: same fingerprint (FNV-1a).
std::string fingerprint(const ServeFlags& flags, const std::string& path) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string& part : {std::string(INFERNUM_VERSION), flags.engine, path, flags.dtype, flags.kv_cache_dtype, flags.isa,
                                  flags.fusion, std::to_string(flags.ranks)})
    for (const char c : part + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char text[24];
  std::snprintf(text, sizeof text, "fp_%010llx", static_cast<unsigned long long>(hash >> 24));
  return text;
}

server::ServiceOptions service_options(const ServeFlags& flags) {
  server::ServiceOptions o;
  o.stream_interval = flags.stream_interval;
  o.queue_seconds = flags.queue_timeout;
  o.request_seconds = flags.request_timeout;
  o.first_byte_seconds = flags.http.limits.ping_seconds;
  o.strict_fields = flags.strict_fields;
  o.accept_any_model = flags.accept_any_model;
  o.request_templates = flags.trust_request_chat_template;
  o.tokenizer_info = flags.enable_tokenizer_info;
  o.max_n = flags.max_n;
  o.max_logprobs = flags.max_logprobs;
  o.allow_priority = flags.scheduling_policy == "priority";
  o.processed_logprobs = flags.logprobs_mode.starts_with("processed");
  if (flags.seed >= 0) o.seed = static_cast<uint64_t>(flags.seed);
  o.server_timing = flags.server_timing;
  o.content_bytes = flags.log_content ? logged_bytes : 0;
  return o;
}

class LoadedApi final : public ServedApi {
 public:
  explicit LoadedApi(const ServeFlags& flags) : flags_(flags) {
    const auto start = std::chrono::steady_clock::now();
    const std::string path = resolve_model(flags.model);
    if (flags.engine == "sim") {
      check(flags.trace.empty(), "--trace writes what a model does; --engine sim has none", flags.trace);
      const Checkpoint checkpoint = open_checkpoint(path, Opening::HeadersOnly);
      describe_model(checkpoint, path);
      SimEngineOptions o;
      o.time_to_first_token = nanoseconds(flags.sim_ttft_ms);
      o.inter_token_time = nanoseconds(flags.sim_itl_ms);
      o.max_num_seqs = flags.max_num_seqs;
      o.max_queue = flags.max_queue;
      o.vocab_size = vocab_size_;
      if (flags.max_model_len > 0) o.context = flags.max_model_len;
      o.faults = Faults::from_environment();
      engine_ = std::make_unique<SimEngine>(std::move(o));
    } else {
      Session session(flags);
      describe_model(session.checkpoint, path);
      weights_bytes_ = session.checkpoint.tensors.bytes();
      load_engine(std::move(session));
    }
    load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  ~LoadedApi() override {
    if (metrics_) metrics_->freeze();
    service_.reset();
    engine_->stop();
  }

  std::vector<server::Route> open(server::IoLoop& loop, server::ServerMetrics& metrics,
                                  std::function<void(const server::RequestRecord&)> on_record) override {
    metrics_ = &metrics;
    server::ServedEngine served;
    served.model_name = name_;
    served.info = engine_->info();
    served.block_tokens = block_tokens;
    served.cache_dtype = flags_.kv_cache_dtype;
    served.prefix_caching = flags_.enable_prefix_caching;
    served.weights_bytes = weights_bytes_;
    served.load_seconds = load_seconds_;
    served.stats = [this] { return engine_->stats(); };
    metrics.add_engine(std::move(served));
    server::ServiceOptions options = service_options(flags_);
    options.on_record = [&metrics, on_record = std::move(on_record)](const server::RequestRecord& record) {
      if (record.status != 429) metrics.request(record);  // the engine did not take it: counted as rejected
      on_record(record);
    };
    model_->max_model_len = engine_->info().context;
    service_ = std::make_unique<server::OpenAiService>(std::move(*model_), *engine_, loop, std::move(options));
    model_.reset();
    return service_->routes();
  }

  void set_aliases(std::vector<std::string> aliases) override { service_->set_aliases(std::move(aliases)); }
  EngineStats stats() const override { return engine_->stats(); }
  const std::string& model_name() const override { return name_; }
  bool chats() const override { return chats_; }
  int64_t context() const override { return engine_->info().context; }

 private:
  void describe_model(const Checkpoint& checkpoint, const std::string& path) {
    model_ = server::served_model(
        checkpoint, flags_.chat_template_file.empty() ? std::string() : read_text_file(flags_.chat_template_file, longest_template));
    model_->names = std::make_shared<server::ServedNames>(flags_.served_model_name.empty() ? std::vector{default_name(path)}
                                                                                           : flags_.served_model_name);
    model_->root = path;
    model_->system_fingerprint = fingerprint(flags_, path);
    model_->created = std::time(nullptr);
    if (flags_.generation_config == "none") model_->sampling = SamplingParams();
    name_ = model_->id();
    chats_ = model_->chat != nullptr;
    vocab_size_ = model_->tokenizer.vocab_size();
  }

  void load_engine(Session session) {
    ModelEngineOptions o;
    o.max_num_seqs = flags_.max_num_seqs;
    o.max_num_batched_tokens = flags_.max_num_batched_tokens;
    o.cache_tokens = flags_.kv_cache_tokens;
    o.max_queue = flags_.max_queue;
    o.enable_prefix_caching = flags_.enable_prefix_caching;
    o.usable_vocab = std::min(vocab_size_, session.model->info().vocab_size);
    o.faults = Faults::from_environment();
    if (!flags_.trace.empty()) o.trace = std::make_shared<TraceRecorder>(flags_.trace);
    engine_ = std::make_unique<ModelEngine>(std::shared_ptr<Model>(std::move(session.model)), std::move(o));
  }

  ServeFlags flags_;
  std::string name_;
  bool chats_ = false;
  int64_t vocab_size_ = 0, weights_bytes_ = 0;
  std::optional<server::ServedModel> model_;  ///< until open()
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<server::OpenAiService> service_;
  server::ServerMetrics* metrics_ = nullptr;
  double load_seconds_ = 0;
};

}  // namespace

std::unique_ptr<ServedApi> load_api(const ServeFlags& flags) { return std::make_unique<LoadedApi>(flags); }

}  // namespace infernum::app

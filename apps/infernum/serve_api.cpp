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
#include "serve_service.h"
#include "session.h"

namespace infernum::app {
namespace {

constexpr int64_t longest_template = 4 << 20;

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

class LoadedApi final : public ServedApi {
 public:
  explicit LoadedApi(const ServeFlags& flags) : flags_(flags) {
    const auto start = std::chrono::steady_clock::now();
    const std::string path = resolve_model(flags.model);
    if (flags.engine == "sim") {
      const Checkpoint checkpoint = open_checkpoint(path, Opening::HeadersOnly);
      describe_model(checkpoint, path);
      SimEngineOptions o;
      o.time_to_first_token = nanoseconds(flags.sim_ttft_ms);
      o.inter_token_time = nanoseconds(flags.sim_itl_ms);
      o.max_num_seqs = flags.max_num_seqs;
      o.max_queue = flags.max_queue;
      o.vocab_size = service_.vocab_size();
      if (flags.max_model_len > 0) o.context = flags.max_model_len;
      o.faults = Faults::from_environment();
      engine_ = std::make_unique<SimEngine>(std::move(o));
    } else {
      Session session(flags);
      describe_model(session.checkpoint, path);
      load_engine(std::move(session));
    }
    load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  ~LoadedApi() override {
    if (metrics_) metrics_->freeze();
    service_.close();
    engine_->stop();
  }

  std::vector<server::Route> open(server::IoLoop& loop, server::ServerMetrics& metrics) override {
    metrics_ = &metrics;
    server::ServedEngine served;
    served.model_name = service_.model_name();
    served.info = engine_->info();
    served.block_tokens = block_tokens;
    served.cache_dtype = flags_.kv_cache_dtype;
    served.prefix_caching = flags_.enable_prefix_caching;
    served.load_seconds = load_seconds_;
    served.stats = [this] { return engine_->stats(); };
    metrics.add_engine(std::move(served));
    return service_.open(*engine_, loop, [&metrics](const FinishedRequest& r) { metrics.request(record_of(r)); });
  }

  EngineStats stats() const override { return engine_->stats(); }
  const std::string& model_name() const override { return service_.model_name(); }
  bool chats() const override { return service_.chats(); }
  int64_t context() const override { return engine_->info().context; }

 private:
  void describe_model(const Checkpoint& checkpoint, const std::string& path) {
    ModelDescription d;
    d.names = flags_.served_model_name;
    if (d.names.empty()) d.names.push_back(default_name(path));
    d.root = path;
    d.fingerprint = fingerprint(flags_, path);
    if (!flags_.chat_template_file.empty()) d.chat_template = read_text_file(flags_.chat_template_file, longest_template);
    service_.describe(checkpoint, std::move(d), flags_);
  }

  void load_engine(Session session) {
    ModelEngineOptions o;
    o.max_num_seqs = flags_.max_num_seqs;
    o.max_num_batched_tokens = flags_.max_num_batched_tokens;
    o.cache_tokens = flags_.kv_cache_tokens;
    o.max_queue = flags_.max_queue;
    o.enable_prefix_caching = flags_.enable_prefix_caching;
    o.usable_vocab = std::min(service_.vocab_size(), session.model->info().vocab_size);
    o.faults = Faults::from_environment();
    if (!flags_.trace.empty()) o.trace = std::make_shared<TraceRecorder>(flags_.trace);
    engine_ = std::make_unique<ModelEngine>(std::shared_ptr<Model>(std::move(session.model)), std::move(o));
  }

  static server::RequestRecord record_of(const FinishedRequest& r) {
    server::RequestRecord out;
    out.route = r.route;
    out.model = r.model;
    out.status = r.status;
    out.finish = r.status == 499                                                ? server::RequestFinish::Abort
                 : r.finish_reason == "length"                                  ? server::RequestFinish::Length
                 : r.finish_reason == "stop" || r.finish_reason == "tool_calls" ? server::RequestFinish::Stop
                                                                                : server::RequestFinish::Error;
    out.prompt_tokens = r.prompt_tokens;
    out.cached_tokens = r.cached_tokens;
    out.generated_tokens = out.most_generated_tokens = r.completion_tokens;
    out.n = r.choices;
    if (r.max_tokens > 0) out.max_tokens = r.max_tokens;
    out.preemptions = r.preemptions;
    out.queue_seconds = r.queue_seconds;
    out.prefill_seconds = r.prefill_seconds;
    out.decode_seconds = r.decode_seconds;
    out.total_seconds = r.seconds;
    out.time_to_first_token_seconds = r.first_token_seconds;
    out.inter_token_seconds = r.token_gaps;
    return out;
  }

  ServeFlags flags_;
  Service service_;
  std::unique_ptr<Engine> engine_;
  server::ServerMetrics* metrics_ = nullptr;
  double load_seconds_ = 0;
};

}  // namespace

std::unique_ptr<ServedApi> load_api(const ServeFlags& flags) { return std::make_unique<LoadedApi>(flags); }

}  // namespace infernum::app

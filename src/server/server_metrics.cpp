#include "server/server_metrics.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "server/access_log.h"
#include "server/process_stats.h"

namespace infernum::server {
namespace {

// Bounds of vLLM's histograms (vllm/v1/metrics/loggers.py): equal ones, so that series of both servers can be added.
const std::vector<double>& first_token_bounds() {
  static const std::vector<double> bounds{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                          1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
  return bounds;
}
const std::vector<double>& token_bounds() {
  static const std::vector<double> bounds{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
  return bounds;
}
const std::vector<double>& request_bounds() {
  static const std::vector<double> bounds{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
  return bounds;
}
std::vector<double> step_bounds() { return {StepTokens::bounds.begin(), StepTokens::bounds.end()}; }

std::string_view name_of(CacheLimit limit) {
  switch (limit) {
    case CacheLimit::Whole: return "whole";
    case CacheLimit::Disabled: return "disabled";
    case CacheLimit::Unseen: return "unseen";
    case CacheLimit::Evicted: return "evicted";
    case CacheLimit::StateNotKept: return "state_not_kept";
  }
  return "unseen";
}

std::string_view name_of(EngineState state) {
  switch (state) {
    case EngineState::Running: return "running";
    case EngineState::Failed: return "failed";
    case EngineState::Stopped: return "stopped";
  }
  return "failed";
}

/// A client may send any word as a method; a label takes only those that a server knows.
std::string_view known_method(std::string_view method) {
  constexpr std::array<std::string_view, 7> known{"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"};
  return std::find(known.begin(), known.end(), method) != known.end() ? method : "other";
}

std::string own(std::string_view name) { return "infernum_" + std::string(name); }

}  // namespace

/// Those of the server hold their only child; those of engines have one per engine.
struct ServerMetrics::Families {
  MetricRegistry& registry;
  MetricNames names;

  /// vLLM's name and ours, which are the same but for the prefix unless `ours` says otherwise.
  FamilyText both(std::string_view name, std::string help, std::vector<std::string> more = {}, std::string_view ours = {}) const {
    FamilyText text = engine_own(ours.empty() ? name : ours, std::move(help), std::move(more));
    if (names == MetricNames::Vllm) text.names.clear();
    if (names != MetricNames::Infernum) text.names.insert(text.names.begin(), "vllm:" + std::string(name));
    return text;
  }
  static FamilyText engine_own(std::string_view name, std::string help, std::vector<std::string> more = {}) {
    FamilyText text{{own(name)}, std::move(help), {"model_name", "engine"}};
    text.labels.insert(text.labels.end(), more.begin(), more.end());
    return text;
  }
  /// The bounds of some are those of their engine's context.
  Family<Histogram>& histogram(std::string_view name, std::string help, std::vector<double> bounds = {1},
                               std::string_view ours = {}) const {
    return registry.histogram(both(name, std::move(help), {}, ours), std::move(bounds));
  }

  // Polled from the engine.
  Family<Gauge>& running = registry.gauge(both("num_requests_running", "Requests in the batches of the engine."));
  Family<Gauge>& waiting = registry.gauge(both("num_requests_waiting", "Requests waiting to be run."));
  Family<Gauge>& cache_usage = registry.gauge(both("kv_cache_usage_perc", "Share of the cache blocks in use by requests, 0 to 1."));
  Family<Gauge>& cache_config = registry.gauge(
      both("cache_config_info", "What the cache is; 1.", {"block_size", "num_gpu_blocks", "cache_dtype", "enable_prefix_caching"}));
  Family<Gauge>& lora =
      registry.gauge(both("lora_requests_info", "Adapters in use; the value is the time of the last update in seconds since 1970.",
                          {"max_lora", "running_lora_adapters", "waiting_lora_adapters"}));
  Family<Total>& prefix_queries = registry.total(both("prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache."));
  Family<Total>& prefix_hits = registry.total(both("prefix_cache_hits_total", "Prompt tokens found in the prefix cache."));
  Family<Total>& preemptions = registry.total(both("num_preemptions_total", "Times a running request had to make room for others."));
  Family<Total>& prompt_tokens = registry.total(both("prompt_tokens_total", "Prompt tokens computed."));
  Family<Total>& generated_tokens = registry.total(both("generation_tokens_total", "Tokens generated."));
  Family<Total>& steps = registry.total(engine_own("engine_steps_total", "Steps of the engine."));
  Family<Gauge>& state = registry.gauge(engine_own("engine_state", "1 for the state that the engine is in.", {"state"}));
  Family<Gauge>& heartbeat =
      registry.gauge(engine_own("engine_heartbeat_age_seconds", "Time since the last sign of life of the engine's thread."));
  Family<Gauge>& weights = registry.gauge(engine_own("weights_bytes", "Size of the weights."));
  Family<Gauge>& load = registry.gauge(engine_own("model_load_seconds", "Time that loading took."));
  Family<Gauge>& max_sequences = registry.gauge(engine_own("max_sequences", "Most requests in one batch."));

  // At the end of each request.
  Family<Counter>& success = registry.counter(both("request_success_total", "Requests that ended, by why.", {"finished_reason"}));
  Family<Counter>& cached_tokens =
      registry.counter(both("prompt_tokens_cached_total", "Prompt tokens that were taken from the prefix cache."));
  Family<Counter>& cache_limit = registry.counter(
      engine_own("request_cache_limit_total", "Requests by why no more of their prompts came from the prefix cache.", {"reason"}));
  Family<Counter>& preempted = registry.counter(engine_own("requests_preempted_total", "Requests that were preempted at least once."));

  Family<Histogram>& prompt = histogram("request_prompt_tokens", "Prompt tokens per request.");
  Family<Histogram>& generation = histogram("request_generation_tokens", "Tokens generated per request.");
  Family<Histogram>& most_generation = histogram("request_max_num_generation_tokens", "Tokens of the longest choice per request.");
  Family<Histogram>& max_tokens = histogram("request_params_max_tokens", "Most tokens that each choice of a request may have.");
  Family<Histogram>& n = histogram("request_params_n", "n per request.", {1, 2, 5, 10, 20});
  Family<Histogram>& first_token =
      histogram("time_to_first_token_seconds", "From the arrival of a request to its first token.", first_token_bounds());
  Family<Histogram>& inter_token = histogram("inter_token_latency_seconds", "Between two tokens of a request.", token_bounds());
  Family<Histogram>& per_output_token = histogram("time_per_output_token_seconds", "The same under its former name.", token_bounds());
  Family<Histogram>& request_per_token =
      histogram("request_time_per_output_token_seconds", "Mean time per token behind the first, per request.", token_bounds());
  Family<Histogram>& total =
      histogram("e2e_request_latency_seconds", "From the arrival of a request to the end of its answer.", request_bounds());
  Family<Histogram>& queue = histogram("request_queue_time_seconds", "Waiting to be run, per request.", request_bounds());
  Family<Histogram>& inference = histogram("request_inference_time_seconds", "Prefill and decode, per request.", request_bounds());
  Family<Histogram>& prefill =
      histogram("request_prefill_time_seconds", "From the first step to the first token, per request.", request_bounds());
  Family<Histogram>& decode = histogram("request_decode_time_seconds", "From the first token to the end, per request.", request_bounds());
  // vLLM's name ends as a counter's does; ours does not.
  Family<Histogram>& step_tokens = histogram("iteration_tokens_total", "Tokens per step of the engine.", step_bounds(), "iteration_tokens");

  // Of the server.
  Family<Counter>& responses = registry.counter({{own("http_requests_total")}, "Responses.", {"route", "method", "status"}});
  Gauge& open = registry.gauge({{own("http_connections")}, "Open connections."}).with();
  Total& refused = registry.total({{own("http_connections_refused_total")}, "Connections over a limit."}).with();
  Total& disconnects = registry.total({{own("client_disconnects_total")}, "Clients that went before their answer was complete."}).with();
  Total& backpressure =
      registry.total({{own("sse_backpressure_aborts_total")}, "Streams cut off because their client read too slowly."}).with();
  Total& timeouts = registry.total({{own("http_timeouts_total")}, "Requests that came too slowly."}).with();
  Total& bytes_in = registry.total({{own("http_received_bytes_total")}, "Bytes read from clients."}).with();
  Total& bytes_out = registry.total({{own("http_sent_bytes_total")}, "Bytes written to clients."}).with();
  Total& spans_sent = registry.total({{own("otlp_spans_sent_total")}, "Requests whose spans the collector has taken."}).with();
  Total& spans_dropped = registry.total({{own("otlp_spans_dropped_total")}, "Requests whose spans were not sent."}).with();
  Family<Counter>& rejections = registry.counter({{own("rejected_total")}, "Requests refused before they reached the engine.", {"reason"}});
  Family<Gauge>& build = registry.gauge({{own("build_info")}, "The running program; 1.", {"version", "compiler"}});
  Total& cpu = registry.total({{"process_cpu_seconds_total"}, "Processor time, user and system."}).with();
  Gauge& resident = registry.gauge({{"process_resident_memory_bytes"}, "Resident memory."}).with();
  Gauge& virtual_memory = registry.gauge({{"process_virtual_memory_bytes"}, "Virtual memory."}).with();
  Gauge& started = registry.gauge({{"process_start_time_seconds"}, "Start of the process in seconds since 1970."}).with();
  Gauge& fds = registry.gauge({{"process_open_fds"}, "Open file descriptors."}).with();
  Gauge& max_fds = registry.gauge({{"process_max_fds"}, "Most open file descriptors."}).with();
  Gauge& threads = registry.gauge({{own("process_threads")}, "Threads."}).with();
};

struct EngineMetrics::State {
  ServedEngine served;
  ServerMetrics::Families& families;
  const std::vector<std::string> labels{served.model_name, served.index};
  const std::vector<double> lengths = one_two_five(served.info.context);
  Histogram& prompt = families.prompt.with(labels, lengths);
  Histogram& generation = families.generation.with(labels, lengths);
  Histogram& most_generation = families.most_generation.with(labels, lengths);
  Histogram& max_tokens = families.max_tokens.with(labels, lengths);
  Histogram& n = families.n.with(labels);
  Histogram& first_token = families.first_token.with(labels);
  Histogram& inter_token = families.inter_token.with(labels);
  Histogram& per_output_token = families.per_output_token.with(labels);
  Histogram& request_per_token = families.request_per_token.with(labels);
  Histogram& total = families.total.with(labels);
  Histogram& queue = families.queue.with(labels);
  Histogram& inference = families.inference.with(labels);
  Histogram& prefill = families.prefill.with(labels);
  Histogram& decode = families.decode.with(labels);
  Histogram& step_tokens = families.step_tokens.with(labels);

  std::vector<std::string> with(std::vector<std::string> more) const {
    more.insert(more.begin(), labels.begin(), labels.end());
    return more;
  }

  /// What never changes, and the zeros that a dashboard's rates begin with.
  void announce() {
    families.cache_config
        .with(with({std::to_string(served.block_tokens),
                    std::to_string(served.block_tokens > 0 ? served.info.cache_tokens / served.block_tokens : 0), served.cache_dtype,
                    served.prefix_caching ? "True" : "False"}))  // as Python writes them, for readers of vLLM's labels
        .set(1);
    families.weights.with(labels).set(static_cast<double>(served.weights_bytes));
    families.load.with(labels).set(served.load_seconds);
    families.max_sequences.with(labels).set(static_cast<double>(served.info.max_sequences));
    for (const char* outcome : {"stop", "length", "abort", "error"}) families.success.with(with({outcome}));
    families.cached_tokens.with(labels);
    families.preempted.with(labels);
  }

  void poll() {
    if (!served.stats) return;
    const EngineStats stats = served.stats();
    const auto number = [](auto value) { return static_cast<double>(value); };
    families.running.with(labels).set(number(stats.running));
    families.waiting.with(labels).set(number(stats.waiting));
    families.cache_usage.with(labels).set(stats.cache_blocks > 0 ? number(stats.cache_blocks_used) / number(stats.cache_blocks) : 0);
    families.lora.with(with({"0", "", ""})).set(unix_now());
    families.prefix_queries.with(labels).set(number(stats.prefix_queries));
    families.prefix_hits.with(labels).set(number(stats.prefix_hits));
    families.preemptions.with(labels).set(number(stats.preemptions));
    families.prompt_tokens.with(labels).set(number(stats.prompt_tokens));
    families.generated_tokens.with(labels).set(number(stats.generated_tokens));
    families.steps.with(labels).set(number(stats.steps));
    step_tokens.set(stats.step_tokens.counts, number(stats.step_tokens.sum));
    for (const auto state : {EngineState::Running, EngineState::Failed, EngineState::Stopped})
      families.state.with(with({std::string(name_of(state))})).set(state == stats.state ? 1 : 0);
    const double age = std::chrono::duration<double>(std::chrono::steady_clock::now() - stats.heartbeat).count();
    families.heartbeat.with(labels).set(stats.heartbeat == SteadyTime() ? 0 : std::max(0.0, age));
  }
};

EngineMetrics::EngineMetrics(std::unique_ptr<State> state) : state_(std::move(state)) {}
EngineMetrics::~EngineMetrics() = default;

void EngineMetrics::request(const RequestRecord& record) {
  State& s = *state_;
  const auto observe = [](Histogram& histogram, auto value) { histogram.observe(static_cast<double>(value)); };
  s.families.success.with(s.with({std::string(record.outcome())})).add();
  s.families.cache_limit.with(s.with({std::string(name_of(record.cache_limit))})).add();
  s.families.cached_tokens.with(s.labels).add(static_cast<uint64_t>(std::max<int64_t>(0, record.cached_tokens)));
  if (record.preemptions > 0) s.families.preempted.with(s.labels).add();
  observe(s.prompt, record.prompt_tokens);
  observe(s.generation, record.completion_tokens);
  observe(s.most_generation, record.longest_choice);
  observe(s.n, record.choices);
  observe(s.max_tokens, record.max_tokens);
  observe(s.total, record.seconds);
  observe(s.queue, record.queue_seconds);
  observe(s.prefill, record.prefill_seconds);
  observe(s.decode, record.decode_seconds);
  observe(s.inference, record.prefill_seconds + record.decode_seconds);
  if (record.first_token_seconds) observe(s.first_token, *record.first_token_seconds);
  if (record.longest_choice > 1) observe(s.request_per_token, record.decode_seconds / static_cast<double>(record.longest_choice - 1));
  for (const float gap : record.token_gaps) inter_token(static_cast<double>(gap));
}

void EngineMetrics::inter_token(double seconds) {
  state_->inter_token.observe(seconds);
  state_->per_output_token.observe(seconds);
}

ServerMetrics::ServerMetrics(MetricNames names, std::string_view version) : families_(new Families{registry_, names}) {
  families_->build.with({std::string(version), __VERSION__}).set(1);
}

ServerMetrics::~ServerMetrics() = default;

EngineMetrics& ServerMetrics::add_engine(ServedEngine engine) {
  std::unique_ptr<EngineMetrics::State> state(new EngineMetrics::State{std::move(engine), *families_});
  state->announce();
  std::lock_guard lock(mutex_);
  engines_.emplace_back(new EngineMetrics(std::move(state)));
  return *engines_.back();
}

void ServerMetrics::freeze() {
  std::lock_guard lock(mutex_);
  poll_sources();
  frozen_ = true;
}

/// With the mutex held.
void ServerMetrics::poll_sources() {
  if (frozen_) return;
  for (const auto& engine : engines_) engine->state_->poll();
  if (spans_) {
    const SpanCounts counts = spans_();
    families_->spans_sent.set(static_cast<double>(counts.sent));
    families_->spans_dropped.set(static_cast<double>(counts.dropped));
  }
  if (!http_) return;
  const HttpStats totals = http_();
  const auto set = [](Gauge& gauge, uint64_t value) { gauge.set(static_cast<double>(value)); };
  set(families_->open, totals.connections);
  set(families_->refused, totals.refused);
  set(families_->disconnects, totals.disconnects);
  set(families_->backpressure, totals.slow_readers);
  set(families_->timeouts, totals.timeouts);
  set(families_->bytes_in, totals.bytes_in);
  set(families_->bytes_out, totals.bytes_out);
}

void ServerMetrics::request(const RequestRecord& record) {
  std::lock_guard lock(mutex_);
  for (const auto& engine : engines_)
    if (engine->state_->served.model_name == record.model) return engine->request(record);
}

void ServerMetrics::response(std::string_view route, std::string_view method, int status) {
  families_->responses.with({route.empty() ? "unknown" : std::string(route), std::string(known_method(method)), std::to_string(status)})
      .add();
}

void ServerMetrics::set_http(std::function<HttpStats()> totals) {
  std::lock_guard lock(mutex_);
  http_ = std::move(totals);
}

void ServerMetrics::set_spans(std::function<SpanCounts()> totals) {
  std::lock_guard lock(mutex_);
  spans_ = std::move(totals);
}

void ServerMetrics::rejected(std::string_view reason) { families_->rejections.with({std::string(reason)}).add(); }

void ServerMetrics::poll() {
  {
    std::lock_guard lock(mutex_);
    poll_sources();
  }
  const ProcessStats process = process_stats();
  families_->cpu.set(process.cpu_seconds);
  families_->resident.set(static_cast<double>(process.resident_bytes));
  families_->virtual_memory.set(static_cast<double>(process.virtual_bytes));
  families_->started.set(process.start_unix_seconds);
  families_->fds.set(static_cast<double>(process.open_fds));
  families_->max_fds.set(static_cast<double>(process.max_fds));
  families_->threads.set(static_cast<double>(process.threads));
}

std::string ServerMetrics::text(TextFormat format) {
  poll();
  return registry_.render(format);
}

Handler ServerMetrics::handler() {
  return [this](const std::shared_ptr<Exchange>& exchange) {
    std::string accept;  // several of this header mean one list
    for (const auto& [name, value] : exchange->request().headers)
      if (name == "accept") accept += value + ',';
    const TextFormat format = negotiate(accept);
    HttpResponse response;
    response.body = text(format);
    response.content_type = content_type(format);
    exchange->respond(std::move(response));
  };
}

}  // namespace infernum::server

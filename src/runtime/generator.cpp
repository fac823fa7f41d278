#include "runtime/generator.h"

#include <algorithm>
#include <chrono>

#include "core/check.h"
#include "core/device_error.h"
#include "runtime/engine_core.h"
#include "runtime/stop_matcher.h"
#include "text/stream_decoder.h"

namespace infernum {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The last few prompt ids: what a decoder needs to join text to what came before.
std::span<const int32_t> tail(const std::vector<int32_t>& ids) { return std::span(ids).last(std::min<size_t>(5, ids.size())); }

EngineCoreOptions core_options(const Model& model, const Tokenizer& tokenizer, const GeneratorOptions& options) {
  EngineCoreOptions o;
  o.scheduler.max_num_seqs = options.max_sequences;
  o.scheduler.max_num_batched_tokens = std::max(options.prefill_chunk, options.max_sequences);
  o.cache_tokens = options.cache_tokens > 0 ? options.cache_tokens : model.info().context * options.max_sequences;
  o.usable_vocab = tokenizer.vocab_size();
  o.kept_windows = 1;  // windows are large, and a conversation goes back to one place
  return o;
}

}  // namespace

struct Generator::Engine {
  Engine(Model& model, const EngineCoreOptions& options, int64_t max_sequences)
      : core(model, options, faults, events, nullptr),
        info{model.info().vocab_size, std::min(model.info().context, options.cache_tokens), options.cache_tokens, max_sequences} {}
  ~Engine() { end_all(); }
  void end_all() {
    core.end_all(EndReason::Cancelled, {});
    events.take();
  }

  Faults faults;
  EventBatch events;
  EngineCore core;
  EngineInfo info;
  RequestId ids = 0;  ///< given away
};

/// One request on its way: tokens in, text out.
class Generator::Running {
 public:
  Running(size_t index, const GenerationRequest& request, const Tokenizer& tokenizer)
      : index_(index), request_(&request), decoder_(tokenizer, true, tail(request.prompt)), stops_(request.stop), start_(Clock::now()) {}

  Generation result;
  bool finished() const { return result.finish != FinishReason::Running; }

  EngineRequest for_engine(int64_t context) const {
    EngineRequest r;
    r.prompt = request_->prompt;
    r.sampling = request_->sampling;
    r.max_tokens = request_->max_tokens > 0 ? request_->max_tokens : context;
    r.stop_ids = request_->stop_ids;
    r.top_logprobs = request_->top_logprobs;
    return r;
  }

  void take(ScoredToken token, const OnText& on_text) {
    if (finished()) return;
    if (result.tokens.empty()) result.first_token_seconds = seconds_since(start_);
    const int32_t id = token.id;
    result.tokens.push_back(std::move(token));
    const bool ends = std::find(request_->stop_ids.begin(), request_->stop_ids.end(), id) != request_->stop_ids.end();
    emit(ends ? std::string() : stops_.push(decoder_.push(id)), on_text);
    if (!finished() && (ends || stops_.stopped())) finish(FinishReason::Stop, on_text);
  }

  void end(const RequestEnd& end, const OnText& on_text) {
    result.cached_tokens = end.bill.cached_tokens;
    if (end.reason == EndReason::NotFinite) throw NotFinite(end.cause);
    if (end.reason == EndReason::OutOfMemory) throw OutOfMemory(end.message);
    if (end.reason == EndReason::Fault) throw Error(end.cause);
    if (!finished()) finish(FinishReason::Length, on_text);
  }

 private:
  void emit(const std::string& text, const OnText& on_text) {
    if (text.empty()) return;
    result.text += text;
    if (on_text && !on_text(index_, text)) {
      result.finish = FinishReason::Cancelled;
      result.total_seconds = seconds_since(start_);
    }
  }
  void finish(FinishReason reason, const OnText& on_text) {
    emit(stops_.push(decoder_.finish()), on_text);
    emit(stops_.finish(), on_text);
    if (!finished()) result.finish = reason;
    result.total_seconds = seconds_since(start_);
  }

  size_t index_;
  const GenerationRequest* request_;
  StreamDecoder decoder_;
  StopMatcher stops_;
  Clock::time_point start_;
};

Generator::Generator(Model& model, Tokenizer tokenizer, GeneratorOptions options)
    : tokenizer_(std::move(tokenizer)),
      engine_(std::make_unique<Engine>(model, core_options(model, tokenizer_, options), options.max_sequences)) {}

Generator::~Generator() = default;

int64_t Generator::cache_bytes() const { return engine_->core.pools().bytes(); }

std::vector<Generation> Generator::run(const std::vector<GenerationRequest>& requests, const OnText& on_text) {
  EngineCore& core = engine_->core;
  std::vector<Running> running;
  std::vector<EngineRequest> accepted;
  for (size_t i = 0; i < requests.size(); i++) {
    running.emplace_back(i, requests[i], tokenizer_);
    accepted.push_back(running[i].for_engine(engine_->info.context));
    check_engine_request(accepted[i], engine_->info);
  }
  const RequestId first = std::exchange(engine_->ids, engine_->ids + requests.size());
  try {
    for (size_t i = 0; i < requests.size(); i++) core.add(first + i, std::move(accepted[i]), Clock::now(), first + i + 1);
    for (bool working = true; working;) {
      working = core.step();
      check(working || core.idle(), "generation: there are requests, but nothing to do");
      for (EngineEvent& event : engine_->events.take()) {
        Running& r = running[event.request - first];
        for (ScoredToken& token : event.tokens) r.take(std::move(token), on_text);
        if (event.end)
          r.end(*event.end, on_text);
        else if (r.finished())
          core.cancel(event.request);
      }
    }
  } catch (...) {
    engine_->end_all();
    throw;
  }
  std::vector<Generation> results;
  for (Running& r : running) results.push_back(std::move(r.result));
  return results;
}

}  // namespace infernum

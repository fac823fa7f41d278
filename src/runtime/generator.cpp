#include "runtime/generator.h"

#include <algorithm>
#include <chrono>

#include "core/check.h"
#include "runtime/stop_matcher.h"
#include "text/stream_decoder.h"

namespace infernum {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The last few prompt ids: what a decoder needs to join text to what came before.
std::span<const int32_t> tail(const std::vector<int32_t>& ids) { return std::span(ids).last(std::min<size_t>(5, ids.size())); }

}  // namespace

/// One request on its way. Its cache holds tokens 0 .. done - 1 of prompt + output.
class Generator::Running {
 public:
  Running(size_t index, const GenerationRequest& request, const Tokenizer& tokenizer, SequenceCache& cache, int64_t done)
      : index_(index),
        request_(&request),
        cache_(&cache),
        done_(done),
        decoder_(tokenizer, true, tail(request.prompt)),
        stops_(request.stop),
        start_(Clock::now()) {
    result.cached_tokens = done;
  }

  Generation result;
  bool finished() const { return result.finish != FinishReason::Running; }
  int64_t length() const { return static_cast<int64_t>(request_->prompt.size() + result.tokens.size()); }
  int64_t done() const { return done_; }

  /// The next tokens to compute: a chunk of the prompt, or the token sampled last.
  StepItem plan(int64_t chunk) {
    const auto prompt = static_cast<int64_t>(request_->prompt.size());
    const int64_t n = done_ < prompt ? std::min(chunk, prompt - done_) : 1;
    const int32_t* first = done_ < prompt ? request_->prompt.data() + done_ : &output_.back();
    check(cache_->reserve(done_ + n), "generation: the key-value cache is full", "tokens", done_ + n);
    const bool samples = done_ + n == length();
    return {cache_, {first, static_cast<size_t>(n)}, done_, samples ? StepItem::Logits::Last : StepItem::Logits::None};
  }

  /// Takes what the step computed; `logits` is empty while the prompt is not done.
  void advance(const StepItem& item, std::span<float> logits, int64_t usable_vocab, int64_t context, const OnText& on_text) {
    done_ += static_cast<int64_t>(item.tokens.size());
    if (logits.empty()) return;
    ScoredToken token = choose_token(logits, request_->sampling, {request_->top_logprobs}, {request_->prompt, output_, usable_vocab});
    output_.push_back(token.id);
    if (result.tokens.empty()) result.first_token_seconds = seconds_since(start_);
    result.tokens.push_back(std::move(token));
    const int32_t id = result.tokens.back().id;
    const bool ends = std::find(request_->stop_ids.begin(), request_->stop_ids.end(), id) != request_->stop_ids.end();
    emit(ends ? std::string() : stops_.push(decoder_.push(id)), on_text);
    if (finished()) return;
    if (ends || stops_.stopped()) return finish(FinishReason::Stop, on_text);
    const auto count = static_cast<int64_t>(result.tokens.size());
    if ((request_->max_tokens > 0 && count >= request_->max_tokens) || length() >= context) finish(FinishReason::Length, on_text);
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
  SequenceCache* cache_;
  int64_t done_;
  std::vector<int32_t> output_;
  StreamDecoder decoder_;
  StopMatcher stops_;
  Clock::time_point start_;
};

/// The sequence of the last continue_with(): its cache, which tokens that holds, and a border to which it can go back.
struct Generator::Kept {
  SequenceCache cache;
  std::vector<int32_t> tokens;
  int64_t checkpoint = 0;
};

Generator::Generator(Model& model, Tokenizer tokenizer, GeneratorOptions options)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      options_(options),
      pools_(model, options.cache_tokens > 0 ? options.cache_tokens : model.info().context * options.max_sequences, options.max_sequences,
             options.prefill_chunk, 1) {}

Generator::~Generator() = default;

void Generator::check_request(const GenerationRequest& request) const {
  const int64_t context = model_.info().context;
  check(!request.prompt.empty(), "generation: the prompt has no tokens");
  check(static_cast<int64_t>(request.prompt.size()) < context, "generation: the prompt is longer than the context", "prompt tokens",
        request.prompt.size(), "context", context);
  for (int32_t id : request.prompt)
    check(id >= 0 && id < model_.info().vocab_size, "generation: a token of the prompt is outside of the model's vocabulary", id,
          model_.info().vocab_size);
  check_sampling(request.sampling, model_.info().vocab_size);
}

void Generator::step(std::vector<Running>& running, const OnText& on_text) {
  std::vector<StepItem> items;
  std::vector<Running*> who;
  for (Running& r : running)
    if (!r.finished()) items.push_back(r.plan(options_.prefill_chunk)), who.push_back(&r);
  StepLogits logits = run_step(model_, items);
  // Rows of the embedding beyond the tokenizer's vocabulary are padding and never sampled.
  const int64_t usable = std::min<int64_t>(model_.info().vocab_size, tokenizer_.vocab_size());
  for (size_t i = 0; i < items.size(); i++) {
    const bool has_row = logits.first_row[i + 1] > logits.first_row[i];
    who[i]->advance(items[i], has_row ? logits.row(logits.first_row[i]) : std::span<float>(), usable, model_.info().context, on_text);
  }
}

std::vector<Generation> Generator::run(const std::vector<GenerationRequest>& requests, const OnText& on_text) {
  for (const auto& r : requests) check_request(r);
  check(static_cast<int64_t>(requests.size()) <= options_.max_sequences, "generation: more requests than sequences were reserved",
        requests.size(), options_.max_sequences);
  kept_.reset();
  std::vector<SequenceCache> caches;
  std::vector<Running> running;
  for (size_t i = 0; i < requests.size(); i++) caches.emplace_back(pools_);
  for (size_t i = 0; i < requests.size(); i++) running.emplace_back(i, requests[i], tokenizer_, caches[i], 0);
  while (std::any_of(running.begin(), running.end(), [](const Running& r) { return !r.finished(); })) step(running, on_text);
  std::vector<Generation> results;
  for (Running& r : running) results.push_back(std::move(r.result));
  return results;
}

Generation Generator::continue_with(const GenerationRequest& request, const OnText& on_text) {
  check_request(request);
  if (!kept_) kept_ = std::make_unique<Kept>(Kept{SequenceCache(pools_), {}, 0});
  // At least one token is computed, for its logits.
  const auto shared = std::mismatch(kept_->tokens.begin(), kept_->tokens.end(), request.prompt.begin(), request.prompt.end() - 1).first -
                      kept_->tokens.begin();
  const int64_t done = kept_->cache.longest_prefix(shared);
  kept_->cache.rewind(done);
  // Templates often write the last answer, and what opens it, otherwise in the next turn: keep a place shortly before the prompt's end.
  const int64_t checkpoint = static_cast<int64_t>(request.prompt.size()) / block_tokens * block_tokens - block_tokens;
  if (checkpoint > done) {
    kept_->cache.forget(kept_->checkpoint);
    kept_->cache.keep(kept_->checkpoint = checkpoint);
  }
  std::vector<Running> running;
  running.emplace_back(0, request, tokenizer_, kept_->cache, done);
  kept_->tokens.resize(static_cast<size_t>(done));
  try {
    while (!running[0].finished()) step(running, on_text);
  } catch (...) {
    kept_.reset();
    throw;
  }
  kept_->tokens = request.prompt;
  for (const auto& t : running[0].result.tokens) kept_->tokens.push_back(t.id);
  kept_->tokens.resize(static_cast<size_t>(running[0].done()));
  return std::move(running[0].result);
}

}  // namespace infernum

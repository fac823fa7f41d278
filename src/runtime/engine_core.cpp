#include "runtime/engine_core.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "core/check.h"
#include "core/device_error.h"
#include "core/log.h"
#include "runtime/token_counts.h"
#include "runtime/trace_recorder.h"

namespace infernum {
namespace {

using Clock = std::chrono::steady_clock;

/// Logits of one step that scored prompts may take.
constexpr int64_t scored_bytes = int64_t{64} << 20;

/// Pools keep more than the sequences need only if there is somebody to use it.
CachePools::Checkpoints checkpoints(const EngineCoreOptions& options) {
  if (!options.scheduler.enable_prefix_caching) return {};
  const int64_t two_each = 2 * options.scheduler.max_num_seqs;
  return {options.kept_windows > 0 ? options.kept_windows : two_each, two_each};
}

}  // namespace

struct EngineCore::Request : Sequence {
  Request(CachePools& pools, Ticket t, EngineRequest r, SteadyTime time, uint64_t n)
      : Sequence(pools), ticket(std::move(t)), request(std::move(r)), number(n), submitted(time) {}

  Ticket ticket;
  EngineRequest request;
  uint64_t number;  ///< of all accepted requests, from 1
  int64_t most_tokens = 0;
  std::vector<ScoredToken> prompt;
  TokenCounts counts;  ///< filled if there are penalties
  SteadyTime submitted;
  std::optional<SteadyTime> first_step, first_token;
  bool counted = false, prompt_told = false;

  int64_t generated() const { return length() - prompt_tokens; }
  std::span<const int32_t> prompt_ids() const { return std::span(tokens).first(static_cast<size_t>(prompt_tokens)); }
  std::span<const int32_t> output_ids() const { return std::span(tokens).subspan(static_cast<size_t>(prompt_tokens)); }
  /// Whether the logits of this position score a token of the prompt that has no score yet.
  bool scores(int64_t position) const {
    return request.prompt_logprobs >= 0 && !prompt_told && position + 1 < prompt_tokens &&
           position + 1 >= static_cast<int64_t>(prompt.size());
  }
};

EngineCore::EngineCore(Model& model, const EngineCoreOptions& options, const Faults& faults, EventBatch& events, TraceRecorder* trace)
    : model_(model),
      options_(options),
      faults_(faults),
      events_(events),
      trace_(trace),
      pools_(model, options.cache_tokens, options.scheduler.max_num_seqs, options.scheduler.max_num_batched_tokens, checkpoints(options)),
      scheduler_(pools_, options.scheduler) {
  const auto& groups = model.info().groups;
  for (size_t g = 0; g < groups.size(); g++)
    if (whole_group_ < 0 || groups[g].kind == Retention::Kind::All) whole_group_ = static_cast<int>(g);
}

EngineCore::~EngineCore() = default;

int64_t EngineCore::cache_bytes(const ModelInfo& info, const EngineCoreOptions& o) {
  return CachePools::bytes_for(info, o.cache_tokens, o.scheduler.max_num_seqs, o.scheduler.max_num_batched_tokens, checkpoints(o));
}

void EngineCore::add(RequestId id, EngineRequest request, SteadyTime submitted, uint64_t number) {
  Ticket ticket(events_, id);
  if (requests_.count(id)) return ticket.end({EndReason::Fault, "the id of this request is in use", {}});
  auto r = std::make_unique<Request>(pools_, std::move(ticket), std::move(request), submitted, number);
  const int64_t vocab = model_.info().vocab_size;
  r->tokens = std::move(r->request.prompt);
  r->prompt_tokens = r->length();
  r->priority = r->request.priority;
  r->salt = r->request.cache_salt;
  r->queue_deadline = r->request.queue_deadline;
  r->deadline = r->request.deadline;
  r->most_tokens = std::min(r->request.max_tokens, std::min(model_.info().context, options_.cache_tokens) - r->prompt_tokens);
  if (r->request.prompt_logprobs >= 0) {
    r->share_prefix = false;
    r->most_per_step = std::max<int64_t>(1, scored_bytes / (vocab * static_cast<int64_t>(sizeof(float))));
    r->prompt.push_back({r->tokens[0], {}, 0, {}});
  }
  scheduler_.add(*r);
  by_sequence_[r.get()] = r.get();
  requests_.emplace(id, std::move(r));
}

void EngineCore::cancel(RequestId id) {
  if (const auto it = requests_.find(id); it != requests_.end()) end(*it->second, EndReason::Cancelled);
}

void EngineCore::expire(SteadyTime now) {
  for (const auto& [sequence, in_queue] : scheduler_.expired(now)) {
    Request& r = *by_sequence_.at(sequence);
    end(r, in_queue ? EndReason::QueueTimeout : EndReason::Timeout);
  }
}

void EngineCore::end_all(EndReason reason, const std::string& message) {
  while (!requests_.empty()) end(*requests_.begin()->second, reason, {}, message);
}

/// The only way out of requests_; whatever else destroys a request leaves its ticket to say so.
void EngineCore::end(Request& r, EndReason reason, const std::string& cause, const std::string& message) {
  const auto now = Clock::now();
  RequestBill bill = bill_of(r.submitted, r.first_step, r.first_token, now);
  bill.prompt_tokens = r.prompt_tokens;
  bill.cached_tokens = r.cached_tokens;
  bill.generated_tokens = r.generated();
  bill.preemptions = r.preemptions;
  bill.cache_limit = r.cache_limit;
  if (trace_) trace_->request(r.ticket.id(), r.submitted, r.first_step.value_or(now), r.first_token.value_or(now), now, bill);
  r.ticket.end({reason, message.empty() ? client_message(reason) : message, bill, cause});
  scheduler_.remove(r);
  by_sequence_.erase(&r);
  requests_.erase(r.ticket.id());
}

EngineCore::Request& EngineCore::request_of(const PlannedRow& row) const { return *by_sequence_.at(row.sequence); }

StepItem EngineCore::item_of(const PlannedRow& row) const {
  Request& r = request_of(row);
  const std::span<const int32_t> tokens = std::span(r.tokens).subspan(static_cast<size_t>(row.first), static_cast<size_t>(row.count));
  StepItem item{&r.cache, tokens, row.first, StepItem::Logits::None};
  if (r.scores(row.first + row.count - 1) || (row.count > 1 && r.scores(row.first + row.count - 2)))
    item.logits = StepItem::Logits::All;
  else if (row.reaches_end() && r.most_tokens > 0)
    item.logits = StepItem::Logits::Last;
  return item;
}

/// The faults on order that a model would have thrown.
void EngineCore::inject(const std::vector<PlannedRow>& rows) const {
  std::this_thread::sleep_for(faults_.sleep(steps_));
  if (faults_.at(Faults::Place::Step, steps_, Faults::Action::Lost))
    throw DeviceLost("fault: the device is lost in step " + std::to_string(steps_), "on order");
  const auto at = [&](Faults::Place place, uint64_t number) {
    check(!faults_.at(place, number, Faults::Action::Throw), "fault: it throws on order", number);
    if (faults_.at(place, number, Faults::Action::Oom)) throw OutOfMemory("not enough memory, on order");
  };
  at(Faults::Place::Step, steps_);
  for (const PlannedRow& row : rows) at(Faults::Place::Request, request_of(row).number);
}

StepLogits EngineCore::compute(const std::vector<PlannedRow>& rows) {
  std::vector<StepItem> items;
  for (const PlannedRow& row : rows) items.push_back(item_of(row));
  if (faults_.any()) inject(rows);
  StepLogits logits = run_step(model_, items, [&](size_t i) { scheduler_.computed(rows[i]); });
  for (size_t i = 0; faults_.any() && i < rows.size(); i++)
    if (faults_.at(Faults::Place::Step, steps_, Faults::Action::Nan) ||
        faults_.at(Faults::Place::Request, request_of(rows[i]).number, Faults::Action::Nan))
      for (int64_t r = logits.first_row[i]; r < logits.first_row[i + 1]; r++) std::fill_n(logits.row(r).data(), logits.vocab_size, NAN);
  return logits;
}

bool EngineCore::step() {
  const auto start = Clock::now();
  const std::vector<PlannedRow> rows = scheduler_.plan();
  if (rows.empty()) return false;
  steps_++;
  if (faults_.at(Faults::Place::Step, steps_, Faults::Action::Die)) fail("fault: the engine dies in this step", steps_);
  for (const PlannedRow& row : rows) {
    Request& r = request_of(row);
    if (!r.first_step) r.first_step = start;
    if (!r.counted && r.share_prefix)
      prefix_queries_ += static_cast<uint64_t>(r.prompt_tokens), prefix_hits_ += static_cast<uint64_t>(r.cached_tokens);
    r.counted = true;
  }
  StepLogits logits;
  try {
    logits = compute(rows);
  } catch (const DeviceLost&) {
    throw;  // no later step can succeed
  } catch (const std::exception& e) {
    step_failed(rows, e);
    return true;
  }
  const auto computed = Clock::now();
  int64_t tokens = 0;
  for (size_t i = 0; i < rows.size(); i++) {
    Request& r = request_of(rows[i]);
    tokens += rows[i].count;
    prompt_tokens_ += static_cast<uint64_t>(std::max<int64_t>(0, std::min(rows[i].first + rows[i].count, r.prompt_tokens) - rows[i].first));
    deliver(r, rows[i], logits, i);
  }
  step_tokens_.add(tokens);
  if (trace_) trace_->step(start, computed, Clock::now(), static_cast<int64_t>(rows.size()), tokens);
  return true;
}

/// Nobody knows whose fault it was, unless only one was in the step: the scheduler finds out by running them one by one. Where memory was
/// short, less may fit: fewer sequences, a shorter piece of a prompt; who is alone with one token has nothing left to save.
void EngineCore::step_failed(const std::vector<PlannedRow>& rows, const std::exception& error) {
  const std::optional<std::string> shortage = memory_shortage(error);
  scheduler_.failed();
  if (rows.size() > 1) {
    if (shortage) scheduler_.lower_budget();
    return log_warning("engine: a step of " + std::to_string(rows.size()) + " sequences failed: " + error.what());
  }
  Request& r = request_of(rows[0]);
  if (!shortage) return end(r, EndReason::Fault, error.what());
  if (rows[0].count == 1)
    return end(r, EndReason::OutOfMemory, error.what(),
               client_message(EndReason::OutOfMemory) + ": " + *shortage +
                   "; a smaller key-value cache (--kv-cache-tokens, --gpu-memory-utilization) leaves more to compute with");
  r.most_per_step = rows[0].count / 2;
  log_warning("engine: a step of " + std::to_string(rows[0].count) + " tokens failed, half of them are tried: " + error.what());
}

void EngineCore::score_prompt(Request& r, const PlannedRow& row, StepLogits& logits, size_t index) {
  for (int64_t i = 0; i < row.count; i++) {
    const int64_t position = row.first + i;
    if (!r.scores(position)) continue;
    const auto values = logits.row(logits.first_row[index] + i);
    r.prompt.push_back(score_token(values, r.tokens[static_cast<size_t>(position + 1)], {r.request.prompt_logprobs}));
  }
}

void EngineCore::deliver(Request& r, const PlannedRow& row, StepLogits& logits, size_t index) {
  try {
    const int64_t rows = logits.first_row[index + 1] - logits.first_row[index];
    if (rows > 1 || (rows == 1 && r.scores(row.first))) score_prompt(r, row, logits, index);
    if (!row.reaches_end()) return;
    if (!r.first_token) r.first_token = Clock::now();
    std::optional<EndReason> reason = EndReason::Length;
    if (r.most_tokens > 0) reason = choose(r, logits.row(logits.first_row[index + 1] - 1));
    if (!r.prompt.empty()) events_.of(r.ticket.id()).prompt = std::exchange(r.prompt, {});
    r.prompt_told = true;
    if (reason) end(r, *reason);
  } catch (const NotFinite& e) {
    scheduler_.distrust(r);
    end(r, EndReason::NotFinite, e.what());
  } catch (const std::exception& e) {
    const auto shortage = memory_shortage(e);
    end(r, shortage ? EndReason::OutOfMemory : EndReason::Fault, e.what(), "no token could be chosen for this request");
  }
}

/// Appends the next token; why the request ends with it, if it does.
std::optional<EndReason> EngineCore::choose(Request& r, std::span<float> logits) {
  const EngineRequest& q = r.request;
  const bool may_stop = r.generated() >= q.min_tokens;
  const int64_t usable = options_.usable_vocab > 0 ? std::min(options_.usable_vocab, model_.info().vocab_size) : model_.info().vocab_size;
  const ChoiceContext at{r.prompt_ids(), r.output_ids(), usable, may_stop ? std::span<const int32_t>() : std::span(q.stop_ids), &r.counts};
  ScoredToken token = choose_token(logits, q.sampling, {q.top_logprobs, q.processed_logprobs, q.logprob_token_ids}, at);
  const int32_t id = token.id;
  r.tokens.push_back(id);
  generated_tokens_++;
  events_.of(r.ticket.id()).tokens.push_back(std::move(token));
  if (std::find(q.stop_ids.begin(), q.stop_ids.end(), id) != q.stop_ids.end()) return EndReason::Stop;
  if (r.generated() >= r.most_tokens) return EndReason::Length;
  return {};
}

void EngineCore::count(EngineStats& stats) const {
  stats.running = scheduler_.running();
  auto& pools = const_cast<CachePools&>(pools_);
  stats.cache_blocks = pools.group(whole_group_).size();
  stats.cache_blocks_used = stats.cache_blocks - pools.group(whole_group_).available();
  stats.steps = steps_;
  stats.preemptions = scheduler_.preemptions();
  stats.prompt_tokens = prompt_tokens_;
  stats.generated_tokens = generated_tokens_;
  stats.prefix_queries = prefix_queries_;
  stats.prefix_hits = prefix_hits_;
  stats.step_tokens = step_tokens_;
}

}  // namespace infernum

#include "runtime/sim_engine.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <set>
#include <unordered_map>

#include "core/check.h"
#include "core/device_error.h"

namespace infernum {
namespace {

using Clock = std::chrono::steady_clock;

/// Probabilities that fall by a half from rank to rank, of tokens that follow the chosen one.
ScoredToken scored(int32_t id, int top, std::span<const int32_t> ids, int64_t vocab) {
  ScoredToken token{id, {}, 0, {}};
  if (top < 0) return token;
  const auto logprob = [](int64_t rank) { return static_cast<float>(-static_cast<double>(rank) * std::log(2.)); };
  token.logprob = logprob(1);
  token.rank = 1;
  for (int64_t i = 0; i < std::min<int64_t>(top, vocab); i++) token.top.push_back({static_cast<int32_t>((id + i) % vocab), logprob(i + 1)});
  for (int32_t other : ids) token.top.push_back({other, logprob(1 + ((other - id) % vocab + vocab) % vocab)});
  return token;
}

}  // namespace

class SimEngine::Core {
 public:
  Core(const SimEngineOptions& options, const Faults& faults, EventBatch& events) : options_(options), faults_(faults), events_(events) {}

  bool idle() const { return requests_.empty(); }
  void add(Arrival arrival);
  void cancel(RequestId id);
  void advance(SteadyTime now);
  /// When something has to happen next.
  SteadyTime next(SteadyTime now) const;
  void end_all(EndReason reason, const std::string& message);
  void count(EngineStats& stats) const;

 private:
  struct Request {
    Ticket ticket;
    EngineRequest request;
    uint64_t number;
    SteadyTime submitted;
    std::optional<SteadyTime> started, first_token;
    int64_t generated = 0, most_tokens = 0;
    bool running = false;
  };
  struct Due {
    SteadyTime time;
    uint64_t number;
    friend bool operator>(const Due& a, const Due& b) { return a.time > b.time || (a.time == b.time && a.number > b.number); }
  };
  struct Place {
    int priority;
    uint64_t number;
    friend bool operator<(const Place& a, const Place& b) {
      return a.priority < b.priority || (a.priority == b.priority && a.number < b.number);
    }
  };
  void start_waiting(SteadyTime now);
  void expire(SteadyTime now);
  void token(Request& r, SteadyTime now);
  bool next_token(const Request& r, int32_t& id) const;
  void end(Request& r, EndReason reason, SteadyTime now, const std::string& message = {});

  SimEngineOptions options_;
  const Faults& faults_;
  EventBatch& events_;
  std::unordered_map<uint64_t, Request> requests_;  ///< by number
  std::unordered_map<RequestId, uint64_t> numbers_;
  std::set<Place> waiting_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;        ///< of running requests; of ended ones it may still name some
  std::priority_queue<Due, std::vector<Due>, std::greater<>> deadlines_;  ///< the same
  int64_t running_ = 0;
  uint64_t steps_ = 0, prompt_tokens_ = 0, generated_tokens_ = 0;
  StepTokens step_tokens_;
};

void SimEngine::Core::add(Arrival a) {
  Ticket ticket(events_, a.id);
  if (numbers_.count(a.id)) return ticket.end({EndReason::Fault, "the id of this request is in use", {}});
  Request r{std::move(ticket), std::move(a.request), a.number, a.time, {}, {}};
  r.most_tokens = std::min(r.request.max_tokens, options_.context - static_cast<int64_t>(r.request.prompt.size()));
  if (r.request.deadline) deadlines_.push({*r.request.deadline, a.number});
  if (r.request.queue_deadline) deadlines_.push({*r.request.queue_deadline, a.number});
  waiting_.insert({r.request.priority, a.number});
  numbers_[a.id] = a.number;
  requests_.emplace(a.number, std::move(r));
}

void SimEngine::Core::cancel(RequestId id) {
  if (const auto it = numbers_.find(id); it != numbers_.end()) end(requests_.at(it->second), EndReason::Cancelled, Clock::now());
}

void SimEngine::Core::end(Request& r, EndReason reason, SteadyTime now, const std::string& message) {
  RequestBill bill = bill_of(r.submitted, r.started, r.first_token, now);
  bill.prompt_tokens = static_cast<int64_t>(r.request.prompt.size());
  bill.generated_tokens = r.generated;
  bill.cache_limit = CacheLimit::Disabled;
  running_ -= r.running;
  if (!r.running) waiting_.erase({r.request.priority, r.number});
  r.ticket.end({reason, message.empty() ? client_message(reason) : message, bill});
  numbers_.erase(r.ticket.id());
  requests_.erase(r.number);
}

void SimEngine::Core::end_all(EndReason reason, const std::string& message) {
  while (!requests_.empty()) end(requests_.begin()->second, reason, Clock::now(), message);
}

void SimEngine::Core::start_waiting(SteadyTime now) {
  while (!waiting_.empty() && running_ < options_.max_num_seqs) {
    const uint64_t number = waiting_.begin()->number;
    waiting_.erase(waiting_.begin());
    Request& r = requests_.at(number);
    r.running = true;
    r.started = now;
    running_++;
    prompt_tokens_ += r.request.prompt.size();
    due_.push({now + options_.time_to_first_token, number});
  }
}

void SimEngine::Core::expire(SteadyTime now) {
  for (; !deadlines_.empty() && deadlines_.top().time <= now; deadlines_.pop()) {
    const auto it = requests_.find(deadlines_.top().number);
    if (it == requests_.end()) continue;
    Request& r = it->second;
    if (r.request.deadline && *r.request.deadline <= now)
      end(r, EndReason::Timeout, now);
    else if (!r.running && r.request.queue_deadline && *r.request.queue_deadline <= now)
      end(r, EndReason::QueueTimeout, now);
  }
}

/// False at the end of the script.
bool SimEngine::Core::next_token(const Request& r, int32_t& id) const {
  const auto& source = options_.tokens == SimEngineOptions::Tokens::Echo ? r.request.prompt : options_.script;
  const auto n = static_cast<size_t>(r.generated);
  if (options_.tokens == SimEngineOptions::Tokens::Script && n >= source.size()) return false;
  id = source[n % source.size()];
  return true;
}

void SimEngine::Core::token(Request& r, SteadyTime now) {
  if (faults_.at(Faults::Place::Request, r.number, Faults::Action::Throw)) return end(r, EndReason::Fault, now);
  if (faults_.at(Faults::Place::Request, r.number, Faults::Action::Oom)) return end(r, EndReason::OutOfMemory, now);
  if (faults_.at(Faults::Place::Request, r.number, Faults::Action::Nan) || faults_.at(Faults::Place::Step, steps_, Faults::Action::Nan))
    return end(r, EndReason::NotFinite, now);
  const EngineRequest& q = r.request;
  if (r.generated == 0) {
    r.first_token = now;
    if (q.prompt_logprobs >= 0) {
      auto& prompt = events_.of(r.ticket.id()).prompt;
      for (int32_t id : q.prompt) prompt.push_back(scored(id, prompt.empty() ? -1 : q.prompt_logprobs, {}, options_.vocab_size));
    }
    if (r.most_tokens == 0) return end(r, EndReason::Length, now);
  }
  int32_t id = 0;
  if (!next_token(r, id)) return end(r, EndReason::Stop, now);
  r.generated++;
  generated_tokens_++;
  events_.of(r.ticket.id()).tokens.push_back(scored(id, q.top_logprobs, q.logprob_token_ids, options_.vocab_size));
  const bool stop = r.generated > q.min_tokens && std::find(q.stop_ids.begin(), q.stop_ids.end(), id) != q.stop_ids.end();
  if (stop) return end(r, EndReason::Stop, now);
  if (r.generated >= r.most_tokens) return end(r, EndReason::Length, now);
  due_.push({now + options_.inter_token_time, r.number});
}

void SimEngine::Core::advance(SteadyTime now) {
  expire(now);
  start_waiting(now);
  if (due_.empty() || due_.top().time > now) return;
  steps_++;
  if (faults_.any()) {
    std::this_thread::sleep_for(faults_.sleep(steps_));
    if (faults_.at(Faults::Place::Step, steps_, Faults::Action::Lost))
      throw DeviceLost("fault: the device is lost in step " + std::to_string(steps_), "on order");
    if (faults_.at(Faults::Place::Step, steps_, Faults::Action::Die)) fail("fault: the engine dies in this step", steps_);
  }
  std::vector<uint64_t> numbers;  // a token each, even if the next one is due at once
  for (; !due_.empty() && due_.top().time <= now; due_.pop()) numbers.push_back(due_.top().number);
  for (uint64_t number : numbers)
    if (const auto it = requests_.find(number); it != requests_.end()) token(it->second, now);
  step_tokens_.add(static_cast<int64_t>(prompt_tokens_ + generated_tokens_ - step_tokens_.sum));  // prompts count in their next step
  start_waiting(now);
}

SteadyTime SimEngine::Core::next(SteadyTime now) const {
  SteadyTime next = now + std::chrono::seconds(1);
  if (!due_.empty()) next = std::min(next, due_.top().time);
  if (!deadlines_.empty()) next = std::min(next, deadlines_.top().time);
  return next;
}

void SimEngine::Core::count(EngineStats& stats) const {
  stats.running = running_;
  stats.cache_blocks = options_.max_num_seqs;
  stats.cache_blocks_used = running_;
  stats.steps = steps_;
  stats.prompt_tokens = prompt_tokens_;
  stats.generated_tokens = generated_tokens_;
  stats.step_tokens = step_tokens_;
}

SimEngine::SimEngine(const SimEngineOptions& options)
    : ThreadedEngine({options.vocab_size, options.context, options.context * options.max_num_seqs, options.max_num_seqs},
                     options.max_num_seqs + (options.max_queue > 0 ? options.max_queue : 4 * options.max_num_seqs), options.faults) {
  check(options.max_num_seqs > 0, "sim engine: max_num_seqs is positive", options.max_num_seqs);
  check(options.tokens == SimEngineOptions::Tokens::Echo || !options.script.empty(), "sim engine: a script has tokens");
  for (int32_t id : options.script)
    check(id >= 0 && id < options.vocab_size, "sim engine: a token of the script is outside of the vocabulary", id, options.vocab_size);
  core_ = std::make_unique<Core>(options, faults(), events());
  core_->count(counts());
  start();
}

SimEngine::~SimEngine() { stop(); }

void SimEngine::loop() {
  while (true) {
    const auto now = Clock::now();
    Inbox in = take(core_->next(now));
    for (Arrival& a : in.arrivals) core_->add(std::move(a));
    if (in.stopping) return;
    for (RequestId id : in.cancelled) core_->cancel(id);
    core_->advance(Clock::now());
    core_->count(counts());
    publish();
  }
}

void SimEngine::end_all(EndReason reason, const std::string& message) { core_->end_all(reason, message); }

}  // namespace infernum

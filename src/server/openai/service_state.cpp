#include "server/openai/service_state.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <mutex>

#include "core/log.h"

namespace infernum::server {

using namespace openai;

namespace {

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

SteadyTime now() { return std::chrono::steady_clock::now(); }

SteadyTime after(SteadyTime from, double seconds) {
  return from + std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(std::min(seconds, 1e7)));
}

/// A positive number of a header; 0 if there is none.
double number_in(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 && std::isfinite(value) ? value : 0;
}

}  // namespace

OpenAiService::State::State(ServedModel model, Engine& engine, IoLoop& loop, ServiceOptions options)
    : model_(std::move(model)),
      engine_(engine),
      loop_(loop),
      options_(std::move(options)),
      random_(std::random_device{}()),
      workers_(options_.workers, options_.most_waiting) {
  check(model_.names != nullptr, "a served model has a name");
  const EngineInfo& info = engine_.info();
  if (!options_.now) options_.now = unix_seconds;
  if (model_.max_model_len <= 0 || model_.max_model_len > info.context) model_.max_model_len = info.context;
  // A longer sequence would be refused by the engine, whose cache holds one at least.
  if (info.cache_tokens > 0) model_.max_model_len = std::min(model_.max_model_len, info.cache_tokens);
  live_options_.stream_interval = std::max<int64_t>(1, options_.stream_interval);
  live_options_.server_timing = options_.server_timing;
  live_options_.content_bytes = options_.content_bytes;
  live_options_.cancel = [this](RequestId id) { engine_.cancel(id); };
  live_options_.on_record = [this](const RequestRecord& record) {
    mean_seconds_ += 0.1 * (record.seconds - mean_seconds_);
    if (options_.on_record) options_.on_record(record);
  };
  decode_limits_.vocab_size = static_cast<int32_t>(info.vocab_size);
  decode_limits_.prompt_tokens = std::max<size_t>(static_cast<size_t>(model_.max_model_len) * 4, 1024);
  decode_limits_.strict_fields = options_.strict_fields;
  decode_limits_.request_templates = options_.request_templates;
  plan_limits_.n = options_.max_n;
  plan_limits_.top_logprobs = options_.max_logprobs;
  plan_limits_.context = model_.max_model_len;
  plan_limits_.vocab_size = info.vocab_size;
  plan_limits_.any_model = options_.accept_any_model;
  plan_limits_.allow_priority = options_.allow_priority;
  plan_limits_.processed_logprobs = options_.processed_logprobs;
}

void OpenAiService::State::listen() {
  // While the I/O thread is behind the engine, events gather here and are taken at once: each request then costs one write for all its
  // events of several steps, and a write is most of what an event costs.
  struct Gathered {
    std::mutex mutex;
    std::vector<EngineEvent> events;  ///< non-empty: the loop has been told
  };
  engine_.on_step([weak = weak_from_this(), &loop = loop_, box = std::make_shared<Gathered>()](std::vector<EngineEvent> events) {
    {
      std::lock_guard lock(box->mutex);
      const bool told = !box->events.empty();
      if (told)
        box->events.insert(box->events.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
      else
        box->events = std::move(events);
      if (told || box->events.empty()) return;
    }
    loop.post([weak, box] {
      std::vector<EngineEvent> all;
      {
        std::lock_guard lock(box->mutex);
        all.swap(box->events);
      }
      if (const auto state = weak.lock()) state->on_step(std::move(all));
    });
  });
}

void OpenAiService::State::drop_all() {
  const std::unordered_set<Live> live = std::move(live_);
  live_.clear();
  for (const Live& request : live) request->fail({503, "the server is shutting down", "draining", "", {{"Retry-After", "2"}}}, now());
  by_id_.clear();
  watch_.reset();
}

OpenAiService::State::Outcome OpenAiService::State::read(Reading reading, JsonParser& parser, const HttpRequest& request) const {
  try {
    return (this->*reading)(parser, request);
  } catch (const ApiError& e) {
    return to_response(e);
  } catch (const Error& e) {
    log_warning("request " + request.id + " could not be read: " + e.what());
    return to_response({400, "the text of this request could not be tokenized", "invalid_value", ""});
  } catch (const std::exception& e) {
    log_warning("request " + request.id + " could not be read: " + e.what());
    return to_response({500, "the request could not be read", "internal_error", "", {{"x-should-retry", "false"}}});
  }
}

void OpenAiService::State::handle(const std::shared_ptr<Exchange>& exchange, Reading reading) {
  const SteadyTime arrived = now();
  if (exchange->request().body.size() <= options_.inline_bytes) {
    Outcome outcome = read(reading, parser_, exchange->request());
    return go_on(exchange, std::move(outcome), arrived);
  }
  // The exchange belongs to the I/O thread: the worker hands it back before it lets go of it.
  const bool taken = workers_.submit([this, weak = weak_from_this(), reading, arrived, held = exchange]() mutable {
    JsonParser parser;
    auto outcome = std::make_shared<Outcome>(read(reading, parser, held->request()));
    loop_.post([weak, arrived, outcome, back = std::move(held)] {
      if (const auto state = weak.lock()) state->go_on(back, std::move(*outcome), arrived);
    });
  });
  if (!taken) exchange->respond(to_response(refusal(Admission::QueueFull)));
}

void OpenAiService::State::go_on(const std::shared_ptr<Exchange>& exchange, Outcome outcome, SteadyTime arrived) {
  if (auto* response = std::get_if<HttpResponse>(&outcome))
    exchange->respond(std::move(*response));
  else
    start(exchange, std::move(std::get<Plan>(outcome)), arrived);
}

void OpenAiService::State::set_deadlines(EngineRequest& request, const HttpRequest& http, SteadyTime arrived) const {
  if (options_.queue_seconds > 0) request.queue_deadline = after(arrived, options_.queue_seconds);
  double seconds = options_.request_seconds;
  for (const double asked : {number_in(http.header("x-infernum-deadline-ms")) / 1e3, number_in(http.header("x-request-timeout"))})
    if (asked > 0) seconds = seconds > 0 ? std::min(seconds, asked) : asked;
  if (seconds > 0) request.deadline = after(arrived, seconds);
}

void OpenAiService::State::start(const std::shared_ptr<Exchange>& exchange, Plan plan, SteadyTime arrived) {
  log_unknown(plan.unknown);
  EngineRequest base = plan.request;
  set_deadlines(base, exchange->request(), arrived);
  // A salt has no slash, so that no client can spell another one's.
  if (options_.salt_by_key) base.cache_salt = exchange->request().key + "/" + base.cache_salt;
  std::string id = new_id(plan);
  const auto live = std::make_shared<LiveRequest>(exchange, std::move(plan), model_, live_options_, std::move(id), options_.now(), arrived);
  live_.insert(live);
  exchange->on_gone([weak = weak_from_this(), request = std::weak_ptr(live)] {
    const auto state = weak.lock();
    const auto left = request.lock();
    if (!state || !left) return;
    left->on_gone(now());
    state->settle(left);
  });
  const Plan& p = live->plan();
  for (size_t i = 0; i < live->choices() && !live->answered(); i++) {
    EngineRequest request = base;
    request.prompt = p.prompts[i / static_cast<size_t>(p.n)];
    request.sampling.seed = p.seeds[i % static_cast<size_t>(p.n)];
    if (!submit(live, i, std::move(request), now())) break;
  }
  settle(live);
  watch_streams();
}

bool OpenAiService::State::submit(const Live& live, size_t choice, EngineRequest request, SteadyTime at) {
  const RequestId id = next_id_++;
  try {
    const Admission admission = engine_.submit(id, std::move(request));
    if (admission == Admission::Accepted) {
      live->submitted(choice, id);
      by_id_.emplace(id, Place{live, choice});
      return true;
    }
    live->fail(refusal(admission), at);
  } catch (const Error& e) {
    live->fail({400, public_message(e), "invalid_value", ""}, at);
  }
  return false;
}

ApiError OpenAiService::State::refusal(Admission admission) const {
  const EngineStats stats = engine_.stats();
  if (admission == Admission::Stopped) {
    const bool dead = stats.state == EngineState::Failed;
    return {
        503, dead ? "the engine has failed" : "the server is shutting down", dead ? "engine_dead" : "draining", "", {{"Retry-After", "5"}}};
  }
  // Those who wait now go first, as many at a time as the engine runs.
  const double rounds = static_cast<double>(stats.waiting + 1) / static_cast<double>(std::max<int64_t>(1, engine_.info().max_sequences));
  const auto seconds = static_cast<int64_t>(std::clamp(std::ceil(rounds * mean_seconds_), 1.0, 60.0));
  return {429, "too many requests wait already", "queue_full", "", {{"Retry-After", std::to_string(seconds)}}};
}

void OpenAiService::State::on_step(std::vector<EngineEvent> events) {
  const SteadyTime at = now();
  std::vector<Live> touched;
  for (EngineEvent& event : events) {
    const auto found = by_id_.find(event.request);
    if (found == by_id_.end()) continue;
    const Place place = found->second;
    if (event.end) by_id_.erase(found);
    place.request->on_event(place.choice, std::move(event), at);
    touched.push_back(place.request);
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const Live& live : touched) {
    live->flush(at);
    settle(live);
  }
}

void OpenAiService::State::settle(const Live& live) {
  if (live->done()) live_.erase(live);
}

void OpenAiService::State::watch_streams() {
  const double wait = options_.first_byte_seconds;
  if (wait < 0 || watch_ || live_.empty()) return;
  watch_ = loop_.after(std::clamp(wait / 4, 0.01, 1.0), [weak = weak_from_this(), wait] {
    const auto state = weak.lock();
    if (!state) return;
    const SteadyTime at = now();
    const std::vector<Live> all(state->live_.begin(), state->live_.end());
    for (const Live& live : all)
      if (live->waits_for_stream() && after(live->arrived(), wait) <= at) live->open_stream();
    const auto spent = std::move(state->watch_);
    state->watch_streams();
  });
}

void OpenAiService::State::log_unknown(const std::vector<std::string>& names) {
  constexpr size_t most = 256;  // names come from strangers
  for (const std::string& name : names)
    if (logged_.size() < most && logged_.insert(name).second) log_info("a request field is not known and has no effect: " + name);
}

std::string OpenAiService::State::new_id(const Plan& plan) {
  constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string id = plan.shape == Shape::Chat ? "chatcmpl-" : "cmpl-";
  if (!plan.request_id.empty()) return id + plan.request_id;
  for (int word = 0; word < 2; word++) {
    uint64_t bits = random_();
    for (int i = 0; i < 11; i++, bits /= digits.size()) id += digits[bits % digits.size()];
  }
  return id;
}

}  // namespace infernum::server

#include "server/openai/live_request.h"

#include <algorithm>

#include "server/json_writer.h"
#include "text/unicode.h"

namespace infernum::server::openai {
namespace {

double seconds_between(SteadyTime from, SteadyTime to) { return std::chrono::duration<double>(to - from).count(); }

std::string_view route_of(Shape shape) { return shape == Shape::Chat ? "/v1/chat/completions" : "/v1/completions"; }

std::string milliseconds(double seconds) {
  std::string text;
  append_number(text, static_cast<double>(static_cast<int64_t>(seconds * 1e6)) / 1e3);
  return text;
}

std::string server_timing(const RequestBill& bill) {
  const auto item = [](const char* name, double seconds) { return std::string(name) + ";dur=" + milliseconds(seconds); };
  return item("queue", bill.queue_seconds) + ", " + item("prefill", bill.prefill_seconds) + ", " + item("decode", bill.decode_seconds);
}

}  // namespace

ApiError to_api_error(const RequestEnd& end) {
  // Tried again it would end the same way, or end the next engine too.
  const auto failed = [&](const char* code, const char* otherwise) -> ApiError {
    return {500, end.message.empty() ? otherwise : end.message, code, "", {{"x-should-retry", "false"}}};
  };
  switch (end.reason) {
    case EndReason::QueueTimeout: return {503, "the request waited too long in the queue", "queue_timeout", "", {{"Retry-After", "2"}}};
    case EndReason::Timeout: return {504, "the request was not done by its deadline", "deadline_exceeded", ""};
    case EndReason::Shutdown: return {503, "the server is shutting down", "draining", "", {{"Retry-After", "2"}}};
    case EndReason::NotFinite: return failed("engine_error", "the model computed no finite numbers for this request");
    case EndReason::OutOfMemory: return failed("out_of_memory", "there is not enough memory for this request");
    case EndReason::DeviceLost: return failed("device_lost", "the device that the engine computes on was lost");
    default: return failed("engine_error", "the engine failed to run this request");
  }
}

LiveRequest::LiveRequest(std::shared_ptr<Exchange> exchange, Plan plan, const ServedModel& model, const LiveOptions& options,
                         std::string id, int64_t created, SteadyTime arrived)
    : exchange_(std::move(exchange)),
      plan_(std::move(plan)),
      model_(model),
      options_(options),
      format_(plan_, model, std::move(id), created),
      arrived_(arrived) {
  choices_.reserve(plan_.choices());
  for (size_t i = 0; i < plan_.choices(); i++) choices_.emplace_back(ChoiceText(plan_, model.tokenizer, prompt_of(i)));
  record_.route = route_of(plan_.shape);
  record_.model = model.id();
  record_.stream = plan_.stream;
  record_.choices = static_cast<int64_t>(plan_.choices());
  record_.max_tokens = plan_.request.max_tokens;
  const SamplingParams& sampling = plan_.request.sampling;
  record_.temperature = sampling.temperature;
  record_.top_p = sampling.top_p;
  record_.top_k = sampling.top_k;
  record_.frequency_penalty = sampling.frequency_penalty;
  record_.presence_penalty = sampling.presence_penalty;
  record_.id = format_.id();
  record_.parent = parse_trace_parent(exchange_->request().header("traceparent"));
  if (record_.parent) exchange_->note("trace_id", record_.parent->trace);
}

void LiveRequest::submitted(size_t index, RequestId id) {
  choices_[index].id = id;
  open_++;
}

std::string_view LiveRequest::echo_of(size_t index) const {
  return plan_.echoes.empty() ? std::string_view() : std::string_view(plan_.echoes[index / static_cast<size_t>(plan_.n)]);
}

Usage LiveRequest::usage() const {
  Usage u;
  for (const TokenIds& prompt : plan_.prompts) u.prompt_tokens += static_cast<int64_t>(prompt.size());
  for (size_t i = 0; i < choices_.size(); i++) {
    u.completion_tokens += choices_[i].text.tokens();
    // The other choices of a prompt find it in the cache because of the first one.
    if (i % static_cast<size_t>(plan_.n) == 0 && choices_[i].end) u.cached_tokens += choices_[i].end->bill.cached_tokens;
  }
  return u;
}

Timings LiveRequest::timings(SteadyTime now) const {
  Timings t;
  t.total_seconds = seconds_between(arrived_, now);
  const Usage u = usage();
  if (choices_.front().end) t.bill = choices_.front().end->bill;
  t.bill.prompt_tokens = u.prompt_tokens;
  t.bill.cached_tokens = u.cached_tokens;
  t.bill.generated_tokens = u.completion_tokens;
  t.bill.preemptions = 0;
  for (const Choice& c : choices_) {
    if (!c.end) continue;
    t.bill.preemptions += c.end->bill.preemptions;
    t.bill.decode_seconds = std::max(t.bill.decode_seconds, c.end->bill.decode_seconds);
  }
  return t;
}

std::string_view LiveRequest::finish_reason(const Choice& choice) {
  return choice.text.stopped_by_text() || choice.end->reason == EndReason::Stop || choice.cancelled ? "stop" : "length";
}

std::string LiveRequest::stop_reason(const Choice& choice) {
  std::string json;
  if (choice.text.stopped_by_text())
    append_string(json, choice.text.stop_text());
  else if (choice.text.stop_id())
    append_number(json, int64_t{*choice.text.stop_id()});
  else
    json = "null";
  return json;
}

void LiveRequest::note_token(Choice& choice, SteadyTime now) {
  if (!record_.first_token_seconds) record_.first_token_seconds = seconds_between(arrived_, now);
  if (choice.last_token) record_.token_gaps.push_back(static_cast<float>(seconds_between(*choice.last_token, now)));
  choice.last_token = now;
}

void LiveRequest::on_event(size_t index, EngineEvent event, SteadyTime now) {
  Choice& c = choices_[index];
  if (answered_) {
    if (event.end) end_choice(index, std::move(*event.end), now);
    return;
  }
  if (!event.prompt.empty()) c.prompt_scores = std::move(event.prompt);
  for (ScoredToken& token : event.tokens) {
    if (c.text.stopped()) break;
    note_token(c, now);
    c.text.push(std::move(token));
    c.since_chunk++;
  }
  if (c.text.stopped_by_text() && !c.cancelled && !event.end) {
    c.cancelled = true;
    if (c.id) options_.cancel(*c.id);
  }
  if (event.end) return end_choice(index, std::move(*event.end), now);
  if (!plan_.stream) return keep_delta(c);
  if (!c.begun) begin_choice(index);
  if (c.since_chunk >= options_.stream_interval || !c.wrote) write_delta(index, false);
}

const TokenIds* LiveRequest::say_prompt(size_t index) {
  if (!plan_.return_ids || choices_[index].prompt_said) return nullptr;
  choices_[index].prompt_said = true;
  return &prompt_of(index);
}

void LiveRequest::begin_choice(size_t index) {
  Choice& c = choices_[index];
  c.begun = true;
  ChunkPart part;
  part.index = index;
  if (plan_.shape == Shape::Chat) {
    part.prompt = say_prompt(index);
    format_.role_chunk(out_, part, usage());
    part.prompt = nullptr;
  }
  if (!plan_.echo) return;
  part.text = echo_of(index);
  part.prompt_scores = plan_.logprobs >= 0 ? &c.prompt_scores : nullptr;
  if (plan_.shape == Shape::Completion) part.prompt = say_prompt(index);
  if (!part.text.empty() || part.prompt_scores || part.prompt) format_.chunk(out_, part, usage());
}

void LiveRequest::take_delta(Choice& c) {
  c.text.take(delta_);
  if (const size_t most = options_.content_bytes; c.logged.size() < most) c.logged.append(delta_.text, 0, most - c.logged.size());
}

void LiveRequest::write_delta(size_t index, bool last) {
  Choice& c = choices_[index];
  c.since_chunk = 0;
  take_delta(c);
  if (delta_.empty() || (last && plan_.shape == Shape::Completion)) return;
  ChunkPart part;
  part.index = index;
  part.text = delta_.text;
  part.tokens = &delta_.tokens;
  part.character = text::count_code_points(echo_of(index));
  if (plan_.return_ids) part.ids = &delta_.ids;
  part.prompt = say_prompt(index);
  c.wrote = true;
  format_.chunk(out_, part, plan_.continuous_usage ? usage() : Usage());
}

void LiveRequest::write_finish(size_t index, SteadyTime now) {
  Choice& c = choices_[index];
  if (!c.begun) begin_choice(index);
  write_delta(index, true);  // of the older API, the text goes with the finish reason
  const std::string stop = stop_reason(c);
  ChunkPart part;
  part.index = index;
  if (plan_.shape == Shape::Completion) {
    part.text = delta_.text;
    part.tokens = &delta_.tokens;
    part.character = text::count_code_points(echo_of(index));
    if (plan_.return_ids) part.ids = &delta_.ids;
    part.prompt = say_prompt(index);
  }
  part.finish_reason = finish_reason(c);
  part.stop_reason = stop;
  const bool with_timings = plan_.timings && !plan_.include_usage && ended_ == choices_.size();
  const Timings spent = with_timings ? timings(now) : Timings();
  format_.finish_chunk(out_, part, usage(), with_timings ? &spent : nullptr);
}

void LiveRequest::keep_delta(Choice& c) {
  take_delta(c);
  c.whole += delta_.text;
  c.tokens.insert(c.tokens.end(), std::make_move_iterator(delta_.tokens.begin()), std::make_move_iterator(delta_.tokens.end()));
  c.ids.insert(c.ids.end(), delta_.ids.begin(), delta_.ids.end());
}

void LiveRequest::end_choice(size_t index, RequestEnd end, SteadyTime now) {
  Choice& c = choices_[index];
  if (c.end) return;
  c.end = std::move(end);
  c.id.reset();
  open_--;
  ended_++;
  if (answered_) return;
  const EndReason reason = c.end->reason;
  if (reason != EndReason::Stop && reason != EndReason::Length && !c.text.stopped_by_text()) return fail(to_api_error(*c.end), now);
  c.text.finish();
  if (plan_.stream)
    write_finish(index, now);
  else
    keep_delta(c);
}

void LiveRequest::flush(SteadyTime now) {
  if (answered_) return;
  const bool complete = ended_ == choices_.size();
  if (plan_.stream) {
    if (complete)
      finish_stream(now);
    else
      send();
  } else if (complete) {
    answer_whole(now);
  }
}

void LiveRequest::send() {
  if (out_.empty()) return;
  if (!stream_begun_) {
    stream_begun_ = true;
    // Where its time went is known at its end only; until here it is that to the first token, if this is one.
    const auto first = record_.first_token_seconds;
    exchange_->begin_stream(headers(first ? "ttft;dur=" + milliseconds(*first) : std::string()));
  }
  exchange_->send(out_);
  out_.clear();
}

void LiveRequest::finish_stream(SteadyTime now) {
  const Timings spent = timings(now);
  if (plan_.include_usage) format_.usage_chunk(out_, usage(), plan_.timings ? &spent : nullptr);
  out_ += "data: [DONE]\n\n";
  conclude(200, finish_reason(choices_.front()), now);
  send();
  exchange_->finish();
  close();
}

void LiveRequest::answer_whole(SteadyTime now) {
  std::vector<FinishedChoice> finished;
  std::vector<std::string> texts, stops;
  texts.reserve(choices_.size());
  stops.reserve(choices_.size());
  for (size_t i = 0; i < choices_.size(); i++) {
    Choice& c = choices_[i];
    stops.push_back(stop_reason(c));
    if (plan_.echo) texts.push_back(std::string(echo_of(i)) + c.whole);
    finished.push_back({i, &prompt_of(i), plan_.echo ? std::string_view(texts.back()) : std::string_view(c.whole), &c.tokens,
                        c.prompt_scores.empty() ? nullptr : &c.prompt_scores, &c.ids, text::count_code_points(echo_of(i)), finish_reason(c),
                        stops.back()});
  }
  const Timings spent = timings(now);
  HttpResponse response;
  response.body = format_.body(finished, usage(), plan_.timings ? &spent : nullptr);
  response.headers = headers(server_timing(spent.bill));
  conclude(200, finish_reason(choices_.front()), now);
  exchange_->respond(std::move(response));
  close();
}

HeaderFields LiveRequest::headers(std::string timing) const {
  HeaderFields fields;
  if (options_.server_timing && !timing.empty()) fields.emplace_back("Server-Timing", std::move(timing));
  std::string ignored;
  for (const std::string& name : plan_.without_effect) ignored += (ignored.empty() ? "" : ", ") + name;
  if (!ignored.empty()) fields.emplace_back("x-infernum-no-effect", ignored);
  return fields;
}

/// The beginnings of all prompts, and of all choices, behind each other. A token is a byte at least, but for a few that are none.
void LiveRequest::note_content() {
  const size_t most = options_.content_bytes;
  if (most == 0) return;
  std::string prompts, outputs;
  const auto add = [most](std::string& all, const std::string& text) {
    if (!all.empty() && all.size() + 1 >= most) return;
    if (!all.empty()) all += '\n';
    all.append(text, 0, most - std::min(most, all.size()));
  };
  for (const TokenIds& ids : plan_.prompts)
    if (prompts.size() < most) add(prompts, model_.tokenizer.decode(std::span(ids).first(std::min(ids.size(), most)), false));
  for (const Choice& choice : choices_) add(outputs, choice.logged);
  exchange_->note("prompt", std::move(prompts));
  exchange_->note("output", std::move(outputs));
}

void LiveRequest::cancel_rest() {
  for (const Choice& c : choices_)
    if (c.id) options_.cancel(*c.id);
}

void LiveRequest::fail(const ApiError& error, SteadyTime now) {
  if (answered_) return;
  conclude(error.status, error.code, now);
  if (stream_begun_) {
    out_ += to_event(error) + "data: [DONE]\n\n";
    send();
    exchange_->finish();
  } else {
    exchange_->respond(to_response(error));
  }
  cancel_rest();
  close();
}

void LiveRequest::on_gone(SteadyTime now) {
  if (answered_) return;
  conclude(499, "client_closed_request", now);
  cancel_rest();
  close();
}

void LiveRequest::open_stream() {
  if (!waits_for_stream()) return;
  out_ = ": waiting\n\n" + out_;
  send();
}

void LiveRequest::conclude(int status, std::string_view reason, SteadyTime now) {
  const Usage used = usage();
  const Timings spent = timings(now);
  record_.status = status;
  record_.finish_reason = reason;
  record_.prompt_tokens = used.prompt_tokens;
  record_.cached_tokens = used.cached_tokens;
  record_.completion_tokens = used.completion_tokens;
  for (const Choice& choice : choices_) record_.longest_choice = std::max<int64_t>(record_.longest_choice, choice.text.tokens());
  record_.seconds = spent.total_seconds;
  record_.queue_seconds = spent.bill.queue_seconds;
  record_.prefill_seconds = spent.bill.prefill_seconds;
  record_.decode_seconds = spent.bill.decode_seconds;
  record_.preemptions = spent.bill.preemptions;
  record_.cache_limit = spent.bill.cache_limit;
  exchange_->note("model", record_.model);
  exchange_->note("finish_reason", record_.finish_reason);
  exchange_->note("prompt_tokens", std::to_string(used.prompt_tokens));
  exchange_->note("cached_tokens", std::to_string(used.cached_tokens));
  exchange_->note("completion_tokens", std::to_string(used.completion_tokens));
  exchange_->note("queue_ms", milliseconds(record_.queue_seconds));
  note_content();
  if (record_.first_token_seconds) exchange_->note("ttft_ms", milliseconds(*record_.first_token_seconds));
}

void LiveRequest::close() {
  answered_ = true;
  if (options_.on_record) options_.on_record(record_);
  exchange_.reset();
  out_.clear();
}

}  // namespace infernum::server::openai

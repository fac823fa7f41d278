// The exchange of a connection: how an answer is put on the wire.
#include <array>
#include <charconv>
#include <utility>

#include "server/http_connection.h"

namespace infernum::server {
namespace {

int64_t number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::string_view AccessRecord::note(std::string_view name) const {
  if (notes)
    for (const auto& [known, value] : *notes)
      if (known == name) return value;
  return {};
}

HttpExchange::HttpExchange(HttpConnection& connection, ConnectionHost& host, HttpRequest request, Time started, bool http_1_0)
    : connection_(&connection),
      loop_(host.loop),
      buffered_(host.buffered),
      request_(std::move(request)),
      started_(started),
      last_sent_(started),
      http_1_0_(http_1_0) {
  host.stats.requests++;
  host.stats.in_flight++;
}

HttpExchange::~HttpExchange() {
  if (connection_ && state_ == State::Waiting) respond(error_response(500, "the request was dropped without an answer", "internal_error"));
  if (connection_) {
    HttpConnection* connection = connection_;
    complete(true);
    connection->cut();
  }
  *buffered_ -= request_.body.size();
}

void HttpExchange::set_admission(Doorkeeper::Admission admission) {
  grant_ = std::move(admission.grant);
  headers_ = std::move(admission.headers);
}

void HttpExchange::respond(HttpResponse response) {
  if (!connection_ || state_ != State::Waiting) return;
  if (!response.error_code.empty()) note("error_code", response.error_code);
  ConnectionHost& host = connection_->host();
  const bool bodiless = response.status == 204 || response.status == 304;
  ResponseHead head;
  head.status = status_ = response.status;
  head.http_1_0 = http_1_0_;
  head.keep_alive = connection_->keep_alive();
  if (!bodiless) head.content_length = response.body.size();
  head.content_type = bodiless ? std::string_view() : response.content_type;
  head.request_id = request_.id;
  head.date = host.date;
  head.processing_ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_).count();
  head.cors_origin = host.cors_origin(request_);
  std::string text;
  const bool with_body = !bodiless && request_.method != "HEAD";
  const bool joined = response.body.size() <= 16384;
  text.reserve(512 + (joined ? response.body.size() : 0));
  append_head(text, head, response.headers, headers_);
  if (with_body && joined) text += response.body;
  bytes_out_ = with_body ? response.body.size() : 0;
  const std::array<std::string_view, 2> parts{text, with_body && !joined ? std::string_view(response.body) : std::string_view()};
  connection_->write({parts.data(), parts[1].empty() ? size_t{1} : size_t{2}}, false);
  HttpConnection* connection = connection_;
  complete(false);
  connection->answered(head.keep_alive);
}

void HttpExchange::begin_stream(HeaderFields more) {
  if (!connection_ || state_ != State::Waiting) return;
  ConnectionHost& host = connection_->host();
  state_ = State::Streaming;
  ResponseHead head;
  head.status = status_ = 200;
  head.http_1_0 = http_1_0_;
  head.keep_alive = connection_->keep_alive() && !http_1_0_;
  head.chunked = !http_1_0_;
  head.content_type = "text/event-stream; charset=utf-8";
  head.request_id = request_.id;
  head.date = host.date;
  head.processing_ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_).count();
  head.cors_origin = host.cors_origin(request_);
  std::string text;
  text.reserve(512);
  more.insert(more.begin(), {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
  append_head(text, head, more, headers_);
  last_sent_ = Clock::now();
  const std::array<std::string_view, 1> parts{text};
  connection_->write(parts, true);  // with the first events, if they come at once
}

void HttpExchange::send(std::string_view events) {
  if (!connection_ || state_ != State::Streaming || events.empty()) return;
  bytes_out_ += events.size();
  last_sent_ = Clock::now();
  write_event(events);
}

void HttpExchange::write_event(std::string_view events) {
  if (request_.method == "HEAD") return;
  if (http_1_0_) {
    const std::array<std::string_view, 1> parts{events};
    connection_->write(parts, false);
    return;
  }
  char size[20];
  char* end = std::to_chars(size, size + 16, events.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  const std::array<std::string_view, 3> parts{std::string_view(size, static_cast<size_t>(end - size)), events, "\r\n"};
  connection_->write(parts, false);
}

void HttpExchange::finish() {
  if (!connection_ || state_ != State::Streaming) return;
  const std::array<std::string_view, 1> last{"0\r\n\r\n"};
  if (!http_1_0_ && request_.method != "HEAD") connection_->write(last, false);
  HttpConnection* connection = connection_;
  complete(false);
  connection->answered(connection->keep_alive() && !http_1_0_);
}

void HttpExchange::ping(Time now, double after_seconds) {
  if (state_ != State::Streaming || !connection_ || after_seconds < 0 || seconds_between(last_sent_, now) < after_seconds) return;
  last_sent_ = now;
  write_event(": ping\n\n");
}

void HttpExchange::on_gone(std::function<void()> handler) {
  if (lost_)
    loop_.post(std::move(handler));
  else if (connection_)
    gone_ = std::move(handler);
}

void HttpExchange::note(std::string_view name, std::string value) {
  for (auto& [known, old] : notes_)
    if (known == name) {
      old = std::move(value);
      return;
    }
  notes_.emplace_back(name, std::move(value));
}

void HttpExchange::complete(bool gone) {
  HttpConnection& connection = *std::exchange(connection_, nullptr);
  ConnectionHost& host = connection.host();
  host.stats.in_flight--;
  if (grant_) {
    AccessRecord tokens;
    tokens.notes = &notes_;
    grant_->charge(number(tokens.note("prompt_tokens")) + number(tokens.note("completion_tokens")));
    grant_.reset();
  }
  AccessRecord record;
  record.method = request_.method;
  record.path = request_.path;
  record.route = request_.route;
  record.id = request_.id;
  record.key = request_.key;
  record.peer = request_.peer;
  record.streamed = state_ == State::Streaming;
  record.status = gone && !record.streamed ? 499 : status_;
  record.gone = gone;
  record.seconds = seconds_between(started_, Clock::now());
  record.bytes_in = request_.body.size();
  record.bytes_out = bytes_out_;
  record.notes = &notes_;
  state_ = State::Done;
  connection.forget_exchange();
  host.record(record);
}

void HttpExchange::lost(bool slow) {
  ConnectionHost& host = connection_->host();
  (slow ? host.stats.slow_readers : host.stats.disconnects)++;
  lost_ = true;
  complete(true);
  // The handler may drop the last reference to this exchange.
  if (auto handler = std::exchange(gone_, nullptr)) handler();
}

void HttpExchange::abort(int status, std::string_view message, std::string_view code) {
  if (!connection_) return;
  auto handler = std::exchange(gone_, nullptr);
  HttpResponse error = error_response(status, message, code);
  lost_ = true;
  if (state_ == State::Streaming) {
    send("data: " + error.body + "\n\ndata: [DONE]\n\n");
    finish();
  } else {
    if (status == 503) error.headers.emplace_back("Retry-After", "1");
    respond(std::move(error));
  }
  if (handler) handler();
}

}  // namespace infernum::server

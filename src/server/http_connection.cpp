#include "server/http_connection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>

#include "core/log.h"

namespace infernum::server {
namespace {

/// Bodies of refused requests are read to their end up to here, so that the connection can be used again.
constexpr uint64_t worth_reading = 256 << 10;

bool is_request_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == ':' || c == '-';
  });
}

}  // namespace

HttpConnection::HttpConnection(ConnectionHost& host, int fd, std::string peer, std::unique_ptr<TlsSession> tls)
    : host_(host), peer_(std::move(peer)), transport_(fd, std::move(tls)), descriptor_(host.loop.watch(fd, *this)), since_(Clock::now()) {}

HttpConnection::~HttpConnection() = default;

void HttpConnection::start() { wait_for_input(); }

bool HttpConnection::wants_input() const {
  if (state_ == State::Closed || input_ended_) return false;
  if (state_ == State::Lingering) return true;
  if (state_ == State::Answering) return input_.size() < RequestParser::unparsed_limit;  // to notice that the client goes
  return !close_behind_ && output_.size() - output_sent_ <= host_.options.limits.output_bytes;
}

void HttpConnection::wait_for_input() {
  if (reading_ || !wants_input()) return;
  reading_ = true;
  descriptor_->wait_readable();
}

void HttpConnection::on_readable() {
  reading_ = false;
  // A turn for everybody: one client that never stops sending must not keep the loop.
  for (int turn = 0; turn < 4 && wants_input(); turn++) {
    const IoResult result = transport_.read(host_.scratch.data(), host_.scratch.size());
    if (result.status == IoResult::Status::End) return end_of_input(false);
    if (result.status == IoResult::Status::Failed) return end_of_input(true);
    if (result.status == IoResult::Status::WantWrite && !writing_) {
      writing_ = true;
      descriptor_->wait_writable();
    }
    if (result.status != IoResult::Status::Done) break;
    received({host_.scratch.data(), result.bytes});
    if (result.bytes < 4096) break;  // most likely all there is; if not, the next wait ends at once
  }
  wait_for_input();
}

void HttpConnection::received(std::string_view fresh) {
  host_.stats.bytes_in += fresh.size();
  if (state_ == State::Lingering) return;
  if (state_ == State::Answering) {
    input_.append(fresh);
    return;
  }
  first_ = false;
  if (input_.empty()) {
    parse(fresh);
    if (state_ != State::Closed) input_.assign(fresh);
  } else {
    input_.append(fresh);
    std::string_view rest = input_;
    parse(rest);
    if (state_ != State::Closed) input_.erase(0, input_.size() - rest.size());
  }
  if (input_.empty() && input_.capacity() > 64) std::string().swap(input_);
  if (state_ != State::Closed) flush();
}

void HttpConnection::begin_request() {
  request_ = HttpRequest();
  request_.peer = peer_;
  parser_ = std::make_unique<RequestParser>(host_.options.limits, request_);
  head_done_ = false;
  since_ = Clock::now();
}

void HttpConnection::parse(std::string_view& bytes) {
  parsing_ = true;
  while (state_ == State::Reading && !close_behind_ && !bytes.empty() &&
         output_.size() - output_sent_ <= host_.options.limits.output_bytes) {
    if (!parser_) {
      if (bytes.starts_with("\r\n")) {  // some clients end a body by an extra line
        bytes.remove_prefix(2);
        continue;
      }
      begin_request();
    }
    const RequestParser::State state = parser_->feed(bytes);
    *host_.buffered += request_.body.size() - accounted_;
    accounted_ = request_.body.size();
    if (state == RequestParser::State::Failed) {
      refuse(error_response(parser_->status(), parser_->message(), parser_->status() == 413 ? "request_too_large" : "invalid_request"),
             true);
    } else if (state == RequestParser::State::Head) {
      on_head();
    } else if (state == RequestParser::State::Done) {
      dispatch();
    } else if (*host_.buffered > host_.options.limits.buffered_bytes) {
      HttpResponse busy = error_response(503, "too many large requests at once", "overloaded");
      busy.headers.emplace_back("Retry-After", "1");
      refuse(std::move(busy), true);
    } else {
      break;
    }
  }
  parsing_ = false;
}

void HttpConnection::on_head() {
  head_done_ = true;
  since_ = Clock::now();
  keep_alive_ = parser_->keep_alive();
  const std::string_view id = request_.header("x-request-id");
  request_.id = is_request_id(id) ? std::string(id) : host_.new_id();
  verdict_ = host_.judge(request_);
  if (!parser_->has_body()) return dispatch();
  if (!verdict_.refusal) {
    if (parser_->expects_continue()) output_ += "HTTP/1.1 100 Continue\r\n\r\n";
  } else if (!parser_->expects_continue() && parser_->content_length().value_or(worth_reading + 1) <= worth_reading) {
    parser_->discard_body();
  } else {
    refuse(std::move(*verdict_.refusal), true);
  }
}

void HttpConnection::refuse(HttpResponse response, bool close_behind) {
  if (request_.id.empty()) request_.id = host_.new_id();
  verdict_.refusal = std::move(response);
  if (close_behind) {
    keep_alive_ = false;
    linger_ = true;  // else what the client still sends would reset the connection before it has read the answer
  }
  dispatch();
}

void HttpConnection::dispatch() {
  state_ = State::Answering;
  const bool http_1_0 = parser_ && parser_->http_1_0();
  ConnectionHost::Verdict verdict = std::move(verdict_);
  verdict_ = {};
  accounted_ = 0;  // passes to the exchange
  auto exchange = std::make_shared<HttpExchange>(*this, host_, std::move(request_), Clock::now(), http_1_0);
  parser_.reset();
  exchange_ = exchange.get();
  if (verdict.refusal) return exchange->respond(std::move(*verdict.refusal));
  Doorkeeper::Admission admission = host_.admit(exchange->request(), *verdict.route);
  std::optional<HttpResponse> refusal = std::move(admission.refusal);
  exchange->set_admission(std::move(admission));
  if (refusal) return exchange->respond(std::move(*refusal));
  try {
    verdict.route->handler(exchange);
  } catch (const std::exception& e) {
    log_warning("a request failed: " + std::string(verdict.route->path) + ": " + e.what());
    exchange->abort(500, "an internal error", "internal_error");
  }
}

bool HttpConnection::keep_alive() const { return keep_alive_ && !host_.draining && !input_ended_; }

void HttpConnection::answered(bool keep_alive) {
  if (!keep_alive) close_behind_ = true;
  if (state_ == State::Answering) state_ = State::Reading;
  since_ = Clock::now();
  if (!parsing_ && (close_behind_ || !input_.empty() || !reading_)) host_.attend(*this);
}

void HttpConnection::cut() {
  broken_ = true;
  host_.attend(*this);
}

void HttpConnection::write(std::span<const std::string_view> parts, bool may_wait) {
  if (state_ == State::Closed || broken_) return;
  size_t sent = 0;
  const bool direct = output_.empty() && !parsing_ && !may_wait;
  if (direct) {
    const IoResult result = transport_.write(parts);
    if (result.status == IoResult::Status::Failed) return cut();
    sent = result.bytes;
    host_.stats.bytes_out += sent;
  }
  for (const auto part : parts) {
    const size_t skip = std::min(sent, part.size());
    sent -= skip;
    output_.append(part.substr(skip));
  }
  if (output_.empty() || parsing_ || writing_) {
    if (exchange_ && output_.size() - output_sent_ > host_.options.limits.output_bytes && exchange_->streaming()) {
      slow_ = true;
      cut();
    }
    return;
  }
  if (may_wait) return host_.attend(*this);
  if (direct) {
    writing_ = true;
    last_progress_ = Clock::now();
    descriptor_->wait_writable();
  } else {
    send_output();
  }
}

void HttpConnection::send_output() {
  if (output_.empty() || writing_) return;
  const std::array<std::string_view, 1> parts{std::string_view(output_).substr(output_sent_)};
  const IoResult result = transport_.write(parts);
  if (result.status == IoResult::Status::Failed) return cut();
  if (result.bytes > 0 || output_sent_ == 0) last_progress_ = Clock::now();
  output_sent_ += result.bytes;
  host_.stats.bytes_out += result.bytes;
  if (output_sent_ == output_.size()) {
    output_.clear();
    output_sent_ = 0;
    if (output_.capacity() > 16384 || (exchange_ && output_.capacity() > 64)) std::string().swap(output_);
    return;
  }
  if (output_sent_ > (256 << 10)) {
    output_.erase(0, output_sent_);
    output_sent_ = 0;
  }
  writing_ = true;
  descriptor_->wait_writable();
}

void HttpConnection::on_writable() {
  writing_ = false;
  flush();
  if (state_ != State::Closed && !reading_) on_readable();
}

void HttpConnection::attend() {
  if (broken_) return close();
  flush();
}

void HttpConnection::flush() {
  send_output();
  if (broken_) return close();
  if (!output_.empty() || state_ == State::Answering || state_ == State::Lingering || state_ == State::Closed) return wait_for_input();
  if (close_behind_) {
    if (!linger_) return close();
    transport_.shut_writing();
    state_ = State::Lingering;
    since_ = Clock::now();
    std::string().swap(input_);
  } else if (!input_.empty() && !parsing_) {
    const size_t before = input_.size();
    std::string_view rest = input_;
    parse(rest);
    input_.erase(0, input_.size() - rest.size());
    if (input_.size() < before || !output_.empty() || close_behind_) host_.attend(*this);
  }
  wait_for_input();
}

void HttpConnection::end_of_input(bool failed) {
  if (failed || state_ == State::Lingering) return close();
  input_ended_ = true;
  if (state_ == State::Answering) {
    if (host_.options.half_close_aborts) close();
    return;
  }
  close_behind_ = true;
  linger_ = false;
  flush();
}

void HttpConnection::close() {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  descriptor_.reset();
  *host_.buffered -= accounted_;
  if (exchange_) exchange_->lost(slow_);
  host_.closed(*this);
}

void HttpConnection::retire() {
  if (state_ != State::Reading || parser_ || !input_.empty()) return;
  close_behind_ = true;
  host_.attend(*this);
}

void HttpConnection::tick(Time now) {
  const HttpLimits& limits = host_.options.limits;
  if (state_ == State::Closed) return;
  if (state_ == State::Lingering) {
    if (seconds_between(since_, now) > limits.linger_seconds) close();
    return;
  }
  if (writing_ && !output_.empty() && seconds_between(last_progress_, now) > limits.write_stall_seconds) {
    slow_ = true;
    return close();
  }
  if (state_ == State::Answering) {
    if (output_.empty() && exchange_) exchange_->ping(now, limits.ping_seconds);
    return;
  }
  tick_reading(now);
}

void HttpConnection::tick_reading(Time now) {
  const HttpLimits& limits = host_.options.limits;
  const double waited = seconds_between(since_, now);
  if (close_behind_ || !output_.empty()) return;
  if (!parser_) {
    if (waited > (first_ ? limits.header_seconds : limits.idle_seconds)) close();
    return;
  }
  const double allowed =
      head_done_ ? limits.body_seconds + static_cast<double>(request_.body.size()) / limits.body_bytes_per_second : limits.header_seconds;
  if (waited <= allowed) return;
  host_.stats.timeouts++;
  const std::string what = head_done_ ? "the body" : "the header";
  refuse(error_response(408, what + " was not received within " + std::to_string(static_cast<int64_t>(std::ceil(allowed))) + " s",
                        "request_timeout"),
         true);
}

}  // namespace infernum::server

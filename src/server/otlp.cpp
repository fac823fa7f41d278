#include "server/otlp.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/log.h"
#include "server/access_log.h"
#include "server/json_writer.h"

namespace infernum::server {
namespace {

constexpr size_t most_in_batch = 256;

/// Attributes as OTLP's JSON has them: numbers of 64 bits are strings.
class Attributes {
 public:
  explicit Attributes(JsonWriter& writer) : w_(writer) { w_.key("attributes").begin_list(); }
  ~Attributes() { w_.end_list(); }
  void add(const char* key, std::string_view value) {
    if (!value.empty()) begin(key).key("stringValue").string(value).end_object().end_object();
  }
  void add(const char* key, int64_t value) { begin(key).key("intValue").string(std::to_string(value)).end_object().end_object(); }
  void add(const char* key, float value) { begin(key).key("doubleValue").number(value).end_object().end_object(); }
  void add_flag(const char* key, bool value) { begin(key).key("boolValue").boolean(value).end_object().end_object(); }
  void add_list(const char* key, std::string_view value) {
    begin(key).key("arrayValue").begin_object().key("values").begin_list().begin_object().key("stringValue").string(value);
    w_.end_object().end_list().end_object().end_object().end_object();
  }

 private:
  JsonWriter& begin(const char* key) { return w_.begin_object().key("key").string(key).key("value").begin_object(); }
  JsonWriter& w_;
};

struct Span {
  const std::string &trace, &id, &parent;
  std::string name;
  int kind;  ///< 1: within the program, 2: of a server
  double begin, end;
};

void begin_span(JsonWriter& w, const Span& span) {
  const auto nanoseconds = [](double seconds) { return std::to_string(static_cast<int64_t>(std::llround(seconds * 1e6)) * 1000); };
  w.begin_object().key("traceId").string(span.trace).key("spanId").string(span.id);
  if (!span.parent.empty()) w.key("parentSpanId").string(span.parent);
  w.key("name").string(span.name).key("kind").number(int64_t{span.kind});
  w.key("startTimeUnixNano").string(nanoseconds(span.begin)).key("endTimeUnixNano").string(nanoseconds(span.end));
}

void append_attributes(JsonWriter& w, const RequestRecord& r, const OtlpOptions& options, std::string_view operation) {
  Attributes a(w);
  a.add("gen_ai.operation.name", operation);
  a.add("gen_ai.provider.name", "infernum");
  a.add("gen_ai.request.model", r.model);
  a.add("gen_ai.request.max_tokens", r.max_tokens);
  a.add("gen_ai.request.choice.count", r.choices);
  a.add("gen_ai.request.temperature", r.temperature);
  a.add("gen_ai.request.top_p", r.top_p);
  a.add("gen_ai.request.top_k", int64_t{r.top_k});
  a.add("gen_ai.request.frequency_penalty", r.frequency_penalty);
  a.add("gen_ai.request.presence_penalty", r.presence_penalty);
  a.add_flag("gen_ai.request.stream", r.stream);
  a.add("gen_ai.response.id", r.id);
  a.add("gen_ai.response.model", r.model);
  a.add("gen_ai.output.type", "text");
  a.add("gen_ai.usage.input_tokens", r.prompt_tokens);
  a.add("gen_ai.usage.output_tokens", r.completion_tokens);
  a.add("gen_ai.usage.cache_read.input_tokens", r.cached_tokens);
  if (r.status == 200) a.add_list("gen_ai.response.finish_reasons", r.finish_reason);
  if (r.first_token_seconds) a.add("gen_ai.response.time_to_first_chunk", static_cast<float>(*r.first_token_seconds));
  if (r.status != 200) a.add("error.type", r.finish_reason);
  a.add("http.route", r.route);
  a.add("http.response.status_code", int64_t{r.status});
  a.add("server.address", options.host);
  a.add("server.port", int64_t{options.port});
}

/// A connection whose every step takes so long at most.
class Connection {
 public:
  Connection(const std::string& host, const std::string& port, double seconds) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    const int status = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
    check(status == 0, "there is no such host", host, gai_strerror(status));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, &freeaddrinfo);
    timeval limit{};
    limit.tv_sec = static_cast<time_t>(seconds);
    limit.tv_usec = static_cast<suseconds_t>((seconds - std::floor(seconds)) * 1e6);
    for (const addrinfo* info = found; info && fd_ < 0; info = info->ai_next) {
      fd_ = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (fd_ < 0) continue;
      setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // of connect(), too
      if (connect(fd_, info->ai_addr, info->ai_addrlen) != 0) {
        const int error = errno;
        close();
        errno = error;
      }
    }
    check(fd_ >= 0, "cannot connect", host, port, std::strerror(errno));
  }
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      check(n > 0, "the collector does not take the spans", std::strerror(errno));
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  /// The first line of the answer.
  std::string read_line() {
    std::string line;
    char part[512];
    while (line.find('\n') == std::string::npos && line.size() < 4096) {
      const ssize_t n = recv(fd_, part, sizeof part, 0);
      check(n > 0, "the collector does not answer", n == 0 ? "it closed the connection" : std::strerror(errno));
      line.append(part, static_cast<size_t>(n));
    }
    return line.substr(0, line.find_first_of("\r\n"));
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd_ = -1;
};

}  // namespace

OtlpExporter::OtlpExporter(OtlpOptions options) : options_(std::move(options)) {
  constexpr std::string_view scheme = "http://";
  std::string_view rest = options_.endpoint;
  check(rest.starts_with(scheme),
        "OTEL_EXPORTER_OTLP_ENDPOINT is such as http://127.0.0.1:4318 (a collector near the server, without TLS), not", options_.endpoint);
  rest.remove_prefix(scheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  path_ = rest.substr(slash);
  while (path_.ends_with('/')) path_.pop_back();
  path_ += "/v1/traces";
  const size_t bracket = authority.rfind(']'), colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  port_ = has_port ? authority.substr(colon + 1) : "4318";
  host_ = authority.substr(0, has_port ? colon : authority.size());
  if (host_.starts_with('[') && host_.ends_with(']')) host_ = host_.substr(1, host_.size() - 2);
  check(!host_.empty() && !port_.empty() && port_.find_first_not_of("0123456789") == std::string::npos,
        "OTEL_EXPORTER_OTLP_ENDPOINT has no host, or a port that is no number", options_.endpoint);
  thread_ = std::thread([this] { run(); });
}

OtlpExporter::~OtlpExporter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void OtlpExporter::request(const RequestRecord& record) {
  if (record.parent && !record.parent->sampled) return;
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.most_waiting) {
      counts_.dropped++;
      return;
    }
    queue_.push_back({record, unix_now()});
    queue_.back().record.token_gaps.clear();
  }
  wake_.notify_one();
}

OtlpExporter::Counts OtlpExporter::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

void OtlpExporter::run() {
  for (;;) {
    std::deque<Waiting> batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      wake_.wait_for(lock, std::chrono::duration<double>(options_.batch_seconds),
                     [this] { return stopping_ || queue_.size() >= most_in_batch; });
      while (!queue_.empty() && batch.size() < most_in_batch) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    bool sent = true;
    try {
      send(batch);
    } catch (const std::exception& e) {
      sent = false;
      log_warning("spans of requests are lost: " + options_.endpoint + ": " + e.what());
    }
    std::lock_guard lock(mutex_);
    (sent ? counts_.sent : counts_.dropped) += batch.size();
    if (stopping_ && !sent) {  // nobody is there: an end must not wait for him
      counts_.dropped += queue_.size();
      return;
    }
  }
}

void OtlpExporter::send(const std::deque<Waiting>& batch) {
  const std::string body = body_of(batch);
  Connection connection(host_, port_, options_.timeout_seconds);
  connection.write("POST " + path_ + " HTTP/1.1\r\nHost: " + host_ + ":" + port_ +
                   "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
                   "\r\n\r\n" + body);
  const std::string line = connection.read_line();
  check(line.starts_with("HTTP/1.") && line.find(" 2") == 8, "the collector refuses the spans", line);
}

std::string OtlpExporter::new_id(size_t digits) {
  constexpr char names[] = "0123456789abcdef";
  std::string id;
  while (id.size() < digits) {
    uint64_t bits = random_();
    for (int i = 0; i < 16 && id.size() < digits; i++, bits >>= 4) id += names[bits & 15];
  }
  return id;
}

void OtlpExporter::append_request(std::string& out, const Waiting& waiting) {
  const RequestRecord& r = waiting.record;
  const std::string trace = r.parent ? r.parent->trace : new_id(32), id = new_id(16), none;
  const std::string_view operation = r.route == "/v1/chat/completions" ? "chat" : "text_completion";
  const double begin = waiting.ended - r.seconds;
  if (out.back() != '[') out += ',';
  JsonWriter w(out);
  begin_span(w, {trace, id, r.parent ? r.parent->span : none, std::string(operation) + " " + r.model, 2, begin, waiting.ended});
  append_attributes(w, r, options_, operation);
  if (r.outcome() == "error")
    w.key("status").begin_object().key("code").number(int64_t{2}).key("message").string(r.finish_reason).end_object();
  w.end_object();
  double at = begin;
  for (const auto& [name, seconds] : {std::pair("queue", r.queue_seconds), {"prefill", r.prefill_seconds}, {"decode", r.decode_seconds}}) {
    const std::string part = new_id(16);
    out += ',';
    JsonWriter child(out);
    begin_span(child, {trace, part, id, name, 1, at, at + seconds});
    child.end_object();
    at += seconds;
  }
}

std::string OtlpExporter::body_of(const std::deque<Waiting>& batch) {
  std::string out = R"({"resourceSpans":[{"resource":{)";
  {
    JsonWriter w(out);
    Attributes a(w);
    a.add("service.name", "infernum");
    a.add("service.version", options_.version);
  }
  out += R"(},"scopeSpans":[{"scope":{"name":"infernum"},"spans":[)";
  for (const Waiting& waiting : batch) append_request(out, waiting);
  out += "]}]}]}";
  return out;
}

}  // namespace infernum::server

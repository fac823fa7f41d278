// `infernum serve`: the listener first, then the model, then requests until it is told to stop.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/check.h"
#include "serve_api.h"
#include "server/access_log.h"
#include "server/api_keys.h"
#include "server/life_cycle.h"
#include "server/page.h"
#include "server/service_manager.h"
#include "server/transport.h"
#include "session.h"

namespace infernum::app {
namespace {

using namespace server;
namespace fs = std::filesystem;

constexpr double look_seconds = 1;  ///< between looks at files that may have changed, and at the engine

server::HttpOptions http_options(const ServeFlags& flags) {
  HttpOptions o = flags.http;
  o.limits.body_bytes = static_cast<size_t>(flags.max_body_size);
  o.limits.buffered_bytes = std::max(o.limits.buffered_bytes, o.limits.body_bytes);
  o.limits.connections = static_cast<size_t>(flags.max_connections);
  o.limits.connections_per_address = static_cast<size_t>(flags.max_connections_per_ip);
  o.half_close_aborts = flags.half_close == "abort";
  while (o.api_prefix.ends_with('/')) o.api_prefix.pop_back();
  check(o.api_prefix.empty() || o.api_prefix.starts_with('/'), "--api-prefix begins with /", o.api_prefix);
  for (const std::string& origin : o.cors_origins)
    check(origin == "*" || origin.find("://") != std::string::npos, "--cors-origins are such as https://app.example", origin);
  return o;
}

ApiKeyOptions key_options(const ServeFlags& flags) {
  ApiKeyOptions o;
  o.keys = flags.api_key;
  o.admin_keys = flags.admin_api_key;
  o.file = flags.api_key_file;
  o.limits = {flags.rate_limit_requests, flags.rate_limit_tokens, flags.rate_limit_concurrent};
  return o;
}

/// Each connection needs a descriptor.
void raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

fs::file_time_type changed(const std::string& path) {
  std::error_code error;
  return fs::last_write_time(path, error);
}

/// Refused for what the server or the client may, not for what the request says.
bool turned_away(const AccessRecord& record) {
  constexpr int statuses[] = {401, 403, 408, 413, 414, 429, 431, 503};
  return !record.note("error_code").empty() && std::find(std::begin(statuses), std::end(statuses), record.status) != std::end(statuses);
}

class ServeRun {
 public:
  explicit ServeRun(const ServeFlags& flags);
  ~ServeRun();
  int run();

 private:
  void log(std::string_view level, std::string_view message);
  std::vector<Route> own_routes();
  void load();
  void loaded(std::unique_ptr<ServedApi> api);
  void greet();
  void on_signal(int signal);
  void begin_drain();
  void reload(bool all);
  void look();
  void end(int code);
  std::string url() const;

  ServeFlags flags_;
  LogFormat format_;
  EventLoop loop_;
  SignalWatcher signals_;  ///< before any thread is started
  std::optional<LineWriter> log_{std::in_place, 2};
  std::shared_ptr<ApiKeys> keys_;
  ServerMetrics metrics_;
  LifeCycle life_;
  HttpServer server_;
  std::unique_ptr<ServedApi> api_;
  std::unique_ptr<Drain> drain_;
  std::unique_ptr<IoLoop::Timer> look_timer_, watchdog_timer_, end_timer_;
  std::thread loader_;
  bool loading_ = true;
  fs::file_time_type tls_changed_{};
  int exit_code_ = 0;
};

LogFormat log_format(const ServeFlags& flags) {
  const bool human = flags.log_format == "human" || (flags.log_format == "auto" && isatty(2));
  return human ? LogFormat::Human : LogFormat::Json;
}

ServeRun::ServeRun(const ServeFlags& flags)
    : flags_(flags),
      format_(log_format(flags)),
      signals_(loop_, {SIGINT, SIGTERM, SIGHUP}, [this](int signal) { on_signal(signal); }),
      keys_(std::make_shared<ApiKeys>(key_options(flags))),
      metrics_(flags.metrics_names == "vllm"       ? MetricNames::Vllm
               : flags.metrics_names == "infernum" ? MetricNames::Infernum
                                                   : MetricNames::Both,
               INFERNUM_VERSION),
      life_(INFERNUM_VERSION, flags.watchdog),
      server_(loop_, http_options(flags), keys_) {
  check(flags.tls_cert.empty() == flags.tls_key.empty(), "--tls-cert and --tls-key go together");
  if (!flags.tls_cert.empty()) {
    server_.set_tls(load_tls(flags.tls_cert, flags.tls_key));
    tls_changed_ = std::max(changed(flags.tls_cert), changed(flags.tls_key));
  }
  server_.set_routes(own_routes());
  server_.set_gate([this](const HttpRequest& request, const Route* route) { return life_.gate(request, route); });
  server_.on_access([this](const AccessRecord& record) {
    metrics_.response(record.route, record.method, record.status);
    if (turned_away(record)) metrics_.rejected(record.note("error_code"));
    if (flags_.log_level == "info") log_->write(access_line(record, format_, unix_now()));
  });
  metrics_.set_http([this] { return server_.stats(); });
  life_.watch_engine([this] { return api_ ? std::optional<EngineStats>(api_->stats()) : std::nullopt; });
}

ServeRun::~ServeRun() {
  server_.abort_all(503, "the server is shutting down", "draining");
  if (loader_.joinable()) loader_.join();
}

void ServeRun::log(std::string_view level, std::string_view message) { log_->write(message_line(level, message, format_, unix_now())); }

std::vector<Route> ServeRun::own_routes() {
  std::vector<Route> routes = life_.routes();
  routes.push_back({"GET", "/metrics", flags_.public_metrics ? Access::Public : Access::Key, metrics_.handler(), false});
  routes.push_back({"GET", "/load", Access::Key,
                    [this](const std::shared_ptr<Exchange>& exchange) {
                      HttpResponse response;
                      const auto stats = api_ ? api_->stats() : EngineStats{};
                      response.body = "{\"server_load\":" + std::to_string(stats.running + stats.waiting) + "}";
                      exchange->respond(std::move(response));
                    },
                    false});
  const auto admin = [](std::function<void()> act) -> Handler {
    return [act = std::move(act)](const std::shared_ptr<Exchange>& exchange) {
      act();
      HttpResponse response;
      response.body = R"({"status":"ok"})";
      exchange->respond(std::move(response));
    };
  };
  routes.push_back({"POST", "/admin/drain", Access::Admin, admin([this] { begin_drain(); }), false});
  routes.push_back({"POST", "/admin/reload", Access::Admin, admin([this] { reload(true); }), false});
  if (flags_.no_page) {
    routes.push_back({"GET", "/", Access::Public, [](const std::shared_ptr<Exchange>& exchange) { exchange->respond({}); }, false});
  } else {
    for (Route& route : page_routes()) routes.push_back(std::move(route));
  }
  return routes;
}

std::string ServeRun::url() const {
  const std::string& host = flags_.http.host;
  const bool any = host == "0.0.0.0" || host == "::" || host.empty();
  const std::string name = any ? "localhost" : host.find(':') != std::string::npos && host[0] != '[' ? "[" + host + "]" : host;
  return (flags_.tls_cert.empty() ? "http://" : "https://") + name + ":" + std::to_string(server_.port()) + flags_.http.api_prefix;
}

void ServeRun::greet() {
  const std::string& name = api_->model_name();
  if (format_ == LogFormat::Json) return log("info", "ready: " + name + " at " + url());
  const std::string key = keys_->protects() ? " \\\n    -H 'Authorization: Bearer YOUR_KEY'" : "";
  const std::string body = api_->chats() ? R"({"messages":[{"role":"user","content":"Tell me of a fox."}],"max_tokens":60,"stream":true})"
                                         : R"({"prompt":"Once upon a time","max_tokens":60,"stream":true})";
  std::fprintf(stderr,
               "\n  %s is ready, %lld tokens of context\n\n"
               "  page    %s/\n"
               "  API     %s/v1\n"
               "  try     curl -N %s/v1/%s -H 'Content-Type: application/json'%s \\\n    -d '%s'\n"
               "  more    docs/server.md, infernum serve --help; Ctrl-C stops\n\n",
               printable(name).c_str(), static_cast<long long>(api_->context()), url().c_str(), url().c_str(), url().c_str(),
               api_->chats() ? "chat/completions" : "completions", key.c_str(), body.c_str());
}

void ServeRun::load() {
  life_.set_stage(Stage::Loading);
  loader_ = std::thread([this] {
    try {
      auto api = std::make_shared<std::unique_ptr<ServedApi>>(load_api(flags_));
      loop_.post([this, api] { loaded(std::move(*api)); });
    } catch (const std::exception& e) {
      loop_.post([this, what = std::string(e.what())] {
        loading_ = false;
        log("error", what);
        life_.set_stage(Stage::Failed);
        end(1);
      });
    }
  });
}

void ServeRun::loaded(std::unique_ptr<ServedApi> api) {
  loading_ = false;
  if (life_.stage() != Stage::Loading) return;  // told to stop meanwhile
  api_ = std::move(api);
  std::vector<Route> routes = own_routes();
  for (Route& route : api_->open(loop_, metrics_)) routes.push_back(std::move(route));
  server_.set_routes(std::move(routes));
  life_.set_stage(Stage::Ready);
  notify_service_manager("READY=1");
  greet();
}

void ServeRun::on_signal(int signal) {
  if (signal == SIGHUP) return reload(true);
  if (drain_) return end(128 + signal);  // the second one: at once
  log("info", "stopping: finishing what is in flight; a second signal ends at once");
  begin_drain();
}

void ServeRun::begin_drain() {
  if (drain_) return;
  notify_service_manager("STOPPING=1");
  drain_ = std::make_unique<Drain>(loop_, server_, life_, DrainOptions{flags_.drain_delay, flags_.shutdown_timeout},
                                   [this] { end(exit_code_); });
}

void ServeRun::reload(bool all) {
  try {
    if (all) keys_->reload();
    if (all || keys_->reload_if_changed()) log("info", "API keys read: " + std::to_string(keys_->size()));
  } catch (const std::exception& e) {
    log("error", std::string("the API keys stay as they are: ") + e.what());
  }
  if (flags_.tls_cert.empty()) return;
  const fs::file_time_type now = std::max(changed(flags_.tls_cert), changed(flags_.tls_key));
  if (!all && now == tls_changed_) return;
  tls_changed_ = now;
  try {
    server_.set_tls(load_tls(flags_.tls_cert, flags_.tls_key));
    log("info", "TLS certificate read");
  } catch (const std::exception& e) {
    log("error", std::string("the TLS certificate stays as it is: ") + e.what());
  }
}

void ServeRun::look() {
  reload(false);
  if (api_ && api_->stats().state == EngineState::Failed && life_.stage() != Stage::Failed) {
    log("error", "the engine has failed; the server ends");
    life_.set_stage(Stage::Failed);
    exit_code_ = 1;
    server_.abort_all(503, "the engine has failed", "engine_dead");
    end_timer_ = loop_.after(look_seconds, [this] { end(1); });  // for probes to see it and streams to get their last event
  }
  look_timer_ = loop_.after(look_seconds, [this] { look(); });
}

void ServeRun::end(int code) {
  exit_code_ = code;
  loop_.stop();
}

int ServeRun::run() {
  std::signal(SIGPIPE, SIG_IGN);  // of a log whose reader has gone
  std::signal(SIGXFSZ, SIG_IGN);  // of a log or trace that has grown to the limit
  raise_open_files();
  server_.listen();
  const bool local = flags_.http.host == "127.0.0.1" || flags_.http.host == "localhost" || flags_.http.host == "::1";
  if (!local && !keys_->protects())
    log("warning", "everybody who can reach " + flags_.http.host + " may use this server: --api-key or --api-key-file closes it");
  log("info", "listening at " + url() + ", loading the model");
  look();
  if (const double interval = watchdog_interval(); interval > 0) {
    auto beat = std::make_shared<std::function<void()>>();
    *beat = [this, interval, weak = std::weak_ptr(beat)] {
      if (life_.alive()) notify_service_manager("WATCHDOG=1");
      if (const auto again = weak.lock()) watchdog_timer_ = loop_.after(interval, [again] { (*again)(); });
    };
    (*beat)();
  }
  load();
  loop_.run();
  if (loading_) {
    // A model that is being read cannot be interrupted, and there is nothing to save.
    log("info", "stopped while loading");
    log_.reset();  // writes what waits
    std::_Exit(exit_code_);
  }
  return exit_code_;
}

}  // namespace

int serve(const ServeFlags& flags) { return ServeRun(flags).run(); }

}  // namespace infernum::app

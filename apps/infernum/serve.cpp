// `infernum serve`: the listener first, then the model, then requests until it is told to stop.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "core/check.h"
#include "core/device_error.h"
#include "serve_api.h"
#include "serve_config.h"
#include "server/life_cycle.h"
#include "server/otlp.h"
#include "server/page.h"
#include "server/server_log.h"
#include "server/service_manager.h"
#include "session.h"

namespace infernum::app {
namespace {

using namespace server;
namespace fs = std::filesystem;

constexpr double look_seconds = 1;  ///< between looks at files that may have changed, and at the engine

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

HttpResponse status_ok() {
  HttpResponse response;
  response.body = R"({"status":"ok"})";
  return response;
}

class ServeRun {
 public:
  ServeRun(ServeConfig config, std::function<ServeConfig()> read_again, std::unique_ptr<ServerLog>& log);
  ~ServeRun();
  int run();

 private:
  const ServeFlags& flags() const { return config_.flags; }
  std::vector<Route> own_routes();
  void open_spans();
  void load();
  void loaded(std::unique_ptr<ServedApi> api);
  void greet();
  void on_signal(int signal);
  void begin_drain();
  bool reload();
  void reload_changed_files();
  fs::file_time_type tls_changed() const;
  void look();
  void end(int code);
  std::string url() const;

  ServeConfig config_;
  std::function<ServeConfig()> read_again_;
  std::unique_ptr<ServerLog>& log_;
  EventLoop loop_;
  SignalWatcher signals_;  ///< before any thread is started
  std::shared_ptr<ApiKeys> keys_;
  ServerMetrics metrics_;
  LifeCycle life_;
  HttpServer server_;
  std::unique_ptr<OtlpExporter> spans_;  ///< null: nobody wants them
  std::unique_ptr<ServedApi> api_;
  std::unique_ptr<Drain> drain_;
  std::unique_ptr<IoLoop::Timer> look_timer_, watchdog_timer_, end_timer_;
  std::thread loader_;
  bool loading_ = true;
  fs::file_time_type tls_changed_;
  std::vector<std::string> aliases_ = aliases(config_.flags);
  int exit_code_ = 0;
};

ServeRun::ServeRun(ServeConfig config, std::function<ServeConfig()> read_again, std::unique_ptr<ServerLog>& log)
    : config_(std::move(config)),
      read_again_(std::move(read_again)),
      log_(log),
      signals_(loop_, {SIGINT, SIGTERM, SIGHUP}, [this](int signal) { on_signal(signal); }),
      keys_(std::make_shared<ApiKeys>(key_options(flags()))),
      metrics_(metric_names(flags()), INFERNUM_VERSION),
      life_(INFERNUM_VERSION, flags().watchdog),
      server_(loop_, http_options(flags()), keys_),
      tls_changed_(tls_changed()) {
  server_.set_tls(read_tls(flags()));
  server_.set_routes(own_routes());
  server_.set_gate([this](const HttpRequest& request, const Route* route) { return life_.gate(request, route); });
  server_.on_access([this](const AccessRecord& record) {
    metrics_.response(record.route, record.method, record.status);
    if (turned_away(record)) metrics_.rejected(record.note("error_code"));
    log_->request(record);
  });
  metrics_.set_http([this] { return server_.stats(); });
  life_.watch_engine([this] { return api_ ? std::optional<EngineStats>(api_->stats()) : std::nullopt; });
}

ServeRun::~ServeRun() {
  server_.abort_all(503, "the server is shutting down", "draining");
  if (loader_.joinable()) loader_.join();
}

std::vector<Route> ServeRun::own_routes() {
  std::vector<Route> routes = life_.routes();
  routes.push_back({"GET", "/metrics", flags().public_metrics ? Access::Public : Access::Key, metrics_.handler(), false});
  routes.push_back({"GET", "/load", Access::Key,
                    [this](const std::shared_ptr<Exchange>& exchange) {
                      HttpResponse response;
                      const auto stats = api_ ? api_->stats() : EngineStats{};
                      response.body = "{\"server_load\":" + std::to_string(stats.running + stats.waiting) + "}";
                      exchange->respond(std::move(response));
                    },
                    false});
  const auto admin = [](std::function<HttpResponse()> act) -> Handler {
    return [act = std::move(act)](const std::shared_ptr<Exchange>& exchange) { exchange->respond(act()); };
  };
  const auto drain = [this] {
    begin_drain();
    return status_ok();
  };
  const auto reread = [this] {
    // What is wrong with it is the log's business: it names files.
    return reload() ? status_ok() : error_response(400, "the configuration stays as it is; the log says why", "reload_failed");
  };
  routes.push_back({"POST", "/admin/drain", Access::Admin, admin(drain), false});
  routes.push_back({"POST", "/admin/reload", Access::Admin, admin(reread), false});
  if (flags().no_page) {
    routes.push_back({"GET", "/", Access::Public, [](const std::shared_ptr<Exchange>& exchange) { exchange->respond({}); }, false});
  } else {
    for (Route& route : page_routes()) routes.push_back(std::move(route));
  }
  return routes;
}

std::string ServeRun::url() const {
  const std::string& host = flags().http.host;
  const bool any = host == "0.0.0.0" || host == "::" || host.empty();
  const std::string name = any ? "localhost" : host.find(':') != std::string::npos && host[0] != '[' ? "[" + host + "]" : host;
  return (flags().tls_cert.empty() ? "http://" : "https://") + name + ":" + std::to_string(server_.port()) + flags().http.api_prefix;
}

void ServeRun::greet() {
  const std::string& name = api_->model_name();
  if (log_->format() == LogFormat::Json) return log_->message(LogLevel::Info, "ready: " + name + " at " + url());
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

void ServeRun::open_spans() {
  const char* endpoint = std::getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
  if (!endpoint || !*endpoint) return;
  spans_ = std::make_unique<OtlpExporter>(OtlpOptions{endpoint, INFERNUM_VERSION, flags().http.host, server_.port()});
  metrics_.set_spans([this] {
    const OtlpExporter::Counts counts = spans_->counts();
    return SpanCounts{counts.sent, counts.dropped};
  });
  log_->message(LogLevel::Info, std::string("spans of requests go to ") + endpoint);
}

void ServeRun::load() {
  life_.set_stage(Stage::Loading);
  loader_ = std::thread([this] {
    try {
      auto api = std::make_shared<std::unique_ptr<ServedApi>>(load_api(flags()));
      loop_.post([this, api] { loaded(std::move(*api)); });
    } catch (const std::exception& e) {
      loop_.post([this, what = memory_shortage(e).value_or(e.what())] {
        loading_ = false;
        log_->message(LogLevel::Error, what);
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
  const auto on_record = [this](const RequestRecord& record) {
    if (spans_) spans_->request(record);
  };
  for (Route& route : api_->open(loop_, metrics_, on_record)) routes.push_back(std::move(route));
  api_->set_aliases(aliases_);
  server_.set_routes(std::move(routes));
  life_.set_stage(Stage::Ready);
  notify_service_manager("READY=1");
  greet();
}

void ServeRun::on_signal(int signal) {
  if (signal == SIGHUP) return void(reload());
  if (drain_) return end(128 + signal);  // the second one: at once
  log_->message(LogLevel::Info, "stopping: finishing what is in flight; a second signal ends at once");
  begin_drain();
}

void ServeRun::begin_drain() {
  if (drain_) return;
  notify_service_manager("STOPPING=1");
  drain_ = std::make_unique<Drain>(loop_, server_, life_, DrainOptions{flags().drain_delay, flags().shutdown_timeout},
                                   [this] { end(exit_code_); });
}

/// All of it, or nothing.
bool ServeRun::reload() {
  try {
    ServeConfig next = read_again_();
    const auto keys = keys_->read(key_options(next.flags));
    std::shared_ptr<TlsContext> tls = read_tls(next.flags);
    check(!tls == flags().tls_cert.empty(), "TLS cannot be switched on or off while the server runs", next.flags.tls_cert);
    HttpOptions http = http_options(next.flags);
    // From here on nothing fails.
    for (const std::string& name : flags_that_need_a_restart(config_, next))
      log_->message(LogLevel::Warning, "this change of the configuration needs a restart: " + name);
    config_.flags.api_key_file = next.flags.api_key_file;
    config_.flags.tls_cert = next.flags.tls_cert;
    config_.flags.tls_key = next.flags.tls_key;
    config_.flags.tls_client_ca = next.flags.tls_client_ca;
    aliases_ = aliases(next.flags);
    tls_changed_ = tls_changed();
    keys_->take(keys);
    server_.set_tls(std::move(tls));
    server_.set_cors_origins(std::move(http.cors_origins));
    log_->set_level(parse_log_level(next.flags.log_level));
    if (api_) api_->set_aliases(aliases_);
    log_->message(LogLevel::Info, "configuration read; API keys: " + std::to_string(keys_->size()));
    return true;
  } catch (const std::exception& e) {
    log_->message(LogLevel::Error, std::string("the configuration stays as it is: ") + e.what());
    return false;
  }
}

std::filesystem::file_time_type ServeRun::tls_changed() const {
  const ServeFlags& f = flags();
  return f.tls_cert.empty() ? fs::file_time_type() : std::max({changed(f.tls_cert), changed(f.tls_key), changed(f.tls_client_ca)});
}

/// Keys and certificates are looked at again and again: those who renew them need not know of the server.
void ServeRun::reload_changed_files() {
  try {
    if (keys_->reload_if_changed()) log_->message(LogLevel::Info, "API keys read: " + std::to_string(keys_->size()));
  } catch (const std::exception& e) {
    log_->message(LogLevel::Error, std::string("the API keys stay as they are: ") + e.what());
  }
  const fs::file_time_type now = tls_changed();
  if (now == tls_changed_) return;
  tls_changed_ = now;
  try {
    server_.set_tls(read_tls(flags()));
    log_->message(LogLevel::Info, "TLS certificate read");
  } catch (const std::exception& e) {
    log_->message(LogLevel::Error, std::string("the TLS certificate stays as it is: ") + e.what());
  }
}

void ServeRun::look() {
  reload_changed_files();
  if (api_ && api_->stats().state == EngineState::Failed && life_.stage() != Stage::Failed) {
    log_->message(LogLevel::Error, "the engine has failed; the server ends");
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
  const bool local = flags().http.host == "127.0.0.1" || flags().http.host == "localhost" || flags().http.host == "::1";
  if (!local && !keys_->protects())
    log_->message(LogLevel::Warning,
                  "everybody who can reach " + flags().http.host + " may use this server: --api-key or --api-key-file closes it");
  if (flags().log_content) log_->message(LogLevel::Warning, "prompts and answers are written to the log (--log-content)");
  log_->message(LogLevel::Info, "listening at " + url() + ", loading the model");
  open_spans();
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
    log_->message(LogLevel::Info, "stopped while loading");
    log_.reset();  // writes what waits
    std::_Exit(exit_code_);
  }
  return exit_code_;
}

}  // namespace

int serve(int argc, char** argv) {
  ServeConfig config;
  try {
    config = read_serve_config(argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "infernum: %s\n", e.what());
    return 2;
  }
  auto log = std::make_unique<ServerLog>(2, log_format(config.flags), parse_log_level(config.flags.log_level), config.flags.log_content);
  try {
    return ServeRun(
               std::move(config), [=] { return read_serve_config(argc, argv); }, log)
        .run();
  } catch (const std::exception& e) {
    log->message(LogLevel::Error, e.what());
    return 1;
  }
}

}  // namespace infernum::app

#include "server/life_cycle.h"

#include <algorithm>

#include "server/json_writer.h"

namespace infernum::server {
namespace {

constexpr double poll_seconds = 0.02;
constexpr double flush_seconds = 1;  ///< for the last bytes to leave

HttpResponse unavailable(std::string_view message, std::string_view code, int retry_seconds) {
  HttpResponse response = error_response(503, message, code);
  response.headers.emplace_back("Retry-After", std::to_string(retry_seconds));
  return response;
}

Handler answer(std::function<HttpResponse()> make) {
  return [make = std::move(make)](const std::shared_ptr<Exchange>& exchange) { exchange->respond(make()); };
}

}  // namespace

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::Starting: return "starting";
    case Stage::Loading: return "loading";
    case Stage::Ready: return "ready";
    case Stage::Draining: return "draining";
    case Stage::Stopped: return "stopped";
    case Stage::Failed: return "failed";
  }
  return "";
}

bool LifeCycle::engine_failed() const {
  const auto stats = engine_ ? engine_() : std::nullopt;
  return stage_ == Stage::Failed || (stats && stats->state == EngineState::Failed);
}

bool LifeCycle::alive() const {
  if (engine_failed()) return false;
  const auto stats = engine_ ? engine_() : std::nullopt;
  if (!stats || stats->state == EngineState::Stopped) return true;
  // A loop that waits for work may have nothing to say; one that has work must move.
  if (stats->running == 0 && stats->waiting == 0) return true;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - stats->heartbeat).count() < heartbeat_seconds_;
}

HttpResponse LifeCycle::readiness() const {
  if (engine_failed()) return unavailable("the engine has failed", "engine_dead", 30);
  switch (stage_) {
    case Stage::Ready: {
      HttpResponse response;
      response.body = R"({"status":"ok"})";
      return response;
    }
    case Stage::Starting:
    case Stage::Loading: return unavailable("Loading model", "model_loading", 1);
    default: return unavailable("the server is shutting down", "draining", 1);
  }
}

std::optional<HttpResponse> LifeCycle::gate(const HttpRequest& request, const Route* route) const {
  if (stage_ == Stage::Starting || stage_ == Stage::Loading) {
    // The routes of the model are not known yet, so what is not found may be one of them.
    if (!route) return unavailable("Loading model", "model_loading", 1);
    return std::nullopt;
  }
  if (route && route->path.starts_with("/health?")) {  // those that look deeper begin here
    HttpResponse ready = readiness();
    return ready.status == 200 ? std::nullopt : std::optional(std::move(ready));
  }
  if (!route || route->access == Access::Public || request.method != "POST") return std::nullopt;
  if (engine_failed()) return unavailable("the engine has failed", "engine_dead", 30);
  if (!admitting_) return unavailable("the server is shutting down", "draining", 1);
  return std::nullopt;
}

std::vector<Route> LifeCycle::routes() {
  const auto ready = answer([this] { return readiness(); });
  const auto live = answer([this] {
    if (!alive()) return unavailable(engine_failed() ? "the engine has failed" : "the engine does not move", "engine_dead", 30);
    HttpResponse response;
    response.body = R"({"status":"alive","state":)";
    append_untrusted_string(response.body, stage_name(stage_));
    response.body += '}';
    return response;
  });
  const auto version = answer([this] {
    HttpResponse response;
    response.body = R"({"version":)";
    append_untrusted_string(response.body, version_);
    response.body += '}';
    return response;
  });
  return {{"GET", "/live", Access::Public, live, false},
          {"GET", "/ready", Access::Public, ready, false},
          {"GET", "/health", Access::Public, ready, false},
          {"GET", "/version", Access::Key, version, false}};
}

Drain::Drain(EventLoop& loop, HttpServer& server, LifeCycle& life, DrainOptions options, std::function<void()> done)
    : loop_(loop), server_(server), life_(life), options_(options), done_(std::move(done)), start_(std::chrono::steady_clock::now()) {
  life_.set_stage(Stage::Draining);
  server_.drain();
  timer_ = loop_.after(0, [this] { step(); });
}

void Drain::step() {
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const HttpStats stats = server_.stats();
  if (passed >= options_.delay_seconds) {
    life_.stop_admitting();
    if (!aborted_ && stats.in_flight > 0 && passed >= options_.delay_seconds + options_.timeout_seconds) {
      server_.abort_all(503, "the server is shutting down", "draining");
      aborted_ = true;
    }
    if (server_.stats().in_flight == 0 && !quiet_since_) quiet_since_ = passed;
    // Answers close their connections when their last byte has left; whoever does not read it has had his time.
    const bool flushed = stats.connections == 0 || (quiet_since_ && passed > *quiet_since_ + flush_seconds);
    if (server_.stats().in_flight == 0 && flushed) {
      life_.set_stage(Stage::Stopped);
      const auto done = std::move(done_);
      return done();  // may destroy this
    }
  }
  timer_ = loop_.after(poll_seconds, [this] { step(); });
}

}  // namespace infernum::server

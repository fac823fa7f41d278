// LifeCycle: where the server stands between its start and its end, what probes hear of it, and which requests it refuses.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "server/event_loop.h"
#include "server/http.h"
#include "server/http_server.h"

namespace infernum::server {

enum class Stage { Starting, Loading, Ready, Draining, Stopped, Failed };
std::string_view stage_name(Stage stage);

/// On the I/O thread.
class LifeCycle {
 public:
  explicit LifeCycle(std::string version, double heartbeat_seconds = 30)
      : version_(std::move(version)), heartbeat_seconds_(heartbeat_seconds) {}

  Stage stage() const { return stage_; }
  void set_stage(Stage stage) { stage_ = stage; }
  /// From here on requests are refused.
  void stop_admitting() { admitting_ = false; }
  /// Asked for the engine's pulse. Nothing: there is no engine yet, or no longer.
  void watch_engine(std::function<std::optional<EngineStats>()> stats) { engine_ = std::move(stats); }
  /// False once the engine has not moved for too long, or has failed.
  bool alive() const;

  /// For HttpServer::set_gate().
  std::optional<HttpResponse> gate(const HttpRequest& request, const Route* route) const;
  /// /live, /ready, /health, /version.
  std::vector<Route> routes();

 private:
  bool engine_failed() const;
  HttpResponse readiness() const;
  std::string version_;
  double heartbeat_seconds_;
  Stage stage_ = Stage::Starting;
  bool admitting_ = true;
  std::function<std::optional<EngineStats>()> engine_;
};

struct DrainOptions {
  double delay_seconds = 0;     ///< not ready any more, but still serving, so that load balancers notice
  double timeout_seconds = 30;  ///< for requests in flight
};

/// The way from Ready to Stopped without cutting anybody off who can still be served.
class Drain {
 public:
  /// Calls `done` once, from the loop, when nothing is in flight any more.
  Drain(EventLoop& loop, HttpServer& server, LifeCycle& life, DrainOptions options, std::function<void()> done);

 private:
  void step();
  EventLoop& loop_;
  HttpServer& server_;
  LifeCycle& life_;
  DrainOptions options_;
  std::function<void()> done_;
  std::chrono::steady_clock::time_point start_;
  bool aborted_ = false;
  std::optional<double> quiet_since_;  ///< seconds behind start_, when nothing was in flight any more
  std::unique_ptr<IoLoop::Timer> timer_;
};

}  // namespace infernum::server

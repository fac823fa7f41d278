// ServerMetrics: the metrics of a server, under the names of vLLM, so that dashboards and routers made for it read them, or our own.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "server/http.h"
#include "server/http_server.h"
#include "server/metrics.h"
#include "server/request_record.h"

namespace infernum::server {

enum class MetricNames { Vllm, Infernum, Both };

/// What a loaded model tells once, and where to ask for the rest.
struct ServedEngine {
  std::string model_name;
  std::string index = "0";  ///< label `engine`
  EngineInfo info;
  int64_t block_tokens = 0;  ///< tokens per block of the cache
  std::string cache_dtype = "auto";
  bool prefix_caching = true;
  int64_t weights_bytes = 0;
  double load_seconds = 0;
  std::function<EngineStats()> stats;  ///< asked at each scrape
};

/// Requests whose spans were handed to a collector, or not.
struct SpanCounts {
  uint64_t sent = 0, dropped = 0;
};

class ServerMetrics;

/// The metrics of one engine. Any thread may call any of these; none but request() takes a lock.
class EngineMetrics {
 public:
  ~EngineMetrics();
  void request(const RequestRecord& record);
  /// A gap between two tokens, as it comes: for callers that keep no list of them.
  void inter_token(double seconds);

 private:
  friend class ServerMetrics;
  struct State;
  explicit EngineMetrics(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Any thread may call any of these.
class ServerMetrics {
 public:
  ServerMetrics(MetricNames names, std::string_view version);
  ~ServerMetrics();

  /// Before it the text has the metrics of the server alone. The reference lasts as long as this.
  EngineMetrics& add_engine(ServedEngine engine);
  /// To be called before what `stats` and set_http() ask goes: they are asked once more, then never; their last values stay.
  void freeze();

  /// To the engine of `record.model`.
  void request(const RequestRecord& record);

  /// `route` as in the table of routes, "" where none matched.
  void response(std::string_view route, std::string_view method, int status);
  /// Asked at each scrape, on its thread.
  void set_http(std::function<HttpStats()> totals);
  void set_spans(std::function<SpanCounts()> totals);
  /// `reason` of a closed set: queue_full, rate_limit, draining, too_large, model_loading ...
  void rejected(std::string_view reason);

  std::string text(TextFormat format);
  /// Answers GET /metrics.
  Handler handler();

 private:
  friend class EngineMetrics;
  struct Families;
  void poll_sources();
  void poll();
  MetricRegistry registry_;
  std::unique_ptr<Families> families_;
  std::mutex mutex_;  // of what follows
  std::vector<std::unique_ptr<EngineMetrics>> engines_;
  std::function<HttpStats()> http_;
  std::function<SpanCounts()> spans_;
  bool frozen_ = false;
};

}  // namespace infernum::server

// OfflineRun: many requests through an engine in this process, so many at once, timed by the engine's own bills.
#pragma once
#include <condition_variable>
#include <mutex>
#include <vector>

#include "runtime/engine.h"
#include "server/load/summary.h"

namespace infernum::load {

struct OfflineFigures {
  size_t requests = 0, failed = 0;
  std::string failure;  ///< message of the first
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  int preemptions = 0;
  double seconds = 0;  ///< of the whole run
  /// Per second of the whole run: prefill and decode share its steps.
  double prompt_tokens_per_second = 0, generated_tokens_per_second = 0, total_tokens_per_second = 0;
  Spread ttft;                      ///< in the engine, with its queue
  Spread decode_seconds_per_token;  ///< of each request, behind its first token
};

class OfflineRun {
 public:
  /// Takes the engine's events over: before anything was submitted to it.
  explicit OfflineRun(Engine& engine);
  /// May be called again, for a warm-up and the measurement.
  OfflineFigures run(const std::vector<EngineRequest>& requests, int concurrency);

 private:
  void take(std::vector<EngineEvent> events);
  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable ended_some_;
  std::vector<RequestEnd> ended_;
  RequestId next_id_ = 1;
};

}  // namespace infernum::load

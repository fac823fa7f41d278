// EngineCore: a model engine without its thread: requests in, one step at a time, events out.
#pragma once
#include <map>
#include <memory>
#include <unordered_map>

#include "runtime/executor.h"
#include "runtime/scheduler.h"
#include "runtime/threaded_engine.h"

namespace infernum {

class TraceRecorder;

struct EngineCoreOptions {
  SchedulerOptions scheduler;
  int64_t cache_tokens = 0;
  int64_t usable_vocab = 0;
  int64_t kept_windows = 0;  ///< windows that a later request may go on from, beside those of running ones; 0: two per sequence
};

class EngineCore {
 public:
  EngineCore(Model& model, const EngineCoreOptions& options, const Faults& faults, EventBatch& events, TraceRecorder* trace);
  ~EngineCore();
  /// The bytes that the cache of such an engine takes.
  static int64_t cache_bytes(const ModelInfo& info, const EngineCoreOptions& options);

  void add(RequestId id, EngineRequest request, SteadyTime submitted, uint64_t number);
  void cancel(RequestId id);
  /// Ends requests whose deadline has passed.
  void expire(SteadyTime now);
  /// Advances what the scheduler plans; false if there was nothing to do. Throws DeviceLost: that is the end of the model.
  bool step();
  void end_all(EndReason reason, const std::string& message);
  bool idle() const { return requests_.empty(); }
  void count(EngineStats& stats) const;
  CachePools& pools() { return pools_; }

 private:
  struct Request;
  StepLogits compute(const std::vector<PlannedRow>& rows);
  StepItem item_of(const PlannedRow& row) const;
  void inject(const std::vector<PlannedRow>& rows) const;
  void step_failed(const std::vector<PlannedRow>& rows, const std::exception& error);
  void deliver(Request& request, const PlannedRow& row, StepLogits& logits, size_t index);
  void score_prompt(Request& request, const PlannedRow& row, StepLogits& logits, size_t index);
  std::optional<EndReason> choose(Request& request, std::span<float> logits);
  void end(Request& request, EndReason reason, const std::string& cause = {}, const std::string& message = {});
  Request& request_of(const PlannedRow& row) const;

  Model& model_;
  EngineCoreOptions options_;
  const Faults& faults_;
  EventBatch& events_;
  TraceRecorder* trace_;
  CachePools pools_;
  Scheduler scheduler_;
  int whole_group_ = -1;
  std::unordered_map<RequestId, std::unique_ptr<Request>> requests_;
  std::unordered_map<const Sequence*, Request*> by_sequence_;
  uint64_t steps_ = 0, prompt_tokens_ = 0, generated_tokens_ = 0, prefix_queries_ = 0, prefix_hits_ = 0;
  StepTokens step_tokens_;
};

}  // namespace infernum

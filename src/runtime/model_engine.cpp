#include "runtime/model_engine.h"

#include <unistd.h>

#include <algorithm>

#include "core/check.h"
#include "core/device_error.h"
#include "core/log.h"
#include "runtime/engine_core.h"
#include "runtime/trace_recorder.h"

namespace infernum {
namespace {

EngineCoreOptions core_options(const ModelEngineOptions& options, int64_t tokens) {
  SchedulerOptions scheduler;
  scheduler.max_num_seqs = options.max_num_seqs;
  scheduler.max_num_batched_tokens = std::max(options.max_num_batched_tokens, options.max_num_seqs);
  scheduler.enable_prefix_caching = options.enable_prefix_caching;
  return {scheduler, tokens, options.usable_vocab};
}

/// Sequences of the whole context for all, or what a device of its own has left, or what a quarter of the memory holds beside what every
/// sequence needs however short it is.
int64_t cache_tokens(const Model& model, const ModelEngineOptions& options) {
  if (options.cache_tokens > 0) return options.cache_tokens;
  const ModelInfo& info = model.info();
  const auto bytes = [&](int64_t blocks) { return EngineCore::cache_bytes(info, core_options(options, blocks * block_tokens)); };
  const int64_t left = model.device_memory_left();
  if (left > 0 && bytes(1) > left)
    throw OutOfMemory("the key-value cache does not fit: " + std::to_string(options.max_num_seqs) + " sequences need " +
                      mebibytes(bytes(1)) + " at least, " + mebibytes(left) +
                      " are left beside the weights; raise --gpu-memory-utilization, or lower --max-num-seqs");
  const int64_t most = left > 0 ? left : sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE) / 4 + bytes(1);
  int64_t fits = 1, beyond = std::max<int64_t>(1, info.context * options.max_num_seqs / block_tokens) + 1;
  while (beyond - fits > 1) {
    const int64_t middle = fits + (beyond - fits) / 2;
    (bytes(middle) <= most ? fits : beyond) = middle;
  }
  if (left > 0)
    log_info("key-value cache: " + mebibytes(bytes(fits)) + " for " + std::to_string(fits * block_tokens) + " tokens; the weights leave " +
             mebibytes(left) + " of the device's memory to it");
  return fits * block_tokens;
}

EngineInfo info_of(const Model& model, const ModelEngineOptions& options) {
  const int64_t tokens = cache_tokens(model, options);
  return {model.info().vocab_size, std::min(model.info().context, tokens), tokens, options.max_num_seqs};
}

}  // namespace

class ModelEngine::Core {
 public:
  Core(std::shared_ptr<Model> model, const ModelEngineOptions& options, int64_t tokens, const Faults& faults, EventBatch& events)
      : model_(std::move(model)), trace_(options.trace), core(*model_, core_options(options, tokens), faults, events, trace_.get()) {
    if (trace_) model_->time_ops([trace = trace_.get()](const OpTime& op) { trace->op(op); });
  }
  ~Core() {
    if (trace_) model_->time_ops({});
  }

 private:
  std::shared_ptr<Model> model_;
  std::shared_ptr<TraceRecorder> trace_;

 public:
  EngineCore core;
};

ModelEngine::ModelEngine(std::shared_ptr<Model> model, const ModelEngineOptions& options)
    : ThreadedEngine(info_of(*model, options),
                     options.max_num_seqs + (options.max_queue > 0 ? options.max_queue : 4 * options.max_num_seqs), options.faults),
      core_(std::make_unique<Core>(std::move(model), options, info().cache_tokens, faults(), events())) {
  core_->core.count(counts());
  start();
}

ModelEngine::~ModelEngine() { stop(); }

void ModelEngine::loop() {
  while (true) {
    EngineCore& core = core_->core;
    const auto now = std::chrono::steady_clock::now();
    // A second without work is a sign of life.
    Inbox in = take(core.idle() ? now + std::chrono::seconds(1) : now);
    if (in.stopping) {
      for (Arrival& a : in.arrivals) core.add(a.id, std::move(a.request), a.time, a.number);
      return;
    }
    for (Arrival& a : in.arrivals) core.add(a.id, std::move(a.request), a.time, a.number);
    for (RequestId id : in.cancelled) core.cancel(id);
    core.expire(std::chrono::steady_clock::now());
    const bool worked = core.step();
    check(worked || core.idle(), "engine: there are requests, but nothing to do");
    core.count(counts());
    publish();
  }
}

void ModelEngine::end_all(EndReason reason, const std::string& message) { core_->core.end_all(reason, message); }

}  // namespace infernum

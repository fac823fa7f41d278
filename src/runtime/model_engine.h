// ModelEngine: an engine that runs a model. One thread owns scheduler, cache, model and sampling; a step advances many requests.
#pragma once
#include <memory>

#include "models/model.h"
#include "runtime/threaded_engine.h"

namespace infernum {

class TraceRecorder;

struct ModelEngineOptions {
  int64_t max_num_seqs = 16;             ///< requests in a step
  int64_t max_num_batched_tokens = 512;  ///< tokens in a step
  int64_t cache_tokens = 0;              ///< of all sequences; 0: what a quarter of the machine's memory holds
  int64_t max_queue = 0;                 ///< requests that wait; 0: four times max_num_seqs
  bool enable_prefix_caching = true;
  int64_t usable_vocab = 0;  ///< of the tokenizer; the model's rows behind are padding; 0: the model's
  Faults faults;
  std::shared_ptr<TraceRecorder> trace;  ///< records steps, requests and ops; nothing: none
};

class ModelEngine : public ThreadedEngine {
 public:
  /// Allocates the cache and starts the thread, which alone uses the model from here on.
  ModelEngine(std::shared_ptr<Model> model, const ModelEngineOptions& options = {});
  ~ModelEngine() override;

 private:
  class Core;
  void loop() override;
  void end_all(EndReason reason, const std::string& message) override;

  std::unique_ptr<Core> core_;
};

}  // namespace infernum

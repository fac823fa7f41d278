// SimEngine: an engine without a model, with set times and set tokens, for tests of everything above the engine and for their speed.
#pragma once
#include <memory>
#include <vector>

#include "runtime/threaded_engine.h"

namespace infernum {

struct SimEngineOptions {
  enum class Tokens {
    Echo,    ///< the prompt again and again
    Script,  ///< `script`, then the end as by a stop id
    Cycle,   ///< `script` again and again
  } tokens = Tokens::Echo;
  std::vector<int32_t> script;
  std::chrono::nanoseconds time_to_first_token{0}, inter_token_time{0};  ///< 0: as fast as possible
  int64_t max_num_seqs = 256;                                            ///< requests that get tokens; the others wait
  int64_t max_queue = 0;                                                 ///< requests that wait; 0: four times max_num_seqs
  int64_t vocab_size = 32000;
  int64_t context = 8192;
  Faults faults;
};

class SimEngine : public ThreadedEngine {
 public:
  /// Throws, naming the rule, on tokens that are outside of the vocabulary.
  explicit SimEngine(const SimEngineOptions& options);
  ~SimEngine() override;

 private:
  class Core;
  void loop() override;
  void end_all(EndReason reason, const std::string& message) override;

  std::unique_ptr<Core> core_;
};

}  // namespace infernum

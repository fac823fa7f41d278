// Times single ops of a traced step, each with operands of its own that rotate through more memory than the caches hold.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "models/model.h"
#include "models/trace_report.h"

namespace infernum::app {

/// A call that a step makes, once or often: same op, same shapes and types.
struct OpCase {
  const TraceStep* step;
  const TraceNode* node;
  int64_t calls = 1;
  std::string weights;  ///< names of the matrices it reads, without those of the layers
};

/// The distinct calls of a step as `options` would run it, in its order. Collectives are left out: they need their ranks.
std::vector<OpCase> distinct_ops(const TraceStep& step, const ModelOptions& options);

struct OpSample {
  double median = 0, lower = 0, upper = 0;  ///< seconds a call, and the quartiles
  int64_t samples = 0, turns = 0;           ///< turns: calls until operands come round again
};

/// `seconds`: how long to measure each, about. In the order of `cases`; `done` is told of every result at once.
void time_ops(const std::vector<OpCase>& cases, const ModelOptions& options, double seconds,
              const std::function<void(const OpCase&, const OpSample&)>& done);

}  // namespace infernum::app

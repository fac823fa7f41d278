// The floor of an op: what the processor that a model runs on needs at least to move its bytes or to do its arithmetic.
#pragma once
#include <string>

#include "backends/trace/trace.h"
#include "models/model.h"

namespace infernum::app {

/// Operations per second of dense products, a multiply and an add being two; 0: not known for this processor.
struct Rates {
  double f32 = 0, bf16 = 0, int8 = 0;
};

struct Processor {
  std::string description;  ///< threads and instruction set, or the GPU's name
  int threads = 0;          ///< 0 on a GPU
  bool cuda = false;
  DType dtype = DType::F32;  ///< what activations are rounded to where 16-bit weights multiply them
  double bandwidth = 0;      ///< bytes per second: measured, best of several passes over a buffer much larger than the caches
  Rates rates;               ///< likewise measured
};
Processor measure_processor(const ModelOptions& options);

struct Floor {
  double seconds = 0;
  bool memory = true;  ///< bytes over bandwidth; otherwise operations over rate
};
Floor floor_of(const TraceGraph& graph, const TraceNode& node, const Processor& processor);

}  // namespace infernum::app

// The floor of decoding: how fast the processor that a model runs on reads memory that is in no cache.
#pragma once
#include <string>

#include "models/model.h"

namespace infernum::app {

struct Processor {
  std::string description;  ///< threads and instruction set, or the GPU's name
  int threads = 0;          ///< 0 on a GPU
  double bandwidth = 0;     ///< bytes per second: measured, best of several passes over a buffer much larger than the caches
};
Processor measure_processor(const ModelOptions& options);

}  // namespace infernum::app

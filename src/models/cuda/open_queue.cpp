#include "models/open_queue.h"

namespace infernum {

template <>
std::unique_ptr<Queue<Cuda>> open_queue<Cuda>(const ModelOptions& options, int) {
  check(options.ranks == 1, "cuda: tensor parallelism over several GPUs is not built yet", options.ranks);
  return std::make_unique<Queue<Cuda>>(options.place.ordinal);
}

}  // namespace infernum

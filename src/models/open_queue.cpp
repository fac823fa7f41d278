#include "models/open_queue.h"

#include <algorithm>

#include "core/build.h"

namespace infernum {

template <>
std::unique_ptr<Queue<Cpu>> open_queue<Cpu>(const ModelOptions& options, int rank) {
  const int threads = std::max(1, (options.threads ? options.threads : available_threads()) / options.ranks);
  auto queue = std::make_unique<Queue<Cpu>>(threads, options.isa.empty() ? best_isa() : parse_isa(options.isa));
  queue->rank = rank;
  queue->bf16_products = options.dtype == DType::BF16;
  return queue;
}

#ifdef INFERNUM_HAS_CUDA
template <>
std::unique_ptr<Queue<Cuda>> open_queue<Cuda>(const ModelOptions& options, int) {
  check(options.ranks == 1, "cuda: tensor parallelism over several GPUs is not built yet", options.ranks);
  return std::make_unique<Queue<Cuda>>(options.place.ordinal);
}
#endif

}  // namespace infernum

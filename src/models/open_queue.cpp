#include "models/open_queue.h"

#include <algorithm>

namespace infernum {

template <>
std::unique_ptr<Queue<Cpu>> open_queue<Cpu>(const ModelOptions& options, int rank) {
  const int threads = std::max(1, (options.threads ? options.threads : available_threads()) / options.ranks);
  auto queue = std::make_unique<Queue<Cpu>>(threads, options.isa.empty() ? best_isa() : parse_isa(options.isa));
  queue->rank = rank;
  queue->bf16_products = options.dtype == DType::BF16;
  return queue;
}

}  // namespace infernum

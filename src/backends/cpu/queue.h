// Queue<Cpu>: the thread team, instruction set and scratch memory that CPU kernels run on.
#pragma once
#include <algorithm>
#include <atomic>

#include "backends/cpu/denormals.h"
#include "backends/cpu/isa.h"
#include "backends/memory_pool.h"
#include "backends/cpu/rank_group.h"
#include "backends/cpu/scratch.h"
#include "backends/cpu/thread_pool.h"
#include "core/shape.h"
#include "core/view.h"

namespace infernum {

template <>
struct Queue<Cpu> {
  ThreadPool pool;
  Isa isa;
  bool bf16_products = false;  ///< round activations that meet BF16 weights to bfloat16; what is between products stays F32
  MemoryPool memory;
  RankGroup* group = nullptr;  ///< of a tensor-parallel team; unowned
  int rank = 0;
  Scratch scratch;  ///< for the kernel that runs now

  explicit Queue(int threads = available_threads(), Isa level = best_isa()) : pool(threads), isa(level) {}

  /// Calls f(begin, end) on disjoint ranges that cover 0..n, at most `grain` long, taken by threads as they become free.
  /// When calls throw, the first exception is rethrown once all threads are done, and the queue stays usable.
  template <class F>
  void parallel_for(int64_t n, int64_t grain, const F& f) {
    if (n <= 0) return;
    if (n <= grain || pool.size() == 1) {
      const FlushDenormals flush;
      f(int64_t{0}, n);
      return;
    }
    std::atomic<int64_t> next{0};
    pool.share([&](int) {
      for (int64_t begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < n;) f(begin, std::min(n, begin + grain));
    });
  }
};

inline std::shared_ptr<void> allocate(Queue<Cpu>& queue, const Shape& shape, DType dtype) {
  return queue.memory.allocate(bytes_of(dtype, shape.elements()));
}

}  // namespace infernum

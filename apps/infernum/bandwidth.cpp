#include "bandwidth.h"

#include <chrono>
#include <cstring>
#include <numeric>

#include "backends/cuda/bandwidth.h"
#include "core/build.h"
#include "models/open_queue.h"

namespace infernum::app {
namespace {

double read_bandwidth(Queue<Cpu>& queue) {
  using Vec = uint64_t __attribute__((vector_size(64)));
  constexpr int64_t bytes = int64_t{512} << 20, chunk = int64_t{1} << 20;
  std::vector<uint64_t> buffer(bytes / sizeof(uint64_t));
  std::iota(buffer.begin(), buffer.end(), uint64_t{0});
  const char* data = reinterpret_cast<const char*>(buffer.data());
  double best = 0;
  std::atomic<uint64_t> sink{0};
  for (int pass = 0; pass < 5; pass++) {
    const auto start = std::chrono::steady_clock::now();
    queue.parallel_for(bytes / chunk, 1, [&](int64_t begin, int64_t end) {
      Vec sums[4] = {};
      for (const char *p = data + begin * chunk, *stop = data + end * chunk; p < stop; p += 4 * sizeof(Vec)) {
        __builtin_prefetch(p + 4096);
        __builtin_prefetch(p + 4096 + 64);
        __builtin_prefetch(p + 4096 + 128);
        __builtin_prefetch(p + 4096 + 192);
        for (int i = 0; i < 4; i++) {
          Vec v;
          std::memcpy(&v, p + static_cast<size_t>(i) * sizeof v, sizeof v);
          sums[i] += v;
        }
      }
      const Vec total = sums[0] + sums[1] + sums[2] + sums[3];
      sink += total[0] + total[7];  // keeps the loop alive
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(bytes) / seconds);
  }
  return best;
}

}  // namespace

Processor measure_processor(const ModelOptions& options) {
  if constexpr (has_cuda)
    if (options.place.cuda) {
      const auto queue = open_queue<Cuda>(options, 0);
      return {queue->properties.name, 0, read_bandwidth(*queue)};
    }
  const auto queue = open_queue<Cpu>(options, 0);
  return {std::to_string(queue->pool.size()) + " threads, " + describe(queue->isa), queue->pool.size(), read_bandwidth(*queue)};
}

}  // namespace infernum::app

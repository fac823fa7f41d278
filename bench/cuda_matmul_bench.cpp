// Matrix products on a CUDA device at the shapes of two models, by replay of a CUDA graph over weights that rotate through several times
// the L2 cache: microseconds a product, the bandwidth of the weights, and the multiply rate.
// Usage: cuda_matmul_bench [part of a layer's name [weight type [rows, 0 for all [search]]]]
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "backends/cuda/blas_lt.h"
#include "backends/cuda/error.h"
#include "backends/cuda/transfer.h"
#include "core/half.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

struct Layer {
  const char* name;
  int64_t n, k;
};
constexpr Layer layers[] = {{"llama-1b.qkv", 3072, 2048},      {"llama-1b.o", 2048, 2048},     {"llama-1b.gate_up", 16384, 2048},
                            {"llama-1b.down", 2048, 8192},     {"llama-8b.qkv", 6144, 4096},   {"llama-8b.o", 4096, 4096},
                            {"llama-8b.gate_up", 28672, 4096}, {"llama-8b.down", 4096, 14336}, {"llama-8b.head", 128256, 4096}};
constexpr DType types[] = {DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::MXFP4};
constexpr int64_t row_counts[] = {1, 2, 4, 8, 16, 32, 64, 512, 2048};

constexpr int64_t pool_bytes = int64_t{1280} << 20;
constexpr int64_t bytes_a_graph = int64_t{320} << 20;  ///< more than the L2 cache holds

/// Random bytes in which every 16-bit field is a small finite f16 and bf16.
std::vector<std::byte> random_bytes(int64_t bytes) {
  std::vector<std::byte> pool(static_cast<size_t>(bytes));
  std::mt19937_64 rng(1);
  for (size_t i = 0; i < pool.size(); i += 8) {
    const uint64_t word = rng() & 0xbbffbbffbbffbbff;
    std::memcpy(pool.data() + i, &word, 8);
  }
  return pool;
}

View<Cuda> matrix(void* data, int64_t rows, int64_t cols, DType type) { return {data, {rows, cols}, cols, 2, type}; }

/// Milliseconds of a replay, the median of several.
double time_of(Queue<Cuda>& queue, const std::function<void()>& work) {
  work();  // fills pools and plans
  queue.synchronize();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cuda_check(cudaStreamBeginCapture(queue.stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  work();
  cuda_check(cudaStreamEndCapture(queue.stream, &graph), "cudaStreamEndCapture");
  cuda_check(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
  cudaEvent_t begin = nullptr, end = nullptr;
  cuda_check(cudaEventCreate(&begin), "cudaEventCreate");
  cuda_check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<double> times;
  for (int i = 0; i < 12; i++) {
    cuda_check(cudaEventRecord(begin, queue.stream), "cudaEventRecord");
    cuda_check(cudaGraphLaunch(exec, queue.stream), "cudaGraphLaunch");
    cuda_check(cudaEventRecord(end, queue.stream), "cudaEventRecord");
    queue.synchronize();
    float milliseconds = 0;
    cuda_check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    times.push_back(static_cast<double>(milliseconds));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void search(Queue<Cuda>& queue, std::byte* pool, const Layer& layer, DType type, int64_t m) {
  const int64_t bytes = bytes_of(type, layer.n * layer.k), calls = std::clamp<int64_t>(bytes_a_graph / bytes, 1, 100);
  std::vector<View<Cuda>> matrices;
  for (int64_t c = 0; c < calls; c++) matrices.push_back(matrix(pool + c * bytes, layer.n, layer.k, type));
  queue.blas().search(queue, matrices, DType::BF16, DType::BF16, {&m, 1}, "");
}

void measure(Queue<Cuda>& queue, std::byte* pool, const Layer& layer, DType type, int64_t m) {
  const int64_t bytes = bytes_of(type, layer.n * layer.k), step = (bytes + 255) / 256 * 256;
  const int64_t calls = std::clamp<int64_t>(bytes_a_graph / bytes, 2, 100);
  const auto x = queue.memory.allocate(2 * m * layer.k), y = queue.memory.allocate(2 * m * layer.n);
  const auto values = random_bytes(2 * m * layer.k);
  upload(queue, x.get(), values);
  const View<Cuda> in = matrix(x.get(), m, layer.k, DType::BF16), out = matrix(y.get(), m, layer.n, DType::BF16);
  const double seconds = 1e-3 / static_cast<double>(calls) * time_of(queue, [&] {
                           for (int64_t c = 0, at = 0; c<calls; c++, at = at + 2 * step> pool_bytes ? 0 : at + step) {
                             const View<Cuda> w = matrix(pool + at, layer.n, layer.k, type);
                             if (is_float(type))
                               kernel(MatMul{}, queue, out, in, w);
                             else
                               kernel(BlockMatMul{}, queue, out, in, w);
                           }
                         });
  const double bandwidth = static_cast<double>(bytes) / seconds;
  fmt::print("{:18} {:6} m {:4}: {:9.2f} us {:7.1f} GB/s ({:4.1f} %) {:7.2f} TFLOP/s\n", layer.name, info(type).name, m, seconds * 1e6,
             bandwidth / 1e9, queue.properties.bandwidth > 0 ? 100 * bandwidth / queue.properties.bandwidth : 0,
             2e-12 * static_cast<double>(m * layer.n * layer.k) / seconds);
}

}  // namespace
}  // namespace infernum

int main(int argc, char** argv) {
  using namespace infernum;
  Queue<Cuda> queue(0);
  fmt::print("{}, {:.0f} GB/s by the data sheet\n", queue.properties.name, queue.properties.bandwidth / 1e9);
  const auto pool = queue.memory.allocate(pool_bytes + 256);
  upload(queue, pool.get(), random_bytes(pool_bytes));
  for (const Layer& layer : layers)
    for (const DType type : types)
      for (const int64_t m : row_counts) {
        if (argc > 1 && std::string_view(layer.name).find(argv[1]) == std::string_view::npos) continue;
        if (argc > 2 && info(type).name != argv[2]) continue;
        if (argc > 3 && std::atoi(argv[3]) != 0 && std::atoi(argv[3]) != m) continue;
        if (argc > 4 && is_float(type) && m > 8 && m <= 64) search(queue, static_cast<std::byte*>(pool.get()), layer, type, m);
        measure(queue, static_cast<std::byte*>(pool.get()), layer, type, m);
      }
}

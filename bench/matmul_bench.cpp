// Matrix products at the shapes of two small models: for one token against the bandwidth of the machine, for many against its multiply
// rate.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>
#include <random>
#include <vector>

#include "backends/cpu/peaks.h"
#include "core/half.h"
#include "ops/cpu/pack.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

struct Layer {
  const char* name;
  int64_t n, k;
};
constexpr Layer layers[] = {{"qwen3-0.6b.qkv", 4096, 1024},    {"qwen3-0.6b.o", 1024, 2048}, {"qwen3-0.6b.gate_up", 6144, 1024},
                            {"qwen3-0.6b.down", 1024, 3072},   {"llama-1b.qkv", 3072, 2048}, {"llama-1b.o", 2048, 2048},
                            {"llama-1b.gate_up", 16384, 2048}, {"llama-1b.down", 2048, 8192}};

constexpr int64_t pool_bytes = int64_t{320} << 20;  // matrices rotate through ten times a 32 MB cache

/// Random bytes in which every 16-bit field is a small finite f16 and bf16.
std::vector<std::byte> weight_pool() {
  std::vector<std::byte> pool(pool_bytes);
  std::mt19937_64 rng(1);
  for (size_t i = 0; i < pool.size(); i += 8) {
    const uint64_t word = rng() & 0xbbffbbffbbffbbff;
    std::memcpy(pool.data() + i, &word, 8);
  }
  return pool;
}

View<Cpu> matrix(void* data, int64_t rows, int64_t cols, DType type) { return {data, {rows, cols}, cols, 2, type}; }

double peak_of(const MachinePeaks& peaks, DType weights, DType x) {
  if (!is_float(weights)) return peaks.int8;
  return weights == DType::BF16 && x == DType::BF16 ? peaks.bf16 : peaks.f32;
}

void run(benchmark::State& state, Queue<Cpu>& queue, const std::vector<std::byte>& pool, const MachinePeaks& peaks, Layer layer,
         DType weights, DType x_type, int64_t m) {
  const int64_t bytes = is_packed(weights) ? packed_bytes(weights, layer.n, layer.k) : bytes_of(weights, layer.n * layer.k);
  std::vector<std::byte> x(static_cast<size_t>(bytes_of(x_type, m * layer.k))), y(static_cast<size_t>(bytes_of(x_type, m * layer.n)));
  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < m * layer.k; i++) {
    if (x_type == DType::F32)
      reinterpret_cast<float*>(x.data())[i] = normal(rng);
    else
      reinterpret_cast<BF16*>(x.data())[i] = BF16(normal(rng));
  }
  const int64_t step = (bytes + 4095) / 4096 * 4096;
  int64_t at = 0;
  for (auto _ : state) {
    if (at + bytes > pool_bytes) at = 0;
    const View<Cpu> w = matrix(const_cast<std::byte*>(pool.data()) + at, layer.n, layer.k, weights);
    const View<Cpu> in = matrix(x.data(), m, layer.k, x_type), out = matrix(y.data(), m, layer.n, x_type);
    if (is_float(weights))
      kernel(MatMul{}, queue, out, in, w);
    else
      kernel(BlockMatMul{}, queue, out, in, w);
    at += step;
  }
  using benchmark::Counter;
  const auto calls = static_cast<double>(state.iterations());
  const double gigabytes = calls * static_cast<double>(bytes) / 1e9, operations = calls * 2e-9 * static_cast<double>(m * layer.n * layer.k);
  state.counters["GB/s"] = Counter(gigabytes, Counter::kIsRate);
  state.counters["GOPS"] = Counter(operations, Counter::kIsRate);
  // Share of the floor: the larger of the time to read the weights and the time to multiply.
  const double floor = std::max(gigabytes / peaks.read_bandwidth, operations / peak_of(peaks, weights, x_type));
  state.counters["floor%"] = Counter(100 * floor, Counter::kIsRate);
}

}  // namespace
}  // namespace infernum

int main(int argc, char** argv) {
  using namespace infernum;
  const char* threads = std::getenv("INFERNUM_THREADS");
  Queue<Cpu> queue(threads ? std::atoi(threads) : available_threads());
  if (const char* level = std::getenv("INFERNUM_ISA")) queue.isa = parse_isa(level);
  const auto pool = weight_pool();
  const MachinePeaks peaks = measure_peaks(queue);
  fmt::print("{} threads, {}: read {:.1f} GB/s, f32 {:.0f}, bf16 {:.0f}, int8 {:.0f} G(FL)OP/s\n", queue.pool.size(), describe(queue.isa),
             peaks.read_bandwidth, peaks.f32, peaks.bf16, peaks.int8);
  for (const Layer& layer : layers)
    for (int64_t m : {1, 4, 16, 512})
      for (auto [weights, x] : {std::pair{DType::F32, DType::F32},
                                {DType::F16, DType::F32},
                                {DType::BF16, DType::F32},
                                {DType::BF16, DType::BF16},
                                {DType::Q8_0_R16, DType::F32},
                                {DType::Q4_0_R16, DType::F32},
                                {DType::Q4_K_R16, DType::F32},
                                {DType::Q5_K_R16, DType::F32},
                                {DType::Q6_K_R16, DType::F32},
                                {DType::Q4_0, DType::F32},
                                {DType::Q5_0, DType::F32},
                                {DType::MXFP4, DType::F32}})
        benchmark::RegisterBenchmark(fmt::format("{}/m{}/{}x{}", layer.name, m, describe(x), describe(weights)).c_str(),
                                     [&queue, &pool, &peaks, layer, weights = weights, x = x, m](benchmark::State& state) {
                                       run(state, queue, pool, peaks, layer, weights, x, m);
                                     })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

#include "backends/cpu/peaks.h"

#include <chrono>
#include <cstring>
#include <numeric>
#include <vector>

#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace infernum {
namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Shortest of several runs.
template <class F>
double shortest(int rounds, const F& f) {
  double best = 1e30;
  for (int i = 0; i < rounds; i++) {
    const double start = seconds();
    f();
    best = std::min(best, seconds() - start);
  }
  return best;
}

constexpr int64_t repeats = 2'000'000;
constexpr int chains = 12;  // independent accumulators: more than latency x throughput of any core so far

#if defined(__x86_64__)
[[gnu::target("avx512f")]] void fma_512() {
  __m512 acc[chains], x = _mm512_set1_ps(1), y = _mm512_set1_ps(1e-9f);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm512_setzero_ps();
  for (int64_t i = 0; i < repeats; i++)
#pragma GCC unroll 12
    for (auto& a : acc) {
      a = _mm512_fmadd_ps(x, y, a);
      asm volatile("" : "+v"(a));
    }
}

[[gnu::target("avx512f,avx512bf16")]] void bf16_512() {
  __m512 acc[chains];
  const __m512bh x = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm512_setzero_ps();
  for (int64_t i = 0; i < repeats; i++)
#pragma GCC unroll 12
    for (auto& a : acc) {
      a = _mm512_dpbf16_ps(a, x, x);
      asm volatile("" : "+v"(a));
    }
}

[[gnu::target("avx512f,avx512vnni")]] void int8_512() {
  __m512i acc[chains], x = _mm512_set1_epi32(0x01010101);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm512_setzero_si512();
  for (int64_t i = 0; i < repeats; i++)
#pragma GCC unroll 12
    for (auto& a : acc) {
      a = _mm512_dpbusd_epi32(a, x, x);
      asm volatile("" : "+v"(a));
    }
}

[[gnu::target("avx2,fma")]] void fma_256() {
  __m256 acc[chains], x = _mm256_set1_ps(1), y = _mm256_set1_ps(1e-9f);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm256_setzero_ps();
  for (int64_t i = 0; i < repeats; i++)
#pragma GCC unroll 12
    for (auto& a : acc) {
      a = _mm256_fmadd_ps(x, y, a);
      asm volatile("" : "+x"(a));
    }
}

/// maddubs, madd with ones, add: the AVX2 way to four int8 products.
[[gnu::target("avx2")]] void int8_256() {
  __m256i acc[chains], x = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
#pragma GCC unroll 12
  for (auto& a : acc) a = _mm256_setzero_si256();
  for (int64_t i = 0; i < repeats; i++)
#pragma GCC unroll 12
    for (auto& a : acc) {
      __m256i products = _mm256_maddubs_epi16(x, x);
      asm volatile("" : "+x"(products));
      a = _mm256_add_epi32(a, _mm256_madd_epi16(products, ones));
      asm volatile("" : "+x"(a));
    }
}
#endif

double rate(Queue<Cpu>& queue, void (*loop)(), double operations) {
  const double time = shortest(9, [&] { queue.pool.run([&](int) { loop(); }); });
  return operations * static_cast<double>(repeats * chains * queue.pool.size()) / time / 1e9;
}

}  // namespace

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

MachinePeaks measure_peaks(Queue<Cpu>& queue) {
  MachinePeaks peaks{};
  peaks.read_bandwidth = read_bandwidth(queue) / 1e9;
#if defined(__x86_64__)
  if (queue.isa == Isa::Avx512) {
    peaks.f32 = rate(queue, fma_512, 32);
    peaks.bf16 = rate(queue, bf16_512, 64);
    peaks.int8 = rate(queue, int8_512, 128);
  } else if (best_isa() >= Isa::Avx2) {
    peaks.f32 = peaks.bf16 = rate(queue, fma_256, 16);
    peaks.int8 = rate(queue, int8_256, 64);
  }
#endif
  return peaks;
}

}  // namespace infernum

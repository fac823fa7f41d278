#include "machine.h"

#include <chrono>
#include <cstring>
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

double measure_read_bandwidth(Queue<Cpu>& queue, const std::byte* data, int64_t bytes, int rounds) {
  const int64_t share = bytes / queue.pool.size() / 512 * 512;
  std::vector<uint64_t> sums(static_cast<size_t>(queue.pool.size()));
  const double time = shortest(rounds, [&] {
    queue.pool.run([&](int thread) {
      uint64_t sum[16] = {};
      const std::byte* p = data + thread * share;
      for (int64_t i = 0; i < share; i += 128) {
        uint64_t words[16];
        std::memcpy(words, p + i, 128);
        __builtin_prefetch(p + i + 4096);
        __builtin_prefetch(p + i + 4160);
        for (int j = 0; j < 16; j++) sum[j] += words[j];
      }
      for (uint64_t s : sum) sums[static_cast<size_t>(thread)] += s;
    });
  });
  asm volatile("" : : "g"(sums.data()) : "memory");
  return static_cast<double>(share * queue.pool.size()) / time / 1e9;
}

MachinePeaks measure_peaks(Queue<Cpu>& queue) {
  MachinePeaks peaks{};
  std::vector<std::byte> data(size_t{512} << 20, std::byte{1});
  peaks.read_bandwidth = measure_read_bandwidth(queue, data.data(), static_cast<int64_t>(data.size()), 9);
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

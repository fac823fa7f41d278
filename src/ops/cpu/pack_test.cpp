#include "core/check.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/matmul_test_data.h"

namespace infernum {
namespace {

constexpr DType packable[] = {DType::Q4_0,   DType::Q4_1,  DType::Q5_0, DType::Q5_1, DType::Q8_0,
                              DType::IQ4_NL, DType::MXFP4, DType::Q4_K, DType::Q5_K, DType::Q6_K};

// Every weight must come back from packed form exactly: unpacking at each level against the decoded blocks.
TEST(Pack, KeepsEveryWeight) {
  Queue<Cpu> queue(2);
  for (Isa isa : levels_here())
    for (DType type : packable)
      for (int64_t blocks : {1, 2, 3, 6})
        for (int64_t n : {1, 16, 37}) {
          const int64_t k = blocks * info(type).block;
          const TestMatrix w = random_blocks(type, n, k, static_cast<unsigned>(k + n));
          const DType packed = *packed_type(type);
          const StripForm form = strip_form(packed);
          const auto bytes = pack(queue, w, packed);
          Carver carver(queue.scratch.get(static_cast<size_t>(24 * k)));
          const Strip strip{carver.take<uint8_t>(16 * k), carver.take<float>(k), carver.take<float>(k)};
          for (int64_t j = 0; j < n; j++) {
            gemm_kernels(isa).unpack({packed, bytes.data() + j / 16 * packed_bytes(packed, 16, k), k, 0, k, strip});
            for (int64_t i = 0; i < k; i++) {
              const auto r = static_cast<size_t>(j % 16), s = static_cast<size_t>(i / (form.fine ? 16 : 32)) * 16 + r;
              const int code = strip.q[static_cast<size_t>(i / 4) * 64 + 4 * r + static_cast<size_t>(i % 4)];
              const double got =
                  static_cast<double>(strip.scale[s]) * (code - form.zero) - (form.has_min ? static_cast<double>(strip.min[s]) : 0);
              const double want = w.values[static_cast<size_t>(j * k + i)];
              ASSERT_NEAR(got, want, 1e-6 * (std::fabs(want) + std::fabs(static_cast<double>(strip.scale[s]) * code)))
                  << describe(type) << " row " << j << " at " << i;
            }
          }
        }
}

TEST(Pack, CostsAtMostFourPercent) {
  for (DType type : packable)
    EXPECT_LE(static_cast<double>(packed_bytes(*packed_type(type), 1024, 1024)), 1.04 * static_cast<double>(bytes_of(type, 1024 * 1024)));
}

TEST(Pack, RefusesOtherTypes) {
  Queue<Cpu> queue(1);
  std::byte bytes[64] = {};
  EXPECT_FALSE(packed_type(DType::F32).has_value());
  EXPECT_THROW(pack_rows(queue, DType::F32, bytes, 1, 16, bytes), Error);
  EXPECT_THROW(pack_rows(queue, DType::Q4_0, bytes, 1, 16, bytes), Error);
}

}  // namespace
}  // namespace infernum

#include "core/check.h"
#include "ops/cpu/matmul_test_data.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

class ExpertMatMulLevels : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Cpu, ExpertMatMulLevels, testing::ValuesIn(levels_here()), [](const auto& p) { return describe(p.param); });

/// E experts as one (E * n, k) matrix; x with a row per token or per (token, slot).
void try_experts(Isa isa, DType type, DType x_type, bool packed, int64_t tokens, bool row_per_pair) {
  constexpr int64_t experts = 5, slots = 2, n = 37, k = 256;
  Queue<Cpu> queue(2, isa);
  TestMatrix w = random_matrix(type, experts * n, k, 1);
  TestMatrix x = random_floats(x_type, row_per_pair ? tokens * slots : tokens, k, 2), y = poisoned(x_type, tokens * slots, n);
  std::vector<int32_t> ids;
  std::mt19937 rng(3);
  for (int64_t t = 0; t < tokens; t++) {
    const auto first = static_cast<int32_t>(rng() % experts);
    ids.insert(ids.end(), {first, first == 3 ? 0 : 3});  // expert 3 is busy
  }
  View<Cpu> weights{w.bytes.data(), {experts, n, k}, k, 3, type};
  std::vector<std::byte> repacked;
  if (packed) {
    weights.dtype = *packed_type(type);
    const int64_t bytes = packed_bytes(weights.dtype, n, k);
    repacked.resize(static_cast<size_t>(experts * bytes));
    for (int64_t e = 0; e < experts; e++)
      pack_rows(queue, type, w.bytes.data() + bytes_of(type, e * n * k), n, k, repacked.data() + e * bytes);
    weights.data = repacked.data();
  }
  kernel(ExpertMatMul{}, queue, y.view(), x.view(), weights, {ids.data(), {tokens, slots}, slots, 2, DType::I32});
  const bool int8 = packed_type(type).has_value();
  const std::vector<double> seen = int8 ? int8_rounded(x) : x.values;
  for (int64_t p = 0; p < tokens * slots; p++)
    for (int64_t j = 0; j < n; j++) {
      const int64_t x_row = row_per_pair ? p : p / slots, w_row = ids[static_cast<size_t>(p)] * n + j;
      const Reference r = reference_dot(seen.data() + x_row * k, w.values.data() + w_row * k, k);
      const double got = static_cast<double>(to_float(x_type, y.bytes.data(), p * n + j));
      ASSERT_LE(std::fabs(got - r.value), 1e-5 * r.magnitude + storage_error(x_type) * std::fabs(r.value))
          << describe(type) << " pair " << p << " row " << j;
    }
}

TEST_P(ExpertMatMulLevels, EveryPairMeetsItsExpert) {
  for (DType type :
       {DType::F32, DType::BF16, DType::F16, DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::MXFP4, DType::TQ2_0})
    for (int64_t tokens : {1, 3, 40})
      for (bool row_per_pair : {false, true})
        for (bool packed : {false, true}) {
          if (packed && !packed_type(type)) continue;
          try_experts(GetParam(), type, DType::F32, packed, tokens, row_per_pair);
          if (tokens == 3) try_experts(GetParam(), type, DType::BF16, packed, tokens, row_per_pair);
        }
}

TEST(ExpertMatMul, RefusesAnExpertThatIsNotThere) {
  Queue<Cpu> queue(1, Isa::Portable);
  TestMatrix w = random_floats(DType::F32, 6, 8, 1), x = random_floats(DType::F32, 1, 8, 1), y = poisoned(DType::F32, 1, 3);
  for (int32_t id : {-1, 2}) {
    int32_t ids[] = {id};
    EXPECT_THROW(
        kernel(ExpertMatMul{}, queue, y.view(), x.view(), {w.bytes.data(), {2, 3, 8}, 8, 3, DType::F32}, {ids, {1, 1}, 1, 2, DType::I32}),
        Error);
  }
}

}  // namespace
}  // namespace infernum

#include "core/check.h"
#include "ops/cpu/matmul_test_data.h"
#include "ops/cpu/product.h"
#include "ops/kernels.h"
#include "ops/matrices.h"

namespace infernum {
namespace {

class ExpertMatMulLevels : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Cpu, ExpertMatMulLevels, testing::ValuesIn(levels_here()), [](const auto& p) { return describe(p.param); });

/// Random experts: element (e, i, j) of `all` as one (E * n, k) matrix. Each lies at an address of its own, the last one first, packed or
/// not.
struct RandomExperts {
  TestMatrix all;
  std::vector<std::byte> memory;
  std::vector<View<Cpu>> views;

  RandomExperts(Queue<Cpu>& queue, DType type, int64_t experts, int64_t n, int64_t k, bool packed)
      : all(random_matrix(type, experts * n, k, 1)) {
    const DType form = packed ? *packed_type(type) : type;
    const int64_t bytes = bytes_of(type, n * k), stride = (matrix_bytes(form, n, k) + 63) / 64 * 64;
    memory.resize(static_cast<size_t>(experts * stride + 64));
    std::byte* base = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    for (int64_t e = 0; e < experts; e++) {
      std::byte* at = base + (experts - 1 - e) * stride;
      const std::byte* from = all.bytes.data() + e * bytes;
      if (packed)
        pack_rows(queue, type, from, n, k, at);
      else
        std::memcpy(at, from, static_cast<size_t>(bytes));
      views.push_back({at, {n, k}, k, 2, form});
    }
  }
};

/// x with a row per token or per (token, slot).
void try_experts(Isa isa, DType type, DType x_type, bool packed, int64_t tokens, bool row_per_pair) {
  constexpr int64_t experts = 5, slots = 2, n = 37, k = 256;
  Queue<Cpu> queue(2, isa);
  const RandomExperts w(queue, type, experts, n, k, packed);
  TestMatrix x = random_floats(x_type, row_per_pair ? tokens * slots : tokens, k, 2), y = poisoned(x_type, tokens * slots, n);
  std::vector<int32_t> ids;
  std::mt19937 rng(3);
  for (int64_t t = 0; t < tokens; t++) {
    const auto first = static_cast<int32_t>(rng() % experts);
    ids.insert(ids.end(), {first, first == 3 ? 0 : 3});  // expert 3 is busy
  }
  kernel(ExpertMatMul{}, queue, y.view(), x.view(), w.views, {ids.data(), {tokens, slots}, slots, 2, DType::I32});
  const bool int8 = packed_type(type).has_value();
  const std::vector<double> seen = int8 ? int8_rounded(x) : x.values;
  for (int64_t p = 0; p < tokens * slots; p++)
    for (int64_t j = 0; j < n; j++) {
      const int64_t x_row = row_per_pair ? p : p / slots, w_row = ids[static_cast<size_t>(p)] * n + j;
      const Reference r = reference_dot(seen.data() + x_row * k, w.all.values.data() + w_row * k, k);
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
    const std::vector<View<Cpu>> experts(2, {w.bytes.data(), {3, 8}, 8, 2, DType::F32});
    EXPECT_THROW(kernel(ExpertMatMul{}, queue, y.view(), x.view(), experts, {ids, {1, 1}, 1, 2, DType::I32}), Error);
  }
}

TEST(ExpertMatMul, RefusesExpertsThatDiffer) {
  Queue<Cpu> queue(1, Isa::Portable);
  TestMatrix w = random_floats(DType::F32, 6, 8, 1), x = random_floats(DType::F32, 1, 8, 1), y = poisoned(DType::F32, 1, 3);
  int32_t ids[] = {1};
  const View<Cpu> first{w.bytes.data(), {3, 8}, 8, 2, DType::F32};
  for (const View<Cpu>& second : {View<Cpu>{w.bytes.data(), {2, 8}, 8, 2, DType::F32}, View<Cpu>{w.bytes.data(), {3, 4}, 4, 2, DType::F32},
                                  View<Cpu>{w.bytes.data(), {3, 8}, 8, 2, DType::BF16}}) {
    const std::vector<View<Cpu>> experts{first, second};
    EXPECT_THROW(kernel(ExpertMatMul{}, queue, y.view(), x.view(), experts, {ids, {1, 1}, 1, 2, DType::I32}), Error);
  }
}

TEST(Matrices, HaveOneShapeAndType) {
  Queue<Cpu> queue(1, Isa::Portable);
  Device<Cpu> device;
  device.queue = &queue;
  const Tensor<Cpu> a(device, {3, 8}, DType::F32);
  EXPECT_EQ(Matrices<Cpu>({a, a}).shape(), (Shape{2, 3, 8}));
  EXPECT_THROW(Matrices<Cpu>({}), Error);
  EXPECT_THROW(Matrices<Cpu>({Tensor<Cpu>(device, {8}, DType::F32)}), Error);
  EXPECT_THROW(Matrices<Cpu>({a, Tensor<Cpu>(device, {8, 3}, DType::F32)}), Error);
  EXPECT_THROW(Matrices<Cpu>({a, Tensor<Cpu>(device, {3, 8}, DType::F16)}), Error);
}

}  // namespace
}  // namespace infernum

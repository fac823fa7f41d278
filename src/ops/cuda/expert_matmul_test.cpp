// ExpertMatMul on CUDA against double precision: few and many tokens, all kinds of weights, ids with gaps and ids that name no matrix.
#include "core/check.h"
#include "ops/cuda/matmul_test_data.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

constexpr int64_t slots = 2, n = 70;

/// Matrices of one shape, `step` bytes apart; element (e, i, j) of `all` as one (E * n, k) matrix.
struct Experts {
  TestMatrix all;
  int64_t step;
  std::vector<std::byte> bytes;

  Experts(DType type, int64_t experts, int64_t k, int64_t alignment) : all(random_matrix(type, experts * n, k, 1)) {
    const int64_t size = bytes_of(type, n * k);
    step = (size + alignment - 1) / alignment * alignment;
    bytes.resize(static_cast<size_t>(experts * step));
    for (int64_t e = 0; e < experts; e++) std::memcpy(bytes.data() + e * step, all.bytes.data() + e * size, static_cast<size_t>(size));
  }
  std::vector<View<Cuda>> views(const OnDevice& device) const {
    std::vector<View<Cuda>> list;
    for (int64_t e = 0; e < all.rows / n; e++)
      list.push_back({static_cast<std::byte*>(device.data()) + e * step, {n, all.cols}, all.cols, 2, all.type});
    return list;
  }
};

/// Ids of `tokens` rows, `stride` apart, the second of each mostly expert 3.
std::vector<int32_t> some_ids(int64_t tokens, int64_t experts, int64_t stride) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens * stride), -7);
  std::mt19937 rng(3);
  for (int64_t t = 0; t < tokens; t++) {
    const auto first = static_cast<int32_t>(rng() % static_cast<unsigned>(experts));
    ids[static_cast<size_t>(t * stride)] = first;
    ids[static_cast<size_t>(t * stride + 1)] = first == 3 ? 0 : 3;
  }
  return ids;
}

/// x with a row per token or per (token, slot); y of x's type.
void try_experts(Queue<Cuda>& queue, const Experts& w, int64_t experts, DType x_type, int64_t tokens, bool row_per_pair) {
  const int64_t pairs = tokens * slots, stride = slots + 1, k = w.all.cols;
  const TestMatrix x = random_floats(x_type, row_per_pair ? pairs : tokens, k, 2);
  TestMatrix y = poisoned(x_type, pairs, n);
  const std::vector<int32_t> ids = some_ids(tokens, experts, stride);
  const OnDevice w_device(queue, w.bytes), x_device = to_device(queue, x), y_device = to_device(queue, y),
                                           ids_device(queue, std::as_bytes(std::span(ids)));
  kernel(ExpertMatMul{}, queue, view_of(y_device, y), view_of(x_device, x), w.views(w_device),
         {ids_device.data(), {tokens, slots}, stride, 2, DType::I32});
  y.bytes = y_device.read();
  std::vector<int64_t> x_rows, first;
  for (int64_t p = 0; p < pairs; p++) {
    x_rows.push_back(row_per_pair ? p : p / slots);
    first.push_back(ids[static_cast<size_t>(p / slots * stride + p % slots)] * n);
  }
  const bool plain = is_float(w.all.type) || x_type == DType::F32;
  const Arithmetic how = plain ? Arithmetic{false, 0} : tokens <= 4 ? Arithmetic{true, 0} : Arithmetic{false, storage_error(x_type)};
  expect_rows(y, x, w.all, x_rows, first, how);
}

TEST(ExpertMatMulCuda, EveryPairMeetsItsExpert) {
  test::on_cuda([](auto& on) {
    for (DType type : {DType::F32, DType::BF16, DType::F16, DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::MXFP4,
                       DType::TQ2_0, DType::Q2_K, DType::IQ3_S})
      for (int64_t k : {256, 768}) {
        const Experts w(type, 5, k, 256);
        for (int64_t tokens : {1, 3, 4, 5, 40, 300})
          for (bool row_per_pair : {false, true})
            for (DType x : {DType::F32, DType::BF16, DType::F16})
              if (x != DType::F16 || tokens == 3 || tokens == 40) try_experts(on.queue, w, 5, x, tokens, row_per_pair);
      }
  });
}

TEST(ExpertMatMulCuda, OddWidthsAndSteps) {
  test::on_cuda([](auto& on) {
    for (DType type : {DType::F32, DType::BF16, DType::MXFP4, DType::Q8_0}) {
      const Experts w(type, 5, is_float(type) ? 37 : 96, 1);
      for (int64_t tokens : {2, 33})
        for (DType x : {DType::F32, DType::BF16}) try_experts(on.queue, w, 5, x, tokens, false);
    }
  });
}

TEST(ExpertMatMulCuda, ManyExperts) {
  test::on_cuda([](auto& on) {
    const Experts w(DType::BF16, 1000, 32, 256);
    for (int64_t tokens : {1, 77, 2000}) try_experts(on.queue, w, 1000, DType::BF16, tokens, true);
  });
}

TEST(ExpertMatMulCuda, AnIdThatNamesNoMatrixGivesNaN) {
  test::on_cuda([](auto& on) {
    const Experts w(DType::BF16, 2, 64, 256);
    for (int64_t tokens : {2, 20}) {
      const TestMatrix x = random_floats(DType::BF16, tokens, 64, 2);
      TestMatrix y = poisoned(DType::F32, tokens, n);
      for (int64_t i = 0; i < tokens * n; i++) from_float(DType::F32, 5, y.bytes.data(), i);
      std::vector<int32_t> ids(static_cast<size_t>(tokens), 1);
      ids[0] = -1, ids[1] = 2;
      const OnDevice w_device(on.queue, w.bytes), x_device = to_device(on.queue, x), y_device = to_device(on.queue, y),
                                                  ids_device(on.queue, std::as_bytes(std::span(ids)));
      kernel(ExpertMatMul{}, on.queue, view_of(y_device, y), view_of(x_device, x), w.views(w_device),
             {ids_device.data(), {tokens, 1}, 1, 2, DType::I32});
      y.bytes = y_device.read();
      for (int64_t i = 0; i < tokens * n; i++) EXPECT_EQ(std::isnan(to_float(DType::F32, y.bytes.data(), i)), i < 2 * n) << i;
    }
  });
}

TEST(ExpertMatMulCuda, RefusesMatricesThatDifferOrLieApart) {
  test::on_cuda([](auto& on) {
    std::byte memory[1024];
    const auto view = [&](int64_t at, int64_t rows, int64_t cols, DType dtype) {
      return View<Cuda>{memory + at, {rows, cols}, cols, 2, dtype};
    };
    const auto x = view(0, 1, 8, DType::F32), y = view(0, 1, 3, DType::F32), first = view(0, 3, 8, DType::F32);
    const View<Cuda> ids{memory, {1, 1}, 1, 2, DType::I32};
    const auto multiply = [&](const std::vector<View<Cuda>>& w) { kernel(ExpertMatMul{}, on.queue, y, x, w, ids); };
    EXPECT_THROW(multiply({}), Error);
    EXPECT_THROW(multiply({first, view(96, 2, 8, DType::F32)}), Error);
    EXPECT_THROW(multiply({first, view(96, 3, 4, DType::F32)}), Error);
    EXPECT_THROW(multiply({first, view(96, 3, 8, DType::BF16)}), Error);
    EXPECT_THROW(multiply({first, view(96, 3, 8, DType::F32), view(200, 3, 8, DType::F32)}), Error);
  });
}

}  // namespace
}  // namespace infernum

#include "core/check.h"
#include "ops/cpu/matmul_test_data.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

constexpr DType block_types[] = {DType::Q4_0,  DType::Q4_1,  DType::Q5_0,  DType::Q5_1, DType::Q8_0,   DType::Q2_K,
                                 DType::Q3_K,  DType::Q4_K,  DType::Q5_K,  DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS,
                                 DType::IQ3_S, DType::MXFP4, DType::TQ1_0, DType::TQ2_0};

void multiply(Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, View<Cpu> w) {
  if (is_float(w.dtype))
    kernel(MatMul{}, queue, y, x, w);
  else
    kernel(BlockMatMul{}, queue, y, x, w);
}

/// |y - reference| <= 1e-5 of the magnitudes summed, the reference taking x as the kernel may: exactly, or in int8 blocks.
void expect_product(const TestMatrix& y, const TestMatrix& x, const TestMatrix& w, bool int8) {
  const std::vector<double> seen = int8 ? int8_rounded(x) : x.values;
  double error = 0, norm = 0;
  for (int64_t t = 0; t < x.rows; t++)
    for (int64_t j = 0; j < w.rows; j++) {
      const Reference r = reference_dot(seen.data() + t * x.cols, w.values.data() + j * w.cols, w.cols);
      const double got = static_cast<double>(to_float(y.type, y.bytes.data(), t * w.rows + j));
      ASSERT_LE(std::fabs(got - r.value), 1e-5 * r.magnitude + storage_error(y.type) * std::fabs(r.value) + 1e-30)
          << describe(w.type) << " m " << x.rows << " n " << w.rows << " k " << w.cols << " at " << t << ", " << j;
      const double exact = reference_dot(x.values.data() + t * x.cols, w.values.data() + j * w.cols, w.cols).value;
      error += (got - exact) * (got - exact);
      norm += exact * exact;
    }
  // Random signs cancel in small products: the share of rounding is meaningful over many outputs.
  if (x.rows * w.rows >= 100) {
    EXPECT_LE(std::sqrt(error), 1.5e-2 * std::sqrt(norm)) << describe(w.type);
  }
}

void try_sizes(Queue<Cpu>& queue, DType x_type, DType w_type, const std::vector<int64_t>& ms, const std::vector<int64_t>& ns,
               const std::vector<int64_t>& ks) {
  for (int64_t n : ns)
    for (int64_t k : ks) {
      TestMatrix w = random_matrix(w_type, n, k, static_cast<unsigned>(n + k));
      const auto packed = packed_type(w_type);
      std::vector<std::byte> repacked;
      if (packed) repacked = pack(queue, w, *packed);
      for (int64_t m : ms) {
        TestMatrix x = random_floats(x_type, m, k, static_cast<unsigned>(m + 7));
        TestMatrix y = poisoned(x_type, m, n);
        multiply(queue, y.view(), x.view(), w.view());
        expect_product(y, x, w, packed.has_value());
        if (!packed) continue;
        TestMatrix y2 = poisoned(x_type, m, n);
        multiply(queue, y2.view(), x.view(), {repacked.data(), {n, k}, k, 2, *packed});
        expect_product(y2, x, w, true);
      }
    }
}

class MatMulLevels : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Cpu, MatMulLevels, testing::ValuesIn(levels_here()), [](const auto& p) { return describe(p.param); });

TEST_P(MatMulLevels, DenseWeights) {
  for (DType x : {DType::F32, DType::BF16, DType::F16})
    for (DType w : {DType::F32, DType::F16, DType::BF16})
      for (int threads : {1, 2, 3}) {
        Queue<Cpu> queue(threads, GetParam());
        if (x == DType::F32 && threads == 2)
          try_sizes(queue, x, w, {1, 2, 3, 5, 17, 64}, {1, 15, 16, 33, 100}, {1, 17, 64, 333});
        else
          try_sizes(queue, x, w, {1, 4, 19}, {7, 50}, {31, 96});
      }
}

TEST_P(MatMulLevels, LongRowsAreSummedInPieces) {
  Queue<Cpu> queue(2, GetParam());
  try_sizes(queue, DType::F32, DType::BF16, {1, 7, 300}, {50}, {2048 + 33});
  try_sizes(queue, DType::BF16, DType::BF16, {1, 7}, {50}, {4096 + 1});
  try_sizes(queue, DType::F32, DType::Q4_K, {1, 7, 300}, {50}, {4096 + 512});
  try_sizes(queue, DType::F16, DType::Q8_0, {1, 7}, {50}, {4096 + 32});
  try_sizes(queue, DType::F32, DType::MXFP4, {1, 7}, {50}, {2048 + 32});
  try_sizes(queue, DType::F32, DType::IQ4_XS, {1, 7}, {50}, {2048 + 256});
}

TEST_P(MatMulLevels, BlockWeights) {
  for (DType w : block_types) {
    const int64_t block = info(w).block;
    Queue<Cpu> queue(2, GetParam());
    try_sizes(queue, DType::F32, w, {1, 2, 3, 5, 17, 64}, {1, 15, 16, 33, 100}, {block, 3 * block});
    for (DType x : {DType::BF16, DType::F16})
      for (int threads : {1, 3}) {
        Queue<Cpu> other(threads, GetParam());
        try_sizes(other, x, w, {1, 6}, {50}, {2 * block});
      }
  }
}

TEST_P(MatMulLevels, StridedActivationsAndOutputs) {
  Queue<Cpu> queue(2, GetParam());
  for (DType type : {DType::F32, DType::Q4_0, DType::Q6_K, DType::IQ4_XS}) {
    const int64_t m = 5, n = 32, k = 256;
    TestMatrix w = random_matrix(type, n, k, 1), wide_x = random_floats(DType::F32, m, 2 * k, 2), wide_y = poisoned(DType::F32, m, 3 * n);
    multiply(queue, {wide_y.bytes.data(), {m, n}, 3 * n, 2, DType::F32}, {wide_x.bytes.data(), {m, k}, 2 * k, 2, DType::F32}, w.view());
    TestMatrix x = random_floats(DType::F32, m, k, 3), y = poisoned(DType::F32, m, n);
    for (int64_t t = 0; t < m; t++) {
      std::memcpy(x.bytes.data() + 4 * t * k, wide_x.bytes.data() + 8 * t * k, static_cast<size_t>(4 * k));
      std::memcpy(y.bytes.data() + 4 * t * n, wide_y.bytes.data() + 12 * t * n, static_cast<size_t>(4 * n));
      EXPECT_TRUE(std::isnan(to_float(DType::F32, wide_y.bytes.data(), 3 * t * n + n))) << "written past the row";
    }
    x.decode();
    expect_product(y, x, w, packed_type(type).has_value());
  }
}

TEST_P(MatMulLevels, UnalignedWeights) {
  Queue<Cpu> queue(2, GetParam());
  for (DType type : {DType::F32, DType::F16, DType::BF16, DType::Q5_K, DType::Q8_0}) {
    const int64_t n = 37, k = 256;
    TestMatrix w = random_matrix(type, n, k, 5);
    std::vector<std::byte> shifted(w.bytes.size() + 1);
    std::copy(w.bytes.begin(), w.bytes.end(), shifted.begin() + 1);
    for (int64_t m : {1, 9}) {
      TestMatrix x = random_floats(DType::F32, m, k, 6), y = poisoned(DType::F32, m, n);
      multiply(queue, y.view(), x.view(), {shifted.data() + 1, {n, k}, k, 2, type});
      expect_product(y, x, w, packed_type(type).has_value());
    }
  }
}

TEST_P(MatMulLevels, NotANumberStaysInItsRow) {
  Queue<Cpu> queue(2, GetParam());
  for (DType type : {DType::F32, DType::F16, DType::BF16, DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::MXFP4})
    for (DType x_type : {DType::F32, DType::BF16})
      for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const int64_t m = 7, n = 40, k = 512;
        TestMatrix w = random_matrix(type, n, k, 8), x = random_floats(x_type, m, k, 9), y = poisoned(x_type, m, n);
        from_float(x_type, bad, x.bytes.data(), 3 * k + 300);
        for (int64_t i = 0; i < k; i++) from_float(x_type, 0, x.bytes.data(), 4 * k + i);
        multiply(queue, y.view(), x.view(), w.view());
        for (int64_t t = 0; t < m; t++)
          for (int64_t j = 0; j < n; j++) {
            const float got = to_float(x_type, y.bytes.data(), t * n + j);
            if (t == 3) {
              EXPECT_FALSE(std::isfinite(got) && w.values[static_cast<size_t>(j * k + 300)] != 0) << describe(type);
            } else if (t == 4) {
              EXPECT_EQ(got, 0) << describe(type);
            } else {
              EXPECT_TRUE(std::isfinite(got)) << describe(type);
            }
          }
      }
}

TEST_P(MatMulLevels, HugeAndTinyActivations) {
  Queue<Cpu> queue(2, GetParam());
  for (DType type : {DType::F32, DType::BF16, DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q6_K, DType::Q5_1})
    for (float factor : {1e30f, 1e-30f})
      for (int64_t m : {1, 6}) {
        TestMatrix w = random_matrix(type, 33, 512, 10), x = random_floats(DType::F32, m, 512, 11), y = poisoned(DType::F32, m, 33);
        for (int64_t i = 0; i < m * 512; i += 3)
          from_float(DType::F32, factor * to_float(DType::F32, x.bytes.data(), i), x.bytes.data(), i);
        x.decode();
        multiply(queue, y.view(), x.view(), w.view());
        expect_product(y, x, w, packed_type(type).has_value());
      }
}

/// The first `rows` rows of x over and over, times w.
std::vector<std::byte> product_of_rows(Isa isa, int threads, bool bf16_products, const TestMatrix& x, TestMatrix& w, int64_t rows) {
  Queue<Cpu> queue(threads, isa);
  queue.bf16_products = bf16_products;
  TestMatrix part{x.type, rows, x.cols, {}, {}}, y = poisoned(DType::F32, rows, w.rows);
  const int64_t row_bytes = bytes_of(x.type, x.cols), distinct = x.rows;
  for (int64_t t = 0; t < rows; t++)
    part.bytes.insert(part.bytes.end(), x.bytes.begin() + t % distinct * row_bytes, x.bytes.begin() + (t % distinct + 1) * row_bytes);
  multiply(queue, y.view(), part.view(), w.view());
  return y.bytes;
}

void expect_rows_alone_and_together(Isa isa, DType x_type, DType w_type, int64_t n, int64_t k, bool bf16_products = false) {
  constexpr int64_t distinct = 5;
  TestMatrix w = random_matrix(w_type, n, k, 21), x = random_floats(x_type, distinct, k, 22);
  std::vector<std::byte> alone;
  for (int64_t t = 0; t < distinct; t++) {
    TestMatrix row{x_type, 1, k, {}, {}};
    row.bytes.assign(x.bytes.begin() + t * bytes_of(x_type, k), x.bytes.begin() + (t + 1) * bytes_of(x_type, k));
    const auto y = product_of_rows(isa, 1, bf16_products, row, w, 1);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  int threads = 0;
  for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 33, 63, 64, 65, 77, 260}) {
    threads = threads % 3 + 1;
    const auto y = product_of_rows(isa, threads, bf16_products, x, w, rows);
    for (int64_t t = 0; t < rows; t++)
      ASSERT_EQ(std::memcmp(y.data() + 4 * n * t, alone.data() + 4 * n * (t % distinct), static_cast<size_t>(4 * n)), 0)
          << describe(w_type) << " by " << describe(x_type) << ", row " << t << " of " << rows << ", n " << n << " k " << k << ", "
          << threads << " threads";
  }
}

TEST_P(MatMulLevels, ARowHasTheSameBitsInAnyCompany) {
  for (DType w : {DType::F32, DType::F16, DType::BF16})
    for (int64_t k : {1, 15, 40, 512, 1024 + 24, 2048 + 1024 + 500}) {
      expect_rows_alone_and_together(GetParam(), DType::F32, w, 53, k);
      expect_rows_alone_and_together(GetParam(), DType::BF16, w, 21, k);
    }
  for (int64_t k : {3, 512, 1024 + 33, 4096 + 7}) expect_rows_alone_and_together(GetParam(), DType::F32, DType::BF16, 210, k, true);
  for (DType w : block_types)
    for (int64_t k : {int64_t{info(w).block}, int64_t{2304}}) expect_rows_alone_and_together(GetParam(), DType::F32, w, 37, k);
}

TEST(MatMul, RefusesWhatDoesNotFit) {
  Queue<Cpu> queue(1, Isa::Portable);
  TestMatrix w = random_floats(DType::F32, 4, 8, 1), x = random_floats(DType::F32, 2, 8, 1), y = poisoned(DType::F32, 2, 4);
  TestMatrix other = random_floats(DType::F32, 2, 9, 1), half = poisoned(DType::F16, 2, 4), wide = poisoned(DType::F32, 2, 5);
  EXPECT_THROW(kernel(MatMul{}, queue, y.view(), other.view(), w.view()), Error);
  EXPECT_THROW(kernel(MatMul{}, queue, half.view(), x.view(), w.view()), Error);
  EXPECT_THROW(kernel(MatMul{}, queue, wide.view(), x.view(), w.view()), Error);
  EXPECT_THROW(kernel(BlockMatMul{}, queue, y.view(), x.view(), w.view()), Error);
}

}  // namespace
}  // namespace infernum

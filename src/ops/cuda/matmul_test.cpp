// MatMul and BlockMatMul on CUDA against double precision: all types, odd sizes, strides, addresses, numbers that are none.
#include <numeric>

#include "core/check.h"
#include "ops/cuda/matmul_test_data.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

constexpr DType float_types[] = {DType::F32, DType::F16, DType::BF16};
constexpr DType block_types[] = {DType::Q4_0,  DType::Q4_1,  DType::Q5_0,  DType::Q5_1, DType::Q8_0,   DType::Q2_K,
                                 DType::Q3_K,  DType::Q4_K,  DType::Q5_K,  DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS,
                                 DType::IQ3_S, DType::MXFP4, DType::TQ1_0, DType::TQ2_0};

void multiply(Queue<Cuda>& queue, View<Cuda> y, View<Cuda> x, View<Cuda> w) {
  if (is_float(w.dtype))
    kernel(MatMul{}, queue, y, x, w);
  else
    kernel(BlockMatMul{}, queue, y, x, w);
}

/// Blocks meet 16-bit activations as int8 in products of few rows, and in the activations' type in others.
Arithmetic arithmetic(DType x, DType w, int64_t m) {
  if (is_float(w) || x == DType::F32) return {false, 0};
  return m <= 16 ? Arithmetic{true, 0} : Arithmetic{false, storage_error(x)};
}

void expect_product(const TestMatrix& y, const TestMatrix& x, const TestMatrix& w) {
  std::vector<int64_t> rows(static_cast<size_t>(x.rows));
  std::iota(rows.begin(), rows.end(), 0);
  expect_rows(y, x, w, rows, std::vector<int64_t>(rows.size(), 0), arithmetic(x.type, w.type, x.rows));
}

/// x * w^T for each number of rows, with y of x's type and F32.
void try_rows(Queue<Cuda>& queue, DType x_type, const TestMatrix& w, const std::vector<int64_t>& ms) {
  const OnDevice w_device = to_device(queue, w);
  for (int64_t m : ms)
    for (DType y_type : {x_type, DType::F32}) {
      if (y_type == x_type && x_type == DType::F32 && m > 9 && m % 2) continue;  // the same case twice
      const TestMatrix x = random_floats(x_type, m, w.cols, static_cast<unsigned>(m + 7));
      TestMatrix y = poisoned(y_type, m, w.rows);
      const OnDevice x_device = to_device(queue, x), y_device = to_device(queue, y);
      multiply(queue, view_of(y_device, y), view_of(x_device, x), view_of(w_device, w));
      y.bytes = y_device.read();
      expect_product(y, x, w);
    }
}

void try_sizes(Queue<Cuda>& queue, DType x_type, DType w_type, const std::vector<int64_t>& ms, const std::vector<int64_t>& ns,
               const std::vector<int64_t>& ks) {
  for (int64_t n : ns)
    for (int64_t k : ks) try_rows(queue, x_type, random_matrix(w_type, n, k, static_cast<unsigned>(n + k)), ms);
}

TEST(MatMulCuda, FloatWeights) {
  test::on_cuda([](auto& on) {
    for (DType x : float_types)
      for (DType w : float_types) {
        try_sizes(on.queue, x, w, {1, 2, 3, 4, 5, 8, 9, 17}, {1, 15, 33}, {1, 17, 64, 333});
        try_sizes(on.queue, x, w, {1, 6, 7, 130}, {100}, {64, 200});
      }
  });
}

TEST(MatMulCuda, LongAndManyRows) {
  test::on_cuda([](auto& on) {
    for (auto [x, w] : {std::pair{DType::F32, DType::F32}, {DType::BF16, DType::BF16}, {DType::F32, DType::BF16}}) {
      try_sizes(on.queue, x, w, {1, 3, 8, 20}, {5, 50}, {4096, 4104, 8192 + 1});
      try_sizes(on.queue, x, w, {1, 2, 12}, {9001}, {64});
    }
    for (DType w : {DType::Q8_0, DType::Q4_K, DType::Q6_K})
      for (DType x : {DType::F32, DType::BF16}) {
        try_sizes(on.queue, x, w, {1, 3, 20}, {50}, {8192 + 256});
        try_sizes(on.queue, x, w, {1, 20}, {9001}, {256});
      }
  });
}

TEST(MatMulCuda, ConvertedInSeveralStrips) {
  test::on_cuda([](auto& on) {
    // 24 MiB of F32 are 384 rows of 16384.
    try_sizes(on.queue, DType::F32, DType::BF16, {9}, {500}, {16384});
    try_sizes(on.queue, DType::BF16, DType::F16, {9}, {500}, {16384});
    try_sizes(on.queue, DType::F32, DType::Q4_K, {17}, {500}, {16384});
  });
}

TEST(MatMulCuda, BlockWeights) {
  test::on_cuda([](auto& on) {
    for (DType w : block_types) {
      const int64_t block = info(w).block;
      try_sizes(on.queue, DType::F32, w, {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}, {1, 15, 33}, {block, 3 * block});
      for (DType x : {DType::BF16, DType::F16}) try_sizes(on.queue, x, w, {1, 2, 4, 6, 9, 16, 17, 130}, {50}, {2 * block, 5 * block});
    }
  });
}

TEST(MatMulCuda, StridedActivationsAndOutputs) {
  test::on_cuda([](auto& on) {
    for (DType type : {DType::F32, DType::BF16, DType::Q4_0, DType::Q6_K, DType::IQ4_XS})
      for (int64_t m : {5, 24}) {
        const int64_t n = 32, k = 256, gap = 3;  // an odd stride of y
        const TestMatrix w = random_matrix(type, n, k, 1), wide_x = random_floats(DType::F32, m, 2 * k, 2);
        TestMatrix wide_y = poisoned(DType::F32, m, 2 * n + gap);
        const OnDevice w_device = to_device(on.queue, w), x_device = to_device(on.queue, wide_x), y_device = to_device(on.queue, wide_y);
        multiply(on.queue, {y_device.data(), {m, n}, wide_y.cols, 2, DType::F32}, {x_device.data(), {m, k}, 2 * k, 2, DType::F32},
                 view_of(w_device, w));
        wide_y.bytes = y_device.read();
        TestMatrix x = random_floats(DType::F32, m, k, 3), y = poisoned(DType::F32, m, n);
        for (int64_t t = 0; t < m; t++) {
          std::memcpy(x.bytes.data() + 4 * t * k, wide_x.bytes.data() + 8 * t * k, static_cast<size_t>(4 * k));
          std::memcpy(y.bytes.data() + 4 * t * n, wide_y.bytes.data() + 4 * t * wide_y.cols, static_cast<size_t>(4 * n));
          for (int64_t i = n; i < wide_y.cols; i++)
            EXPECT_TRUE(std::isnan(to_float(DType::F32, wide_y.bytes.data(), t * wide_y.cols + i))) << "written past the row";
        }
        x.decode();
        expect_product(y, x, w);
      }
  });
}

TEST(MatMulCuda, OperandsAtOddAddresses) {
  test::on_cuda([](auto& on) {
    for (DType x_type : {DType::F32, DType::BF16})
      for (DType type : {DType::F32, DType::F16, DType::BF16, DType::Q5_0, DType::Q8_0, DType::Q4_K, DType::MXFP4}) {
        const int64_t n = 37, k = 256;
        const TestMatrix w = random_matrix(type, n, k, 5);
        const OnDevice w_device = to_device(on.queue, w, type == DType::MXFP4 ? 1 : is_float(type) ? info(type).bytes : 4);
        for (int64_t m : {1, 3, 9, 40}) {
          const TestMatrix x = random_floats(x_type, m, k, 6);
          TestMatrix y = poisoned(x_type, m, n);
          const OnDevice x_device = to_device(on.queue, x, info(x_type).bytes), y_device = to_device(on.queue, y, info(x_type).bytes);
          multiply(on.queue, view_of(y_device, y), view_of(x_device, x), view_of(w_device, w));
          y.bytes = y_device.read();
          expect_product(y, x, w);
        }
      }
  });
}

TEST(MatMulCuda, NotANumberStaysInItsRow) {
  test::on_cuda([](auto& on) {
    for (DType type : {DType::F32, DType::BF16, DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q6_K, DType::Q2_K, DType::MXFP4})
      for (DType x_type : {DType::F32, DType::BF16})
        for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
          for (int64_t m : {7, 21}) {
            const int64_t n = 40, k = 512;
            const TestMatrix w = random_matrix(type, n, k, 8);
            TestMatrix x = random_floats(x_type, m, k, 9), y = poisoned(x_type, m, n);
            from_float(x_type, bad, x.bytes.data(), 3 * k + 300);
            for (int64_t i = 0; i < k; i++) from_float(x_type, 0, x.bytes.data(), 4 * k + i);
            const OnDevice w_device = to_device(on.queue, w), x_device = to_device(on.queue, x), y_device = to_device(on.queue, y);
            multiply(on.queue, view_of(y_device, y), view_of(x_device, x), view_of(w_device, w));
            y.bytes = y_device.read();
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
  });
}

TEST(MatMulCuda, HugeAndTinyActivations) {
  test::on_cuda([](auto& on) {
    for (DType type : {DType::F32, DType::BF16, DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q6_K, DType::Q5_1})
      for (DType x_type : {DType::F32, DType::BF16})
        for (float factor : {1e30f, 1e-30f})
          for (int64_t m : {1, 6}) {
            const TestMatrix w = random_matrix(type, 33, 512, 10);
            TestMatrix x = random_floats(x_type, m, 512, 11), y = poisoned(x_type, m, 33);
            for (int64_t i = 0; i < m * 512; i += 3) from_float(x_type, factor * to_float(x_type, x.bytes.data(), i), x.bytes.data(), i);
            x.decode();
            const OnDevice w_device = to_device(on.queue, w), x_device = to_device(on.queue, x), y_device = to_device(on.queue, y);
            multiply(on.queue, view_of(y_device, y), view_of(x_device, x), view_of(w_device, w));
            y.bytes = y_device.read();
            expect_product(y, x, w);
          }
  });
}

TEST(MatMulCuda, TheSameBitsEveryTime) {
  test::on_cuda([](auto& on) {
    for (DType type : {DType::F32, DType::BF16, DType::Q4_K})
      for (int64_t m : {1, 5, 64}) {
        const TestMatrix w = random_matrix(type, 70, 2048, 12), x = random_floats(DType::BF16, m, 2048, 13);
        const OnDevice w_device = to_device(on.queue, w), x_device = to_device(on.queue, x);
        std::vector<std::byte> first;
        for (int i = 0; i < 5; i++) {
          const TestMatrix y = poisoned(DType::F32, m, 70);
          const OnDevice y_device = to_device(on.queue, y);
          multiply(on.queue, view_of(y_device, y), view_of(x_device, x), view_of(w_device, w));
          if (i == 0) first = y_device.read();
          EXPECT_EQ(y_device.read(), first) << describe(type) << " m " << m;
        }
      }
  });
}

/// Products begin before those before them end (Grid::early): what they read has to be there all the same.
TEST(MatMulCuda, ChainsOfProductsWaitForEachOther) {
  test::on_cuda([](auto& on) {
    constexpr int64_t k = 1024, links = 24;
    for (int64_t m : {1, 4}) {
      std::vector<OnDevice> weights, values;
      std::vector<TestMatrix> hosts;
      for (DType type : {DType::BF16, DType::Q8_0, DType::Q4_K}) hosts.push_back(random_matrix(type, k, k, 30));
      for (const TestMatrix& w : hosts) weights.push_back(to_device(on.queue, w));
      const TestMatrix x = random_floats(DType::BF16, m, k, 31);
      for (int64_t i = 0; i <= links; i++) values.push_back(to_device(on.queue, i == 0 ? x : poisoned(DType::BF16, m, k)));
      const auto run = [&](bool one_by_one) {
        for (int64_t i = 0; i < links; i++) {
          const auto at = static_cast<size_t>(i);
          const TestMatrix& w = hosts[at % hosts.size()];
          // Back to the size of x: sums of k products grow.
          multiply(on.queue, view_of(values[at + 1], x), view_of(values[at], x), view_of(weights[at % hosts.size()], w));
          kernel(Scale{}, on.queue, view_of(values[at + 1], x), view_of(values[at + 1], x), 0.02f);
          if (one_by_one) on.queue.synchronize();
        }
        return values.back().read();
      };
      const auto want = run(true);
      for (int i = 0; i < 20; i++) EXPECT_EQ(run(false), want) << "m " << m << " turn " << i;
    }
  });
}

TEST(MatMulCuda, EmptyOperands) {
  test::on_cuda([](auto& on) {
    const TestMatrix w = random_floats(DType::BF16, 3, 4, 1), x = random_floats(DType::BF16, 2, 4, 1);
    TestMatrix y = poisoned(DType::BF16, 2, 3);
    const OnDevice w_device = to_device(on.queue, w), x_device = to_device(on.queue, x), y_device = to_device(on.queue, y);
    multiply(on.queue, {y_device.data(), {0, 3}, 3, 2, DType::BF16}, {x_device.data(), {0, 4}, 4, 2, DType::BF16}, view_of(w_device, w));
    EXPECT_EQ(y_device.read(), y.bytes);
    multiply(on.queue, view_of(y_device, y), {x_device.data(), {2, 0}, 0, 2, DType::BF16}, {w_device.data(), {3, 0}, 0, 2, DType::BF16});
    y.bytes = y_device.read();
    for (int64_t i = 0; i < 6; i++) EXPECT_EQ(to_float(DType::BF16, y.bytes.data(), i), 0) << "a sum of nothing";
  });
}

TEST(MatMulCuda, RefusesWhatDoesNotFit) {
  test::on_cuda([](auto& on) {
    const auto view = [](int64_t rows, int64_t cols, DType dtype) { return View<Cuda>{nullptr, {rows, cols}, cols, 2, dtype}; };
    const auto w = view(4, 8, DType::F32), x = view(2, 8, DType::F32), y = view(2, 4, DType::F32);
    EXPECT_THROW(kernel(MatMul{}, on.queue, y, view(2, 9, DType::F32), w), Error);
    EXPECT_THROW(kernel(MatMul{}, on.queue, view(2, 4, DType::F16), x, w), Error);
    EXPECT_THROW(kernel(MatMul{}, on.queue, view(2, 5, DType::F32), x, w), Error);
    EXPECT_THROW(kernel(BlockMatMul{}, on.queue, y, x, w), Error);
    EXPECT_THROW(kernel(BlockMatMul{}, on.queue, y, x, view(4, 8, DType::Q8_0)), Error);
    EXPECT_THROW(kernel(BlockMatMul{}, on.queue, y, view(2, 32, DType::F32), view(4, 32, DType::Q8_0_R16)), Error);
  });
}

}  // namespace
}  // namespace infernum

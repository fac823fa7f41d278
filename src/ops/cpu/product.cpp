// Drives the inner products: converts or quantises the activations once, then hands strips of weight rows to the threads.
#include "ops/cpu/product.h"

#include <algorithm>
#include <vector>

#include "backends/cpu/queue.h"
#include "core/check.h"
#include "core/half.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/pack.h"
#include "ops/cpu/strip_shares.h"
#include "quant/quant.h"

namespace infernum {
namespace {

constexpr int64_t token_block = 256;  // rows of y a strip of blocks finishes before the next; twice as many share a copy of dense weights
constexpr int64_t few_tokens = 4;     // up to here the weights are read at memory speed and strips are cut by bytes

int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

/// The type the int8 kernels see; nothing for types multiplied in f32.
std::optional<DType> int8_form(DType weights) { return is_packed(weights) ? weights : packed_type(weights); }

void widen(DType type, const std::byte* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    to[i] = type == DType::BF16 ? static_cast<float>(reinterpret_cast<const BF16*>(from)[i])
                                : static_cast<float>(reinterpret_cast<const F16*>(from)[i]);
}

void narrow(DType type, const float* from, char* to, int64_t n) {
  if (type == DType::F32) std::copy_n(from, n, reinterpret_cast<float*>(to));
  if (type == DType::F16) std::transform(from, from + n, reinterpret_cast<F16*>(to), [](float f) { return F16(f); });
  if (type == DType::BF16) std::transform(from, from + n, reinterpret_cast<BF16*>(to), [](float f) { return BF16(f); });
}

/// What one thread needs to work on a strip.
struct Workspace {
  float* c;           // (most_rows(), strip rows)
  std::byte* copies;  // for the dense kernels
  float* dense;       // (strip rows, k chunk): block types dequantised
  std::byte* raw;     // row groups packed on the fly
  uint8_t* q;         // two Strips
  float* scale;
  float* min;
};

class Products {
 public:
  Products(Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, DType weights, std::span<const Product> products)
      : queue_(queue), kernels_(gemm_kernels(queue.isa)), y_(y), x_(x), weights_(weights), products_(products), int8_(int8_form(weights)) {
    n_ = y.cols();
    k_ = x.cols();
    for (const Product& p : products) most_tokens_ = std::max(most_tokens_, p.m);
    choose_strips();
  }

  void run() {
    lay_out_scratch();
    prepare_activations();
    std::vector<int64_t> first_strip{0};
    for (size_t p = 0; p < products_.size(); p++) first_strip.push_back(first_strip.back() + (n_ + strip_rows_ - 1) / strip_rows_);
    StripShares shares(first_strip.back(), queue_.pool.size());
    const auto work = [&](int thread) {
      shares.take(thread, [&](int64_t strip) {
        const auto p = std::upper_bound(first_strip.begin(), first_strip.end(), strip) - first_strip.begin() - 1;
        const int64_t row = (strip - first_strip[static_cast<size_t>(p)]) * strip_rows_;
        multiply(products_[static_cast<size_t>(p)], row, std::min(strip_rows_, n_ - row), workspaces_[static_cast<size_t>(thread)]);
      });
    };
    // Waking the others costs about as much as this many multiplications.
    constexpr int64_t worth_sharing = int64_t{1} << 16;
    if (static_cast<int64_t>(products_.size()) * most_tokens_ * n_ * k_ < worth_sharing) {
      const FlushDenormals flush;
      work(0);
    } else {
      queue_.pool.share(work);
    }
  }

 private:
  bool plain() const { return is_float(weights_); }
  int64_t most_rows() const { return plain() ? 2 * token_block : token_block; }
  bool direct_bf16() const { return weights_ == DType::BF16 && x_.dtype == DType::BF16 && kernels_.dense_bf16_bf16; }
  /// F32 activations that are to be multiplied as bfloat16.
  bool rounded() const { return weights_ == DType::BF16 && x_.dtype == DType::F32 && queue_.bf16_products; }
  bool streams() const { return int8_ && kernels_.gemv && most_tokens_ <= kernels_.gemv_tokens; }

  void choose_strips() {
    const int64_t unit = int8_ ? group_rows : 1;
    strip_rows_ = int8_ ? 2 * group_rows : std::clamp(round_up(n_ / (4 * queue_.pool.size()), 48), int64_t{48}, int64_t{192});
    k_chunk_ = std::min(k_, int64_t{2048});  // both this and 1024 are whole chunks (gemm.h)
    if (!plain() && !int8_) k_chunk_ = std::min(k_, int64_t{1024});
    if (most_tokens_ > few_tokens || !(plain() || streams())) return;
    const int64_t row_bytes = std::max<int64_t>(1, matrix_bytes(weights_, group_rows, k_) / group_rows);
    const int64_t balanced = n_ / (8 * queue_.pool.size());
    strip_rows_ = std::clamp<int64_t>(round_up(std::min((int64_t{128} << 10) / row_bytes, balanced), unit), unit, 4096);
    if (plain()) k_chunk_ = k_;
  }

  Workspace carve_workspace(Carver& carver) const {
    Workspace w{};
    w.c = carver.take<float>(std::min(most_tokens_, most_rows()) * strip_rows_);
    if (!plain() && !int8_) w.dense = carver.take<float>(strip_rows_ * k_chunk_);
    if (!int8_) {
      w.copies = carver.take<std::byte>(dense_workspace_bytes);
      return w;
    }
    if (!is_packed(weights_)) w.raw = carver.take<std::byte>(packed_bytes(*int8_, strip_rows_, k_));
    w.q = carver.take<uint8_t>(2 * group_rows * k_chunk_);
    w.scale = carver.take<float>(2 * k_chunk_);
    w.min = carver.take<float>(2 * k_chunk_);
    return w;
  }

  void lay_out(Carver carver, bool count_only) {
    const int64_t rows = x_.rows();
    if (int8_) {
      xq_ = {carver.take<ActivationBlock>(rows * k_ / activation_block), k_};
    } else if (rounded() && kernels_.dense_bf16_bf16) {
      narrow_ = carver.take<BF16>(rows * k_);
    } else if (rounded() || (x_.dtype != DType::F32 && !direct_bf16())) {
      wide_ = carver.take<float>(rows * k_);
    }
    identity_ = carver.take<int32_t>(most_rows());
    workspaces_.clear();
    for (int t = 0; t < queue_.pool.size(); t++) workspaces_.push_back(carve_workspace(carver));
    if (count_only) scratch_bytes_ = carver.bytes();
  }

  void lay_out_scratch() {
    lay_out(Carver(nullptr), true);
    lay_out(Carver(queue_.scratch.get(scratch_bytes_)), false);
    for (int32_t i = 0; i < most_rows(); i++) identity_[i] = i;
  }

  void prepare_activations() {
    if (!int8_ && !wide_ && !narrow_) return;
    std::vector<float> rows(x_.dtype == DType::F32 ? 0 : static_cast<size_t>(int8_ ? queue_.pool.size() * k_ : 0));
    std::atomic<int64_t> next{0};
    const auto convert = [&](int thread) {
      for (int64_t r; (r = next.fetch_add(1, std::memory_order_relaxed)) < x_.rows();) {
        const auto* from = reinterpret_cast<const std::byte*>(x_.row_bytes(r));
        if (narrow_) {
          narrow(DType::BF16, reinterpret_cast<const float*>(from), reinterpret_cast<char*>(narrow_ + r * k_), k_);
        } else if (wide_ && rounded()) {
          std::transform(reinterpret_cast<const float*>(from), reinterpret_cast<const float*>(from) + k_, wide_ + r * k_,
                         [](float f) { return static_cast<float>(BF16(f)); });
        } else if (!int8_) {
          widen(x_.dtype, from, wide_ + r * k_, k_);
        } else if (x_.dtype == DType::F32) {
          kernels_.quantize(reinterpret_cast<const float*>(from), xq_, r, strip_form(*int8_));
        } else {
          float* row = rows.data() + thread * k_;
          widen(x_.dtype, from, row, k_);
          kernels_.quantize(row, xq_, r, strip_form(*int8_));
        }
      }
    };
    if (x_.rows() > 1)
      queue_.pool.share(convert);
    else
      convert(0);
  }

  /// Rows row .. row + rows of one product's matrix, for all its tokens.
  void multiply(const Product& product, int64_t row, int64_t rows, const Workspace& space) const {
    const int64_t width = int8_ ? round_up(rows, group_rows) : rows;
    const bool in_place = y_.dtype == DType::F32 && width == rows;
    for (int64_t t = 0; t < product.m; t += most_rows()) {
      const int64_t m = std::min(most_rows(), product.m - t);
      const int32_t* y_rows = product.y_rows + t;
      float* c = in_place ? y_.as<float>() + row : space.c;
      const int64_t c_stride = in_place ? y_.stride : width;
      const int32_t* c_rows = in_place ? y_rows : identity_;
      if (int8_)
        multiply_int8(product, product.x_rows + t, m, row, rows, c, c_stride, c_rows, space);
      else
        multiply_float(product, product.x_rows + t, m, row, rows, c, c_stride, c_rows, space);
      if (in_place) continue;
      for (int64_t i = 0; i < m; i++) narrow(y_.dtype, space.c + i * width, y_.row_bytes(y_rows[i]) + bytes_of(y_.dtype, row), rows);
    }
  }

  void multiply_float(const Product& product, const int32_t* x_rows, int64_t m, int64_t row, int64_t rows, float* c, int64_t c_stride,
                      const int32_t* c_rows, const Workspace& space) const {
    const bool both_bf16 = direct_bf16() || narrow_;
    const int64_t row_bytes = bytes_of(weights_, k_), x_element = both_bf16 ? 2 : 4;
    const auto* x = wide_     ? reinterpret_cast<const std::byte*>(wide_)
                    : narrow_ ? reinterpret_cast<const std::byte*>(narrow_)
                              : x_.as<const std::byte>();
    const int64_t x_stride = x_element * (wide_ || narrow_ ? k_ : x_.stride);
    auto* product_of = both_bf16                 ? kernels_.dense_bf16_bf16
                       : weights_ == DType::BF16 ? kernels_.dense_bf16
                       : weights_ == DType::F16  ? kernels_.dense_f16
                                                 : kernels_.dense_f32;
    for (int64_t k0 = 0; k0 == 0 || k0 < k_; k0 += k_chunk_) {
      const int64_t k = std::min(k_chunk_, k_ - k0);
      const std::byte* w = product.w + row * row_bytes + bytes_of(weights_, k0);
      int64_t w_stride = row_bytes;
      if (!plain()) {
        for (int64_t r = 0; r < rows; r++) dequantize(weights_, w + r * row_bytes, space.dense + r * k_chunk_, k);
        w = reinterpret_cast<const std::byte*>(space.dense);
        w_stride = 4 * k_chunk_;
      }
      product_of({x + x_element * k0, x_stride, x_rows, w, w_stride, c, c_stride, c_rows, m, rows, k, k0 > 0, space.copies});
      if (k_ == 0) break;
    }
  }

  void multiply_int8(const Product& product, const int32_t* x_rows, int64_t m, int64_t row, int64_t rows, float* c, int64_t c_stride,
                     const int32_t* c_rows, const Workspace& space) const {
    const int64_t group_bytes = packed_bytes(*int8_, group_rows, k_), groups = (rows + group_rows - 1) / group_rows;
    const std::byte* packed = product.w + row / group_rows * group_bytes;
    if (!is_packed(weights_)) {
      const int64_t row_bytes = bytes_of(weights_, k_);
      for (int64_t g = 0; g < groups; g++)
        pack_group(weights_, product.w + (row + g * group_rows) * row_bytes, row_bytes, rows - g * group_rows, k_,
                   space.raw + g * group_bytes);
      packed = space.raw;
    }
    if (kernels_.gemv && m <= kernels_.gemv_tokens)
      return kernels_.gemv({*int8_, packed, group_bytes, groups, xq_, x_rows, c, c_stride, c_rows, m});
    for (int64_t k0 = 0; k0 < k_; k0 += k_chunk_) {
      const int64_t k = std::min(k_chunk_, k_ - k0);
      const Strip strips[2] = {{space.q, space.scale, space.min},
                               {space.q + group_rows * k_chunk_, space.scale + k_chunk_, space.min + k_chunk_}};
      for (int64_t g = 0; g < groups; g++) kernels_.unpack({*int8_, packed + g * group_bytes, k_, k0, k0 + k, strips[g]});
      kernels_.strip({xq_, x_rows, k0 / activation_block, k / activation_block, strips, static_cast<int>(groups), strip_form(*int8_), c,
                      c_stride, c_rows, m, k0 > 0});
    }
    if (k_ == 0)
      for (int64_t t = 0; t < m; t++) std::fill_n(c + c_rows[t] * c_stride, groups * group_rows, 0.f);
  }

  Queue<Cpu>& queue_;
  const GemmKernels& kernels_;
  View<Cpu> y_, x_;
  DType weights_;
  std::span<const Product> products_;
  std::optional<DType> int8_;
  int64_t n_, k_, most_tokens_ = 0, strip_rows_ = 0, k_chunk_ = 0;
  std::size_t scratch_bytes_ = 0;
  QuantizedRows xq_{};
  float* wide_ = nullptr;        // x as f32
  BF16* narrow_ = nullptr;       // x as bfloat16
  int32_t* identity_ = nullptr;  // 0, 1, 2 ... for partial results that are not in y yet
  std::vector<Workspace> workspaces_;
};

}  // namespace

int64_t matrix_bytes(DType t, int64_t n, int64_t k) { return is_packed(t) ? packed_bytes(t, n, k) : bytes_of(t, n * k); }

void check_product(const char* op, const View<Cpu>& y, const View<Cpu>& x, const View<Cpu>& w) {
  check(is_float(x.dtype) && (y.dtype == x.dtype || y.dtype == DType::F32), "matmul: x is of a float type and y of the same or F32", op,
        x.dtype, y.dtype);
  check(is_float(w.dtype) || is_gguf_block(w.dtype) || is_packed(w.dtype), "matmul: weights are floats or blocks", op, w.dtype);
  check(x.rank >= 1 && y.rank >= 1 && w.rank >= 2, "matmul: at least one dimension of x and y, two of w", op, x.rank, y.rank, w.rank);
  check(x.cols() == w.cols(), "matmul: x (m, k) and w (n, k) have one k", op, x.cols(), w.cols());
  check(w.stride == w.cols(), "matmul: the rows of w are packed", op, w.stride, w.cols());
  check(w.cols() % info(w.dtype).block == 0, "matmul: k is a multiple of the block", op, w.dtype, w.cols());
  check(x.rows() < (int64_t{1} << 31) && y.rows() < (int64_t{1} << 31), "matmul: fewer than 2^31 rows", op, x.rows(), y.rows());
}

void run_products(Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, DType weights, std::span<const Product> products) {
  if (y.cols() == 0 || y.rows() == 0) return;
  Products(queue, y, x, weights, products).run();
}

}  // namespace infernum

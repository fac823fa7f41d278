// Linear layers by how they divide among ranks: whole, by output rows (Full -> Shard), by input columns (Shard -> Partial).
#pragma once
#include <optional>

#include "layers/weights.h"
#include "ops/elementwise.h"

namespace infernum {

template <class B, Layout In, Layout Out, Split S>
class Linear {
 public:
  /// weight (n, k) under the scope; with `bias` also bias (n).
  Linear(const Weights<B>& w, int64_t n, int64_t k, bool bias = false) : weight_(w.linear("weight", n, k, S)) {
    if (!bias) return;
    if constexpr (S == Split::Rows)
      bias_ = w.vector_part("bias", n);
    else if (S == Split::None || w.device().rank == 0)
      bias_ = relabel<BiasLayout>(w.vector("bias", n));  // a Partial sums over ranks: add it once
  }
  /// Rows first .. first + n of a stored matrix (total, k) that fuses several layers, without bias.
  Linear(const Weights<B>& w, int64_t total, int64_t first, int64_t n, int64_t k)
      : weight_(w.linear_rows("weight", total, first, n, k, S)) {}
  /// x (m, k) -> (m, n / ranks or n).
  Tensor<B, Out> operator()(const Tensor<B, In>& x) const { return with_bias(multiply<Out>(x, weight_)); }
  /// The same with a result in F32 whatever x is: logits of the vocabulary and of routers.
  Tensor<B, Out> in_f32(const Tensor<B, In>& x) const { return with_bias(multiply<Out>(x, weight_, DType::F32)); }

 private:
  Tensor<B, Out> with_bias(const Tensor<B, Out>& y) const { return bias_ ? add_bias(y, *bias_) : y; }
  using BiasLayout = std::conditional_t<S == Split::Rows, Shard, Full>;
  LinearWeight<B> weight_;
  std::optional<Tensor<B, BiasLayout>> bias_;
};

template <class B>
using FullLinear = Linear<B, Full, Full, Split::None>;
template <class B>
using ColLinear = Linear<B, Full, Shard, Split::Rows>;
template <class B>
using RowLinear = Linear<B, Shard, Partial, Split::Cols>;

}  // namespace infernum

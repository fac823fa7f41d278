// The laws of the tensor types: which calls do not compile. Nothing here runs.
#include "backends/cpu/queue.h"
#include "backends/trace/trace.h"
#include "blocks/add_rms_norm.h"
#include "blocks/clamped_swiglu.h"
#include "blocks/geglu.h"
#include "blocks/swiglu.h"
#include "ops/attention.h"
#include "ops/collectives.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/moe.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/rows.h"

namespace infernum {
namespace {

template <class... A>
concept CanAdd = requires(const A&... a) {
  add(a...);
};
template <class... A>
concept CanMul = requires(const A&... a) {
  mul(a...);
};
template <class... A>
concept CanSilu = requires(const A&... a) {
  silu(a...);
};
template <class... A>
concept CanActivate = requires(const A&... a) {
  sigmoid(a...);
  gelu(a...);
  gelu_tanh(a...);
  softcap(a..., 30.f);
  clamp(a..., 0.f, 1.f);
};
/// Any of them.
template <class... A>
concept CanActivateSomehow = requires(const A&... a) {
  sigmoid(a...);
}
|| requires(const A&... a) { gelu(a...); }
|| requires(const A&... a) { gelu_tanh(a...); }
|| requires(const A&... a) { softcap(a..., 30.f); }
|| requires(const A&... a) { clamp(a..., 0.f, 1.f); };
template <class... A>
concept CanScale = requires(const A&... a) {
  scale(a..., 2.f);
};
template <class... A>
concept CanScaleByPosition = requires(const A&... a) {
  position_scale(a..., PositionScaleParams{});
};
template <class A, class Bias>
concept CanRouteWith = requires(const A& a, const Bias& bias) {
  route(a, bias, RouteParams{});
};
template <class... A>
concept CanScaleRows = requires(const A&... a) {
  scale_rows(a...);
};
template <class... A>
concept CanLayerNorm = requires(const A&... a) {
  layer_norm(a..., 1e-6f);
};
template <class A>
concept CanNormHeads = requires(const A& a) {
  head_norm(a, int64_t{4}, 1e-6f);
};
template <class A>
concept CanSliceHeads = requires(const A& a) {
  slice_heads(a, 2, 0, 1);
};
template <class... A>
concept CanConcatHeads = requires(const A&... a) {
  concat_heads(a..., 2);
};
template <class... A>
concept CanAddExpertBias = requires(const A&... a) {
  add_expert_bias(a...);
};
template <class... A>
concept CanGeGlu = requires(const A&... a) {
  geglu(a...);
};
template <class... A>
concept CanClampedSwiGlu = requires(const A&... a) {
  clamped_swiglu(a..., 1.702f, 7.f);
};
template <class... A>
concept CanAddBias = requires(const A&... a) {
  add_bias(a...);
};
template <class... A>
concept CanRmsNorm = requires(const A&... a) {
  rms_norm(a..., 1e-6f);
};
template <class... A>
concept CanHeadNorm = requires(const A&... a) {
  head_norm(a..., 1e-6f);
};
template <class... A>
concept CanEmbed = requires(const A&... a) {
  embed(a...);
};
template <class... A>
concept CanTakeRows = requires(const A&... a) {
  take_rows(a...);
};
template <class... A>
concept CanRope = requires(const A&... a) {
  rope(a..., RopeParams{});
};
template <class... A>
concept CanRopeTable = requires(const A&... a) {
  rope_table(a..., 1.f);
};
template <class Out, class... A>
concept CanMatmul = requires(const A&... a) {
  matmul<Out>(a...);
};
template <class Out, class... A>
concept CanBlockMatmul = requires(const A&... a) {
  block_matmul<Out>(a...);
};
template <class Out, class... A>
concept CanExpertMatmul = requires(const A&... a) {
  expert_matmul<Out>(a...);
};
template <class A>
concept CanRoute = requires(const A& a) {
  route(a, {}, RouteParams{});
};
template <class... A>
concept CanCombine = requires(const A&... a) {
  combine_experts(a...);
};
template <class Kv, class K, class V, class B>
concept CanAppend = requires(const Kv& kv, const K& k, const V& v, const B& batch) {
  cache_append(kv, k, v, batch);
};
template <class Q, class Kv, class B>
concept CanAttend = requires(const Q& q, const Kv& kv, const B& batch) {
  attention(q, kv, batch, AttentionParams{});
};
template <class A>
concept CanReduce = requires(A a) {
  all_reduce(std::move(a));
};
template <class A>
concept CanGather = requires(A a) {
  all_gather(std::move(a));
};
template <class... A>
concept CanSwiGlu = requires(const A&... a) {
  swiglu(a...);
};
template <class... A>
concept CanAddRmsNorm = requires(const A&... a) {
  add_rms_norm(a..., 1e-6f);
};

/// What must hold on a backend B, with tensors of another backend at hand.
template <class B, class Other>
struct Laws {
  using F = Tensor<B, Full>;
  using S = Tensor<B, Shard>;
  using P = Tensor<B, Partial>;
  using Foreign = Tensor<Other, Full>;
  using Experts = Matrices<B>;

  // Linear ops keep the layout, whichever it is; two layouts never mix.
  static_assert(CanAdd<F, F> && CanAdd<S, S> && CanAdd<P, P>);
  static_assert(!CanAdd<F, P> && !CanAdd<P, F> && !CanAdd<F, S> && !CanAdd<S, P>);
  static_assert(std::same_as<decltype(add(std::declval<P>(), std::declval<P>())), P>);
  static_assert(CanAddBias<F, F> && CanAddBias<S, S> && CanAddBias<P, F>);
  static_assert(CanCombine<P, F> && CanCombine<F, F> && CanCombine<S, F>);
  static_assert(!CanCombine<P, P> && !CanCombine<P, S>);
  static_assert(CanScale<F> && CanScale<S> && CanScale<P> && std::same_as<decltype(scale(std::declval<P>(), 1.f)), P>);
  static_assert(CanScaleRows<F, F> && CanScaleRows<S, F> && CanScaleRows<P, F> && !CanScaleRows<F, P> && !CanScaleRows<S, S>);
  static_assert(CanAddExpertBias<S, S, F> && CanAddExpertBias<P, F, F> && !CanAddExpertBias<S, S, S>);
  static_assert(std::same_as<decltype(combine_experts(std::declval<P>(), std::declval<F>())), P>);

  // Non-linear ops refuse a summand.
  static_assert(CanMul<F, F> && CanMul<S, S> && !CanMul<P, P> && !CanMul<F, P> && !CanMul<F, S>);
  static_assert(CanSilu<F> && CanSilu<S> && !CanSilu<P>);
  static_assert(CanActivate<F> && CanActivate<S> && !CanActivateSomehow<P>);
  static_assert(CanGeGlu<S, S> && !CanGeGlu<P, P> && !CanGeGlu<S, F>);
  static_assert(CanClampedSwiGlu<S, S> && !CanClampedSwiGlu<P, P> && !CanClampedSwiGlu<S, F>);
  static_assert(CanSliceHeads<F> && CanSliceHeads<S> && !CanSliceHeads<P>);
  static_assert(CanConcatHeads<F, F> && CanConcatHeads<S, S> && !CanConcatHeads<P, P> && !CanConcatHeads<F, S>);
  static_assert(CanSwiGlu<F, F> && CanSwiGlu<S, S> && !CanSwiGlu<P, P> && !CanSwiGlu<S, P> && !CanSwiGlu<F, S>);
  static_assert(CanRmsNorm<F, F> && !CanRmsNorm<P, F> && !CanRmsNorm<F, P>);
  static_assert(!CanRmsNorm<S, F>, "a row's mean square needs the whole row");
  static_assert(CanRmsNorm<F> && !CanRmsNorm<S> && !CanRmsNorm<P> && CanNormHeads<F> && CanNormHeads<S> && !CanNormHeads<P>);
  static_assert(CanLayerNorm<F, F> && !CanLayerNorm<S, F> && !CanLayerNorm<P, F>);
  static_assert(CanHeadNorm<F, F> && CanHeadNorm<S, F> && !CanHeadNorm<P, F> && !CanHeadNorm<S, S>);
  static_assert(CanRope<S, F> && CanRope<F, F> && !CanRope<P, F> && !CanRope<S, P>);
  static_assert(CanRopeTable<F, F> && !CanRopeTable<P, F> && !CanRopeTable<F, S>);
  static_assert(CanAppend<LayerState<B>, S, S, Batch<B>> && !CanAppend<LayerState<B>, P, P, Batch<B>> &&
                !CanAppend<LayerState<B>, S, F, Batch<B>>);
  static_assert(CanAttend<S, LayerState<B>, Batch<B>> && !CanAttend<P, LayerState<B>, Batch<B>>);
  static_assert(CanAddRmsNorm<F, F, F> && !CanAddRmsNorm<F, P, F> && !CanAddRmsNorm<P, P, F> && !CanAddRmsNorm<F, S, F> &&
                !CanAddRmsNorm<S, S, F>);
  static_assert(CanRoute<F> && !CanRoute<P> && !CanRoute<S>);
  static_assert(CanRouteWith<F, F> && CanRouteWith<F, std::nullopt_t> && !CanRouteWith<F, P> && !CanRouteWith<F, Foreign>);
  static_assert(CanScaleByPosition<S, F> && CanScaleByPosition<P, F> && !CanScaleByPosition<S, S> && !CanScaleByPosition<S, Foreign>);
  static_assert(CanEmbed<F, F> && !CanEmbed<P, F> && !CanEmbed<F, P>);
  static_assert(CanTakeRows<F, F> && !CanTakeRows<P, F> && !CanTakeRows<S, F>);

  // Products state the layout of their result; weights are this rank's own, never a summand.
  static_assert(CanMatmul<Shard, F, F> && CanMatmul<Partial, S, F> && !CanMatmul<Full, F, P> && !CanMatmul<Full, F, S>);
  static_assert(!CanMatmul<int, F, F>, "a layout is one of three");
  static_assert(CanBlockMatmul<Shard, F, F> && !CanBlockMatmul<Full, F, P>);
  static_assert(CanExpertMatmul<Shard, F, Experts, F> && !CanExpertMatmul<Shard, F, Experts, P> && !CanExpertMatmul<Shard, F, F, F>);

  // Collectives are the only way from Partial or Shard to Full.
  static_assert(CanReduce<P> && !CanReduce<F> && !CanReduce<S>);
  static_assert(CanGather<S> && !CanGather<F> && !CanGather<P>);
  static_assert(std::same_as<decltype(all_reduce(std::declval<P>())), F> && std::same_as<decltype(all_gather(std::declval<S>())), F>);
  static_assert(!std::is_constructible_v<F, P> && !std::is_constructible_v<F, S> && !std::is_constructible_v<P, F> &&
                !std::is_constructible_v<S, F>);
  static_assert(!std::is_assignable_v<F&, P> && !std::is_assignable_v<F&, S> && !std::is_assignable_v<P&, F> &&
                !std::is_assignable_v<S&, F>);

  // Two kinds of hardware never meet in one op.
  static_assert(!CanAdd<F, Foreign> && !CanMul<F, Foreign> && !CanMatmul<Full, F, Foreign> && !CanBlockMatmul<Full, F, Foreign>);
  static_assert(!CanExpertMatmul<Full, F, Matrices<Other>, F> && !CanExpertMatmul<Full, F, Experts, Foreign>);
  static_assert(!CanAddBias<F, Foreign> && !CanScaleRows<F, Foreign> && !CanLayerNorm<F, Foreign> && !CanConcatHeads<F, Foreign> &&
                !CanGeGlu<F, Foreign> && !CanAddExpertBias<F, Foreign, F> && !CanAddExpertBias<F, F, Foreign> && !CanRmsNorm<F, Foreign> &&
                !CanHeadNorm<F, Foreign> && !CanSwiGlu<F, Foreign>);
  static_assert(!CanAddRmsNorm<F, Foreign, F> && !CanAddRmsNorm<F, F, Foreign>);
  static_assert(!CanRope<S, Foreign> && !CanRopeTable<F, Foreign> && !CanEmbed<F, Foreign> && !CanTakeRows<F, Foreign> &&
                !CanCombine<F, Foreign>);
  static_assert(!CanAttend<S, LayerState<Other>, Batch<B>> && !CanAttend<S, LayerState<B>, Batch<Other>>);
  static_assert(!CanAppend<LayerState<Other>, S, S, Batch<B>> && !CanAppend<LayerState<B>, S, S, Batch<Other>>);
  static_assert(!std::is_constructible_v<F, Foreign> && !std::is_assignable_v<F&, Foreign>);
};
template struct Laws<Cpu, Trace>;
template struct Laws<Cpu, Cuda>;
template struct Laws<Trace, Cpu>;

// The support matrix: every op of ops/kernels.h runs on the CPU and on CUDA and is traced.
using C = Tensor<Cpu>;
using T = Tensor<Trace>;
using G = Tensor<Cuda>;
static_assert(HasKernel<RmsNorm, Cpu, C, C, C, float> && HasKernel<RmsNorm, Trace, T, T, T, float> &&
              HasKernel<RmsNorm, Cuda, G, G, G, float>);
static_assert(HasKernel<Add, Cpu, C, C, C> && HasKernel<Add, Trace, T, T, T> && HasKernel<Add, Cuda, G, G, G>);
static_assert(HasKernel<MatMul, Cpu, C, C, C> && HasKernel<MatMul, Trace, T, T, T> && HasKernel<MatMul, Cuda, G, G, G>);
static_assert(HasKernel<SwiGlu, Cpu, C, C, C> && HasKernel<SwiGlu, Cuda, G, G, G>);
static_assert(!HasKernel<SwiGlu, Trace, T, T, T>, "a block is traced as its parts");
static_assert(!HasKernel<Add, Cpu, C, C> && !HasKernel<Add, Cuda, G, C, C> && !HasKernel<Add, Cuda, G, G>, "other backends, too few");

}  // namespace
}  // namespace infernum

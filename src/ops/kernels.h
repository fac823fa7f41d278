// Which kernel exists for which backend: the support matrix of the engine. An op without a line for a backend does not compile there.
// T tokens, R sequences, H hidden size, Nq / Nkv query / key-value heads, D head dimension, V vocabulary, E experts, S experts per token.
// The Trace backend records every op through one template (backends/trace/trace.h), so it has no lines here.
#pragma once
#include <span>

#include "core/view.h"
#include "ops/costs.h"
#include "ops/params.h"

namespace infernum {

// ---- elementwise and rows -----------------------------------------------------------------------------------------------------------
// y = x * w / sqrt(mean(x^2) + eps) over the last dimension; w F32, or an empty view (no data) for ones; accumulates in f32.
struct RmsNorm {
  static constexpr auto name = "rms_norm";
};
void kernel(RmsNorm, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w, float eps);
void kernel(RmsNorm, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> w, float eps);

// y = (x - mean) / sqrt(variance + eps) * w over the last dimension; w F32; statistics in f32.
struct LayerNorm {
  static constexpr auto name = "layer_norm";
};
void kernel(LayerNorm, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w, float eps);
void kernel(LayerNorm, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> w, float eps);

struct Add {
  static constexpr auto name = "add";
};
void kernel(Add, Queue<Cpu>&, View<Cpu> y, View<Cpu> a, View<Cpu> b);
void kernel(Add, Queue<Cuda>&, View<Cuda> y, View<Cuda> a, View<Cuda> b);

struct Mul {
  static constexpr auto name = "mul";
};
void kernel(Mul, Queue<Cpu>&, View<Cpu> y, View<Cpu> a, View<Cpu> b);
void kernel(Mul, Queue<Cuda>&, View<Cuda> y, View<Cuda> a, View<Cuda> b);

struct Silu {
  static constexpr auto name = "silu";
};
void kernel(Silu, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(Silu, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);

// Of every element x: 1 / (1 + e^-x); the GELU in its tanh form and in its exact form; c * tanh(x / c); x kept within low..high; s * x.
struct Sigmoid {
  static constexpr auto name = "sigmoid";
};
void kernel(Sigmoid, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(Sigmoid, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);
struct GeluTanh {
  static constexpr auto name = "gelu_tanh";
};
void kernel(GeluTanh, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(GeluTanh, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);
struct Gelu {
  static constexpr auto name = "gelu";
};
void kernel(Gelu, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(Gelu, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);
struct Softcap {
  static constexpr auto name = "softcap";
};
void kernel(Softcap, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, float c);
void kernel(Softcap, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, float c);
struct Clamp {
  static constexpr auto name = "clamp";
};
void kernel(Clamp, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, float low, float high);
void kernel(Clamp, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, float low, float high);
struct Scale {
  static constexpr auto name = "scale";
};
void kernel(Scale, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, float s);
void kernel(Scale, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, float s);

// y (T, n) = x (T, n) with row t times s (T, 1)[t]; s of any float type.
struct ScaleRows {
  static constexpr auto name = "scale_rows";
};
void kernel(ScaleRows, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> s);
void kernel(ScaleRows, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> s);

// y (T, n) = x (T, n) times a factor that grows with the token's position; positions (T) I32.
struct PositionScale {
  static constexpr auto name = "position_scale";
};
void kernel(PositionScale, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> positions, PositionScaleParams);
void kernel(PositionScale, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> positions, PositionScaleParams);

// y = x + bias in every row; bias (last) F32.
struct AddBias {
  static constexpr auto name = "add_bias";
};
void kernel(AddBias, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> bias);
void kernel(AddBias, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> bias);

// y (T, H) = table[ids[t]]; table (V, H) of any dtype, blocks too; ids (T) I32.
struct Embed {
  static constexpr auto name = "embed";
  template <class V>
  static OpCost cost(const V& y, const V&, const V&) {
    return {0, 2. * double(y.bytes())};
  }
};
void kernel(Embed, Queue<Cpu>&, View<Cpu> y, View<Cpu> table, View<Cpu> ids);
void kernel(Embed, Queue<Cuda>&, View<Cuda> y, View<Cuda> table, View<Cuda> ids);

// y (n, H) = x[rows[i]]; rows (n) I32.
struct TakeRows {
  static constexpr auto name = "take_rows";
  template <class V>
  static OpCost cost(const V& y, const V&, const V&) {
    return {0, 2. * double(y.bytes())};
  }
};
void kernel(TakeRows, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> rows);
void kernel(TakeRows, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> rows);

// y (T, heads * width): columns offset .. offset + width of every head of x (T, heads * stride).
struct SliceHeads {
  static constexpr auto name = "slice_heads";
  template <class V>
  static OpCost cost(const V& y, const V&, int64_t, int64_t) {
    return {0, 2. * double(y.bytes())};
  }
};
void kernel(SliceHeads, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, int64_t heads, int64_t offset);
void kernel(SliceHeads, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, int64_t heads, int64_t offset);

// y (T, heads * (m + n)): every head of a (T, heads * m) followed by that of b (T, heads * n).
struct ConcatHeads {
  static constexpr auto name = "concat_heads";
  template <class V>
  static OpCost cost(const V& y, const V&, const V&, int64_t) {
    return {0, 2. * double(y.bytes())};
  }
};
void kernel(ConcatHeads, Queue<Cpu>&, View<Cpu> y, View<Cpu> a, View<Cpu> b, int64_t heads);
void kernel(ConcatHeads, Queue<Cuda>&, View<Cuda> y, View<Cuda> a, View<Cuda> b, int64_t heads);

// ---- rotary embeddings --------------------------------------------------------------------------------------------------------------
// table (T, d): cos in columns 0..d/2-1, sin behind, both times `scale`; angles = positions (T) I32 * inv_freq (d/2) F32, F32 throughout.
struct RopeTable {
  static constexpr auto name = "rope_table";
};
void kernel(RopeTable, Queue<Cpu>&, View<Cpu> table, View<Cpu> positions, View<Cpu> inv_freq, float scale);
void kernel(RopeTable, Queue<Cuda>&, View<Cuda> table, View<Cuda> positions, View<Cuda> inv_freq, float scale);

// y = x (T, heads * D) with the first d components of every head rotated.
struct Rope {
  static constexpr auto name = "rope";
};
void kernel(Rope, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> table, RopeParams);
void kernel(Rope, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> table, RopeParams);

// ---- matrix products ----------------------------------------------------------------------------------------------------------------
// y (m, n) = x (m, k) * w (n, k)^T; w F32, F16 or BF16; y of x's type or F32; accumulates in f32.
struct MatMul {
  static constexpr auto name = "matmul";
  template <class V>
  static OpCost cost(const V& y, const V& x, const V& w) {
    return matmul_cost(y, x, w);
  }
};
void kernel(MatMul, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w);
void kernel(MatMul, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> w);

// The same with w in GGUF blocks or in a backend's packed form of them; may quantise x to int8 blocks (docs/numerics.md).
struct BlockMatMul {
  static constexpr auto name = "block_matmul";
  template <class V>
  static OpCost cost(const V& y, const V& x, const V& w) {
    return matmul_cost(y, x, w);
  }
};
void kernel(BlockMatMul, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> w);
void kernel(BlockMatMul, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> w);

// y (T*S, n): row p = x (row p, or row p / S when x has T rows) * w[ids[p]]^T; w: E matrices (n, k) of one of the
// types above, each at an address of its own; ids (T, S) I32.
struct ExpertMatMul {
  static constexpr auto name = "expert_matmul";
  template <class V>
  static OpCost cost(const V& y, const V& x, std::span<const V> w, const V& ids) {
    return expert_matmul_cost(y, x, w, ids);
  }
};
void kernel(ExpertMatMul, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, std::span<const View<Cpu>> w, View<Cpu> ids);
void kernel(ExpertMatMul, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, std::span<const View<Cuda>> w, View<Cuda> ids);

// ids (T, n) I32: every row is 0 .. n - 1, so that ExpertMatMul multiplies head h with matrix h.
struct HeadIds {
  static constexpr auto name = "head_ids";
};
void kernel(HeadIds, Queue<Cpu>&, View<Cpu> ids);
void kernel(HeadIds, Queue<Cuda>&, View<Cuda> ids);

// ---- mixture of experts -------------------------------------------------------------------------------------------------------------
// Of logits (T, E) the S experts of every token: ids (T, S) I32 and weights (T, S) F32; bias (E) F32 or an empty view (no data).
struct Route {
  static constexpr auto name = "route";
  static constexpr int outputs = 2;
};
void kernel(Route, Queue<Cpu>&, View<Cpu> weights, View<Cpu> ids, View<Cpu> logits, View<Cpu> bias, RouteParams);
void kernel(Route, Queue<Cuda>&, View<Cuda> weights, View<Cuda> ids, View<Cuda> logits, View<Cuda> bias, RouteParams);

// y (T, H) = sum over s of weights (T, S)[t, s] * x (T*S, H)[t*S + s]; sums in f32.
struct CombineExperts {
  static constexpr auto name = "combine_experts";
};
void kernel(CombineExperts, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> weights);
void kernel(CombineExperts, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> weights);

// y (T*S, n): row p = x row p + bias (E, n) F32 [ids (T, S) I32 [p]].
struct AddExpertBias {
  static constexpr auto name = "add_expert_bias";
  template <class V>
  static OpCost cost(const V& y, const V& x, const V&, const V&) {
    return {double(y.elements()), double(y.bytes() + x.bytes()) + 4. * double(y.elements())};
  }
};
void kernel(AddExpertBias, Queue<Cpu>&, View<Cpu> y, View<Cpu> x, View<Cpu> bias, View<Cpu> ids);
void kernel(AddExpertBias, Queue<Cuda>&, View<Cuda> y, View<Cuda> x, View<Cuda> bias, View<Cuda> ids);

// ---- attention over the paged cache -------------------------------------------------------------------------------------------------
// Writes k and v (T, Nkv * D) to the cache slots of their positions. query_start (R + 1), positions (T), block_table (R, blocks): I32.
struct CacheAppend {
  static constexpr auto name = "cache_append";
  static constexpr int outputs = 2;
  template <class V>
  static OpCost cost(const V&, const V&, const V& k, const V& v, const V&, const V&, const V&) {
    return {0, 2. * double(k.bytes() + v.bytes())};
  }
};
void kernel(CacheAppend, Queue<Cpu>&, View<Cpu> k_cache, View<Cpu> v_cache, View<Cpu> k, View<Cpu> v, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table);
void kernel(CacheAppend, Queue<Cuda>&, View<Cuda> k_cache, View<Cuda> v_cache, View<Cuda> k, View<Cuda> v, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table);

// y (T, Nq * D) = softmax(scale * q * K^T, masked) * V for every sequence; sinks (Nq) F32 or an empty view (no data).
struct Attention {
  static constexpr auto name = "attention";
  template <class V>
  static OpCost cost(const V& y, const V& q, const V& k, const V& v, const V&, const V& start, const V&, const V&, AttentionParams p) {
    return attention_cost(y, q, k, v, start, p);
  }
};
void kernel(Attention, Queue<Cpu>&, View<Cpu> y, View<Cpu> q, View<Cpu> k_cache, View<Cpu> v_cache, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table, View<Cpu> sinks, AttentionParams);
void kernel(Attention, Queue<Cuda>&, View<Cuda> y, View<Cuda> q, View<Cuda> k_cache, View<Cuda> v_cache, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table, View<Cuda> sinks, AttentionParams);

// Writes [c (T, R) | kr (T, P)] to the rows of latent (blocks, block_tokens, R + P) at their positions.
struct LatentAppend {
  static constexpr auto name = "latent_append";
  template <class V>
  static OpCost cost(const V&, const V& c, const V& kr, const V&, const V&, const V&) {
    return {0, 2. * double(c.bytes() + kr.bytes())};
  }
};
void kernel(LatentAppend, Queue<Cpu>&, View<Cpu> latent, View<Cpu> c, View<Cpu> kr, View<Cpu> positions, View<Cpu> query_start,
            View<Cpu> block_table);
void kernel(LatentAppend, Queue<Cuda>&, View<Cuda> latent, View<Cuda> c, View<Cuda> kr, View<Cuda> positions, View<Cuda> query_start,
            View<Cuda> block_table);

// y (T, Nq * R) = softmax(scale * q * [c | kr]^T, causal) * c; q (T, Nq * (R + P)): every head reads the same rows.
struct LatentAttention {
  static constexpr auto name = "latent_attention";
  template <class V>
  static OpCost cost(const V& y, const V& q, const V& latent, const V&, const V& start, const V&, LatentParams p) {
    return latent_attention_cost(y, q, latent, start, p);
  }
};
void kernel(LatentAttention, Queue<Cpu>&, View<Cpu> y, View<Cpu> q, View<Cpu> latent, View<Cpu> positions, View<Cpu> query_start,
            View<Cpu> block_table, LatentParams);
void kernel(LatentAttention, Queue<Cuda>&, View<Cuda> y, View<Cuda> q, View<Cuda> latent, View<Cuda> positions, View<Cuda> query_start,
            View<Cuda> block_table, LatentParams);

// ---- recurrent layers ---------------------------------------------------------------------------------------------------------------
// State lives in slots that the block table names: see ops/recurrent.h. positions, query_start and block_table as in attention.
// y (T, C) = silu(causal convolution of x (T, C) with weight (C, K) F32); state (slots, K - 1, C) F32: the last inputs.
struct CausalConv {
  static constexpr auto name = "causal_conv";
  static constexpr int outputs = 2;
  template <class V>
  static OpCost cost(const V& y, const V& state, const V& x, const V& weight, const V&, const V& start, const V&) {
    return causal_conv_cost(y, state, x, weight, start);
  }
};
void kernel(CausalConv, Queue<Cpu>&, View<Cpu> y, View<Cpu> state, View<Cpu> x, View<Cpu> weight, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table);
void kernel(CausalConv, Queue<Cuda>&, View<Cuda> y, View<Cuda> state, View<Cuda> x, View<Cuda> weight, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table);

// g = a_neg * softplus(a + dt_bias), beta = sigmoid(b): all (T, Hv) but a_neg, dt_bias (Hv); outputs and vectors F32.
struct DeltaGateValues {
  static constexpr auto name = "delta_gates";
  static constexpr int outputs = 2;
};
void kernel(DeltaGateValues, Queue<Cpu>&, View<Cpu> g, View<Cpu> beta, View<Cpu> a, View<Cpu> b, View<Cpu> a_neg, View<Cpu> dt_bias);
void kernel(DeltaGateValues, Queue<Cuda>&, View<Cuda> g, View<Cuda> beta, View<Cuda> a, View<Cuda> b, View<Cuda> a_neg, View<Cuda> dt_bias);

// o (T, Hv * dv): the gated delta rule over q, k (T, Hk * dk), v (T, Hv * dv), g, beta (T, Hv) F32; state (slots, Hv, dk, dv) F32.
struct GatedDelta {
  static constexpr auto name = "gated_delta";
  static constexpr int outputs = 2;
  template <class V>
  static OpCost cost(const V& o, const V& state, const V& q, const V& k, const V& v, const V& g, const V& beta, const V&, const V& start,
                     const V&, DeltaParams) {
    return gated_delta_cost(o, state, q, k, v, g, beta, start);
  }
};
void kernel(GatedDelta, Queue<Cpu>&, View<Cpu> o, View<Cpu> state, View<Cpu> q, View<Cpu> k, View<Cpu> v, View<Cpu> g, View<Cpu> beta,
            View<Cpu> positions, View<Cpu> query_start, View<Cpu> block_table, DeltaParams);
void kernel(GatedDelta, Queue<Cuda>&, View<Cuda> o, View<Cuda> state, View<Cuda> q, View<Cuda> k, View<Cuda> v, View<Cuda> g,
            View<Cuda> beta, View<Cuda> positions, View<Cuda> query_start, View<Cuda> block_table, DeltaParams);

// ---- collectives --------------------------------------------------------------------------------------------------------------------
// x becomes the sum over all ranks. y (rows, ranks * n) = the shards x (rows, n) of all ranks side by side.
struct AllReduce {
  static constexpr auto name = "all_reduce";
};
void kernel(AllReduce, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(AllReduce, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);
struct AllGather {
  static constexpr auto name = "all_gather";
};
void kernel(AllGather, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(AllGather, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);

// ---- blocks with a fused form (blocks/*.h) --------------------------------------------------------------------------------------------
struct SwiGlu;
void kernel(SwiGlu, Queue<Cpu>&, View<Cpu> y, View<Cpu> gate, View<Cpu> up);
void kernel(SwiGlu, Queue<Cuda>&, View<Cuda> y, View<Cuda> gate, View<Cuda> up);
struct GeGlu;
void kernel(GeGlu, Queue<Cpu>&, View<Cpu> y, View<Cpu> gate, View<Cpu> up);
void kernel(GeGlu, Queue<Cuda>&, View<Cuda> y, View<Cuda> gate, View<Cuda> up);
struct ClampedSwiGlu;
void kernel(ClampedSwiGlu, Queue<Cpu>&, View<Cpu> y, View<Cpu> gate, View<Cpu> up, float alpha, float limit);
void kernel(ClampedSwiGlu, Queue<Cuda>&, View<Cuda> y, View<Cuda> gate, View<Cuda> up, float alpha, float limit);
struct AddRmsNorm;
void kernel(AddRmsNorm, Queue<Cpu>&, View<Cpu> sum, View<Cpu> y, View<Cpu> h, View<Cpu> x, View<Cpu> w, float eps);
void kernel(AddRmsNorm, Queue<Cuda>&, View<Cuda> sum, View<Cuda> y, View<Cuda> h, View<Cuda> x, View<Cuda> w, float eps);
struct RopeAppend;
void kernel(RopeAppend, Queue<Cuda>&, View<Cuda> y, View<Cuda> q, View<Cuda> k, View<Cuda> v, View<Cuda> table, View<Cuda> k_cache,
            View<Cuda> v_cache, View<Cuda> positions, View<Cuda> query_start, View<Cuda> block_table, RopeParams);

}  // namespace infernum

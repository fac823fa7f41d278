// Gated DeltaNet (Yang et al. 2024): a token mixer whose memory is one matrix per head, decayed and corrected by every token, so that a
// sequence costs the same however long it is.
#pragma once
#include <cmath>
#include <variant>

#include "blocks/swiglu.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/step.h"
#include "ops/recurrent.h"
#include "ops/rows.h"

namespace infernum {

struct DeltaNetShape {
  int64_t hidden_size, key_heads, value_heads, key_dim, value_dim;
  int64_t conv_taps;         ///< inputs that the short convolution sees
  bool fused = false;        ///< q, k, v and z of a key head lie together in one matrix, b and a in another
  bool tiled_heads = false;  ///< value head h belongs to key head h mod key_heads; otherwise the value heads of a key head are neighbours
  float eps = 1e-6f;

  int64_t keys() const { return key_heads * key_dim; }
  int64_t values() const { return value_heads * value_dim; }
};

/// What the projections give for every token.
template <class B>
struct DeltaNetInputs {
  Tensor<B, Shard> q, k;  ///< (T, Hk * dk)
  Tensor<B, Shard> v, z;  ///< (T, Hv * dv): values and the gate of the output
};
/// Before the nonlinearities of the gates, (T, Hv).
template <class B>
struct DeltaNetGates {
  Tensor<B, Shard> b, a;
};

/// A matrix for each of q, k and v (rows of one) and z.
template <class B>
struct SplitDeltaInputs {
  ColLinear<B> q, k, v, z;
  SplitDeltaInputs(const Weights<B>& w, const DeltaNetShape& s)
      : q(w / "in_proj_qkv", 2 * s.keys() + s.values(), 0, s.keys(), s.hidden_size),
        k(w / "in_proj_qkv", 2 * s.keys() + s.values(), s.keys(), s.keys(), s.hidden_size),
        v(w / "in_proj_qkv", 2 * s.keys() + s.values(), 2 * s.keys(), s.values(), s.hidden_size),
        z(w / "in_proj_z", s.values(), s.hidden_size) {}
  DeltaNetInputs<B> operator()(const Tensor<B>& x) const { return {q(x), k(x), v(x), z(x)}; }
};

/// One matrix: rows q | k | v | z of one key head after the other.
template <class B>
struct FusedDeltaInputs {
  ColLinear<B> qkvz;
  int64_t dk, values;  ///< components of a key head, and of its value heads together
  int64_t heads;       ///< key heads of this rank
  FusedDeltaInputs(const Weights<B>& w, const DeltaNetShape& s)
      : qkvz(w / "in_proj_qkvz", 2 * s.keys() + 2 * s.values(), s.hidden_size),
        dk(s.key_dim),
        values(s.values() / s.key_heads),
        heads(s.key_heads / w.device().ranks) {}
  DeltaNetInputs<B> operator()(const Tensor<B>& x) const {
    const auto m = qkvz(x);
    return {slice_heads(m, heads, 0, dk), slice_heads(m, heads, dk, dk), slice_heads(m, heads, 2 * dk, values),
            slice_heads(m, heads, 2 * dk + values, values)};
  }
};

template <class B>
struct SplitDeltaGates {
  ColLinear<B> b, a;
  SplitDeltaGates(const Weights<B>& w, const DeltaNetShape& s)
      : b(w / "in_proj_b", s.value_heads, s.hidden_size), a(w / "in_proj_a", s.value_heads, s.hidden_size) {}
  DeltaNetGates<B> operator()(const Tensor<B>& x) const { return {b(x), a(x)}; }
};

/// One matrix: rows b | a of one key head after the other.
template <class B>
struct FusedDeltaGates {
  ColLinear<B> ba;
  int64_t group, heads;  ///< value heads of a key head, key heads of this rank
  FusedDeltaGates(const Weights<B>& w, const DeltaNetShape& s)
      : ba(w / "in_proj_ba", 2 * s.value_heads, s.hidden_size), group(s.value_heads / s.key_heads), heads(s.key_heads / w.device().ranks) {}
  DeltaNetGates<B> operator()(const Tensor<B>& x) const {
    const auto m = ba(x);
    return {slice_heads(m, heads, 0, group), slice_heads(m, heads, group, group)};
  }
};

/// A depthwise convolution over the last inputs of some channels of a fused weight (channels, 1, taps).
template <class B>
struct ShortConvolution {
  Tensor<B, Shard> weight;  ///< (n / ranks, taps) F32
  ShortConvolution(const Weights<B>& w, int64_t channels, int64_t taps, int64_t first, int64_t n)
      : weight(load(w.device(), w.stored("weight", {channels, 1, taps}), taps, first, n)) {}
  StatePart state(std::string_view name) const { return {name, {weight.shape()[1] - 1, weight.shape()[0]}, /*exact=*/true}; }

 private:
  static Tensor<B, Shard> load(Device<B>& device, StoredTensor t, int64_t taps, int64_t first, int64_t n) {
    t.shape = {t.shape[0], taps};
    return relabel<Shard>(place_f32(device, split(slice_rows(t, first, first + n), Split::Rows, device.rank, device.ranks)));
  }
};

template <class B>
struct GatedDeltaNet {
  DeltaNetShape shape;
  std::variant<SplitDeltaInputs<B>, FusedDeltaInputs<B>> inputs;
  std::variant<SplitDeltaGates<B>, FusedDeltaGates<B>> gates;
  ShortConvolution<B> conv_q, conv_k, conv_v;
  Tensor<B, Shard> decay, dt_bias;  ///< (Hv): -exp(A_log), and the bias of the step size
  HeadNorm<B> norm;
  RowLinear<B> out_proj;

  GatedDeltaNet(const Weights<B>& w, const DeltaNetShape& s)
      : shape(checked(s, w.device().ranks)),
        inputs(make_inputs(w, s)),
        gates(make_gates(w, s)),
        conv_q(w / "conv1d", 2 * s.keys() + s.values(), s.conv_taps, 0, s.keys()),
        conv_k(w / "conv1d", 2 * s.keys() + s.values(), s.conv_taps, s.keys(), s.keys()),
        conv_v(w / "conv1d", 2 * s.keys() + s.values(), s.conv_taps, 2 * s.keys(), s.values()),
        decay(w.vector_part("A_log", s.value_heads, [](float a_log) { return -std::exp(a_log); })),
        dt_bias(w.vector_part("dt_bias", s.value_heads)),
        norm(w / "norm", s.value_dim, s.eps),
        out_proj(w / "out_proj", s.hidden_size, s.values()) {}

  SequenceState state() const {
    const int64_t heads = decay.shape()[0];
    return {{Retention::Kind::Recurrent},
            {conv_q.state("conv_q"),
             conv_k.state("conv_k"),
             conv_v.state("conv_v"),
             {"delta_state", {heads, shape.key_dim, shape.value_dim}, /*exact=*/true}}};
  }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& state) const {
    const auto project = [&](const auto& projection) { return projection(x); };
    const auto in = std::visit(project, inputs);
    const auto gate = std::visit(project, gates);
    const auto q = causal_conv(in.q, conv_q.weight, state[0], step.batch, state.group);
    const auto k = causal_conv(in.k, conv_k.weight, state[1], step.batch, state.group);
    const auto v = causal_conv(in.v, conv_v.weight, state[2], step.batch, state.group);
    const auto [g, beta] = delta_gates(gate.a, gate.b, decay, dt_bias);
    const auto o = gated_delta(q, k, v, g, beta, state[3], step.batch, state.group, DeltaParams{shape.tiled_heads});
    return out_proj(swiglu(in.z, norm(o)));
  }

 private:
  /// GGUF splits the fused inputs, but not the gates.
  static decltype(inputs) make_inputs(const Weights<B>& w, const DeltaNetShape& s) {
    if (s.fused && !w.has("in_proj_qkv.weight")) return FusedDeltaInputs<B>(w, s);
    return SplitDeltaInputs<B>(w, s);
  }
  static decltype(gates) make_gates(const Weights<B>& w, const DeltaNetShape& s) {
    if (s.fused) return FusedDeltaGates<B>(w, s);
    return SplitDeltaGates<B>(w, s);
  }
  static const DeltaNetShape& checked(const DeltaNetShape& s, int ranks) {
    check(s.value_heads % s.key_heads == 0, "linear attention: value heads must divide into groups of key heads", s.value_heads,
          s.key_heads);
    check(s.key_heads % ranks == 0, "tensor parallelism: key heads of linear attention must divide among the ranks", s.key_heads, ranks);
    check(ranks == 1 || !s.tiled_heads, "tensor parallelism: this file's order of value heads does not divide among ranks", ranks);
    check(s.conv_taps >= 2 && s.conv_taps <= 64, "linear attention: the convolution sees 2 to 64 inputs", s.conv_taps);
    return s;
  }
};

}  // namespace infernum

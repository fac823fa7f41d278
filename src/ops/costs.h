// FLOPs and bytes of the ops whose cost is not simply the size of their arguments. Used by traces and by floors in benchmarks.
#pragma once
#include <span>

#include "core/view.h"
#include "ops/params.h"

namespace infernum {

struct OpCost {
  double flops = 0, bytes = 0;
};

template <class V>
OpCost matmul_cost(const V& y, const V& x, const V& w) {
  return {2. * double(y.elements()) * double(x.cols()), double(y.bytes() + x.bytes() + w.bytes())};
}

/// Reads each chosen expert once: at most one per (token, slot) pair.
template <class V>
OpCost expert_matmul_cost(const V& y, const V& x, std::span<const V> w, const V& ids) {
  const double experts = double(w.size()), pairs = double(ids.elements()), read = pairs < experts ? pairs : experts;
  return {2. * double(y.elements()) * double(x.cols()), double(y.bytes() + x.bytes()) + double(w.front().bytes()) * read};
}

/// Takes every sequence to be as long as the longest: token i of n reads context - n + i + 1 keys, or the window.
template <class V>
OpCost attention_cost(const V& y, const V& q, const V& k, const V& v, const V& query_start, AttentionParams p) {
  const double tokens = double(y.rows()), sequences = double(query_start.size[0] - 1), n = tokens / sequences, context = double(p.context);
  double keys = context - (n - 1) / 2, read = context;
  if (p.window > 0 && keys > p.window) keys = p.window;
  if (p.window > 0 && read > p.window + n - 1) read = p.window + n - 1;
  if (p.chunk > 0) {  // a decode step knows how far into its chunk it is; longer steps are taken to fill it
    const double most = n > 1 ? double(p.chunk) : double((p.context - 1) % p.chunk + 1);
    if (keys > most) keys = most;
    if (read > most + n - 1) read = most + n - 1;
  }
  const double per_token = double(k.bytes() + v.bytes()) / double(k.size[0]) / double(k.size[3]);
  return {4. * keys * double(y.elements()), double(y.bytes() + q.bytes()) + sequences * read * per_token};
}

/// The same over rows that all heads share.
template <class V>
OpCost latent_attention_cost(const V& y, const V& q, const V& latent, const V& query_start, LatentParams p) {
  const double sequences = double(query_start.size[0] - 1), n = double(y.rows()) / sequences, context = double(p.context);
  const double keys = context - (n - 1) / 2, per_token = double(latent.bytes()) / double(latent.size[0] * latent.size[1]);
  return {2. * keys * double(q.elements() + y.elements()), double(y.bytes() + q.bytes()) + sequences * context * per_token};
}

/// Each sequence reads and writes one slot; the states kept at the ends of blocks on the way are not counted.
template <class V>
OpCost causal_conv_cost(const V& y, const V& state, const V& x, const V& weight, const V& query_start) {
  const double sequences = double(query_start.size[0] - 1), slot = double(state.bytes()) / double(state.size[0]);
  return {2. * double(y.elements() * weight.cols()), double(y.bytes() + x.bytes() + weight.bytes()) + 2 * sequences * slot};
}

/// Seven operations per element of the state and token: decay, read, write, read.
template <class V>
OpCost gated_delta_cost(const V& o, const V& state, const V& q, const V& k, const V& v, const V& g, const V& beta, const V& query_start) {
  const double sequences = double(query_start.size[0] - 1), slot = double(state.bytes()) / double(state.size[0]);
  const double elements = double(state.elements()) / double(state.size[0]);
  return {7. * double(o.rows()) * elements,
          double(o.bytes() + q.bytes() + k.bytes() + v.bytes() + g.bytes() + beta.bytes()) + 2 * sequences * slot};
}

}  // namespace infernum

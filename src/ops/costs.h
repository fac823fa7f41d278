// FLOPs and bytes of the ops whose cost is not simply the size of their arguments. Used by traces and by floors in benchmarks.
#pragma once
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
OpCost expert_matmul_cost(const V& y, const V& x, const V& w, const V& ids) {
  const double experts = double(w.size[0]), pairs = double(ids.elements()), read = pairs < experts ? pairs : experts;
  return {2. * double(y.elements()) * double(x.cols()), double(y.bytes() + x.bytes()) + double(w.bytes()) / experts * read};
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

}  // namespace infernum

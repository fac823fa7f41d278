// CausalConv, DeltaGateValues and GatedDelta. The delta rule runs token by token with a strip of the state's columns in L1: with plain
// multiply-adds the chunked form (64 tokens at once) costs as many operations, and this one needs no solve.
// Bound by FLOPs for many tokens; for one token by the bytes of the state.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/queue.h"
#include "ops/cpu/recurrent_ops.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/state_slots.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

constexpr int64_t conv_channels = 256;  // per task: a line of cache per thread and tap at least

std::vector<StateSlots> all_slots(const View<Cpu>& positions, const View<Cpu>& query_start, const View<Cpu>& block_table, int64_t slots) {
  std::vector<StateSlots> all;
  for (int64_t s = 0; s + 1 < query_start.cols(); s++) {
    all.push_back(state_slots(s, positions, query_start, block_table, slots));
    if (all.back().first == all.back().end) all.pop_back();
  }
  return all;
}

/// Channels begin .. begin + n - 1 of one sequence. The last `taps` inputs are kept in rows that take turns.
class ConvTask {
 public:
  ConvTask(const RowOps& rows, const RecurrentOps& ops, View<Cpu> y, View<Cpu> state, View<Cpu> x, View<Cpu> weight, int64_t begin,
           int64_t n)
      : rows_(rows), ops_(ops), y_(y), state_(state), x_(x), begin_(begin), n_(n), taps_(weight.cols()) {
    w_.resize(static_cast<size_t>(taps_ * n));
    for (int64_t c = 0; c < n; c++)
      for (int64_t j = 0; j < taps_; j++) w_[static_cast<size_t>(j * n + c)] = weight.row<const float>(begin + c)[j];
    inputs_.resize(static_cast<size_t>(taps_ * n));
    out_.resize(static_cast<size_t>(n));
  }

  void run(const StateSlots& s) {
    std::vector<float*> u;  // oldest first; the last one is the token's own
    for (int64_t j = 0; j < taps_; j++) u.push_back(inputs_.data() + j * n_);
    for (int64_t j = 0; j + 1 < taps_; j++) {
      float* to = u[static_cast<size_t>(j + 1)];
      if (s.initial() < 0)
        std::fill_n(to, n_, 0.f);
      else
        std::copy_n(slot_row(s.initial(), j), n_, to);
    }
    int64_t stored = s.next_stored(s.first);
    for (int64_t t = s.first; t < s.end; t++) {
      std::rotate(u.begin(), u.begin() + 1, u.end());
      rows_.to_f32(u.back(), x_.row_bytes(t) + bytes_of(x_.dtype, begin_), x_.dtype, n_);
      ops_.conv(out_.data(), u.data(), w_.data(), taps_, n_);
      rows_.from_f32(y_.row_bytes(t) + bytes_of(y_.dtype, begin_), y_.dtype, out_.data(), n_);
      if (t != stored) continue;
      for (int64_t j = 0; j + 1 < taps_; j++) std::copy_n(u[static_cast<size_t>(j + 1)], n_, slot_row(s.slot_after(t), j));
      if (t + 1 < s.end) stored = s.next_stored(t + 1);
    }
  }

 private:
  float* slot_row(int64_t slot, int64_t j) const { return state_.as<float>() + (slot * (taps_ - 1) + j) * state_.cols() + begin_; }

  const RowOps& rows_;
  const RecurrentOps& ops_;
  View<Cpu> y_, state_, x_;
  int64_t begin_, n_, taps_;
  std::vector<float> w_, inputs_, out_;  // (taps, n), (taps, n), (n)
};

}  // namespace

void kernel(CausalConv, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> state, View<Cpu> x, View<Cpu> weight, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table) {
  const std::vector<StateSlots> sequences = all_slots(positions, query_start, block_table, state.size[0]);
  const int64_t pieces = (x.cols() + conv_channels - 1) / conv_channels;
  queue.parallel_for(static_cast<int64_t>(sequences.size()) * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t channel = i % pieces * conv_channels, n = std::min(conv_channels, x.cols() - channel);
      ConvTask(row_ops(queue.isa), recurrent_ops(queue.isa), y, state, x, weight, channel, n)
          .run(sequences[static_cast<size_t>(i / pieces)]);
    }
  });
}

void kernel(DeltaGateValues, Queue<Cpu>& queue, View<Cpu> g, View<Cpu> beta, View<Cpu> a, View<Cpu> b, View<Cpu> a_neg, View<Cpu> dt_bias) {
  const RowOps& rows = row_ops(queue.isa);
  const RecurrentOps& ops = recurrent_ops(queue.isa);
  queue.parallel_for(a.rows(), 32, [&](int64_t begin, int64_t end) {
    std::vector<float> a_row, b_row;
    for (int64_t t = begin; t < end; t++)
      ops.gates(g.row<float>(t), beta.row<float>(t), read_row(rows, a, t, a_row), read_row(rows, b, t, b_row), a_neg.as<const float>(),
                dt_bias.as<const float>(), a.cols());
  });
}

namespace {

/// What the delta rule reads and writes, as f32: queries and keys of length 1 (Hk, T, dk); values and outputs (T, Hv * dv), in place or
/// copied.
struct DeltaRows {
  float *q, *k;
  const float* v;
  float* o;
  int64_t v_stride, o_stride;
};

DeltaRows delta_rows(Queue<Cpu>& queue, View<Cpu> o, View<Cpu> q, View<Cpu> k, View<Cpu> v, int64_t dk) {
  const RowOps& rows = row_ops(queue.isa);
  const RecurrentOps& ops = recurrent_ops(queue.isa);
  const int64_t tokens = v.rows(), key_heads = q.cols() / dk;
  const bool in_place = v.dtype == DType::F32;
  DeltaRows d{nullptr, nullptr, v.as<const float>(), o.as<float>(), v.stride, o.stride};
  float* wide_v = nullptr;
  const auto lay_out = [&](Carver carver) {
    d.q = carver.take<float>(tokens * q.cols());
    d.k = carver.take<float>(tokens * q.cols());
    if (!in_place) {
      wide_v = carver.take<float>(tokens * v.cols());
      d.o = carver.take<float>(tokens * v.cols());
    }
    return carver.bytes();
  };
  lay_out(Carver(queue.scratch.get(lay_out(Carver(nullptr)))));
  if (!in_place) {
    d.v = wide_v;
    d.v_stride = d.o_stride = v.cols();
  }
  queue.parallel_for(tokens, 8, [&](int64_t begin, int64_t end) {
    std::vector<float> q_row, k_row;
    for (int64_t t = begin; t < end; t++) {
      const float *q_in = read_row(rows, q, t, q_row), *k_in = read_row(rows, k, t, k_row);
      for (int64_t h = 0; h < key_heads; h++) {
        ops.unit_length(d.q + (h * tokens + t) * dk, q_in + h * dk, dk, 1 / std::sqrt(static_cast<float>(dk)));
        ops.unit_length(d.k + (h * tokens + t) * dk, k_in + h * dk, dk, 1);
      }
      if (!in_place) rows.to_f32(wide_v + t * v.cols(), v.row_bytes(t), v.dtype, v.cols());
    }
  });
  return d;
}

}  // namespace

void kernel(GatedDelta, Queue<Cpu>& queue, View<Cpu> o, View<Cpu> state, View<Cpu> q, View<Cpu> k, View<Cpu> v, View<Cpu> g, View<Cpu> beta,
            View<Cpu> positions, View<Cpu> query_start, View<Cpu> block_table, DeltaParams p) {
  const RowOps& rows = row_ops(queue.isa);
  const RecurrentOps& ops = recurrent_ops(queue.isa);
  const std::vector<StateSlots> sequences = all_slots(positions, query_start, block_table, state.size[0]);
  const int64_t tokens = v.rows(), heads = state.size[1], dk = state.size[2], dv = state.size[3], key_heads = q.cols() / dk;
  const DeltaRows d = delta_rows(queue, o, q, k, v, dk);
  const int64_t strips = (dv + ops.delta_columns - 1) / ops.delta_columns;
  // Few tokens: the strips of a head go to one thread, which reads its state as whole pages.
  queue.parallel_for(static_cast<int64_t>(sequences.size()) * heads * strips, tokens < 64 ? strips : 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<size_t>(dk * ops.delta_columns));
    for (int64_t i = begin; i < end; i++) {
      const StateSlots& s = sequences[static_cast<size_t>(i / (heads * strips))];
      const int64_t h = i / strips % heads, column = i % strips * ops.delta_columns;
      const int64_t key_head = p.tiled_heads ? h % key_heads : h / (heads / key_heads);
      const auto at = [&](int64_t slot) { return state.as<float>() + (slot * heads + h) * dk * dv + column; };
      DeltaRun r{};
      r.q = d.q + key_head * tokens * dk;
      r.k = d.k + key_head * tokens * dk;
      r.v = d.v + h * dv + column;
      r.g = g.as<const float>() + h;
      r.beta = beta.as<const float>() + h;
      r.o = d.o + h * dv + column;
      r.q_stride = r.dk = dk;
      r.v_stride = d.v_stride;
      r.g_stride = g.stride;
      r.beta_stride = beta.stride;
      r.o_stride = d.o_stride;
      r.begin = r.end = s.first;
      r.columns = std::min(ops.delta_columns, dv - column);
      r.from = s.initial() < 0 ? nullptr : at(s.initial());
      r.state_stride = dv;
      r.scratch = scratch.data();
      for (; r.end < s.end; r.begin = r.end, r.from = r.to) {
        const int64_t last = s.next_stored(r.begin);
        r.end = last + 1;
        r.to = at(s.slot_after(last));
        ops.delta(r);
      }
    }
  });
  if (d.o == o.data) return;
  queue.parallel_for(tokens, 8, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) rows.from_f32(o.row_bytes(t), o.dtype, d.o + t * d.o_stride, v.cols());
  });
}

}  // namespace infernum

// Made-up sequences for tests of recurrent layers, with the outputs and states that the definitions give in double precision.
#pragma once
#include <cmath>
#include <memory>

#include "core/half.h"
#include "ops/recurrent.h"
#include "ops/test_support.h"

namespace infernum::test {

inline float rounded(float x, DType to) {
  return to == DType::F32 ? x : to == DType::F16 ? static_cast<float>(F16(x)) : static_cast<float>(BF16(x));
}

inline std::vector<float> rounded_values(int64_t n, int seed, DType to, float scale = 1) {
  auto v = random_values(n, seed, scale);
  for (float& x : v) x = rounded(x, to);
  return v;
}

/// Tokens first .. first + tokens - 1 of a sequence.
struct Piece {
  int sequence, first, tokens;
};

inline constexpr int64_t table_columns = 9;  // 144 tokens

template <class B>
Batch<B> batch_of(Fixture<B>& on, const std::vector<Piece>& pieces, const std::vector<int32_t>& table) {
  std::vector<int32_t> positions, start{0};
  for (const Piece& p : pieces) {
    for (int i = 0; i < p.tokens; i++) positions.push_back(p.first + i);
    start.push_back(static_cast<int32_t>(positions.size()));
  }
  Batch<B> batch{on.ints(positions), on.ints(positions), on.ints(start), {}, on.ints({0}), 0};
  batch.block_tables.push_back(from_host(on.device, {static_cast<int64_t>(pieces.size()), table_columns}, table));
  return batch;
}

/// Rows (width) of a sequence's tokens for the pieces, one behind the other.
inline std::vector<float> gather(const std::vector<std::vector<float>>& all, const std::vector<Piece>& pieces, int64_t width) {
  std::vector<float> rows;
  for (const Piece& p : pieces) {
    const auto from = all[static_cast<size_t>(p.sequence)].begin() + p.first * width;
    rows.insert(rows.end(), from, from + p.tokens * width);
  }
  return rows;
}

/// One recurrent op over made-up sequences. Every token's output and the state behind it follow from the definition.
template <class B>
class Mixer {
 public:
  virtual ~Mixer() = default;
  virtual Tensor<B> new_state(int64_t slots) = 0;
  virtual std::vector<float> run(const std::vector<Piece>& pieces, const std::vector<int32_t>& table, const Tensor<B>& state) = 0;
  virtual double want(int sequence, int token, int64_t column) = 0;
  virtual double want_state(int sequence, int token, int64_t element) = 0;
  int64_t width = 0, slot = 0;  // columns of the output, elements of a slot
  DType dtype = DType::F32;
  double tolerance(double value) const { return 1e-5 + std::abs(value) * (dtype == DType::F32 ? 1e-5 : unit_roundoff(dtype) * 1.01); }
};

inline constexpr int longest = 130;
inline constexpr int mixed_sequences = 4;

template <class B>
class Convolution : public Mixer<B> {
 public:
  using Mixer<B>::width, Mixer<B>::slot, Mixer<B>::dtype;
  Convolution(Fixture<B>& on, DType type, int64_t channels, int64_t taps) : on_(on), channels_(channels), taps_(taps) {
    width = channels;
    slot = (taps - 1) * channels;
    dtype = type;
    for (int s = 0; s < mixed_sequences; s++) x_.push_back(rounded_values(longest * channels, s, type));
    w_ = random_values(channels * taps, 99);
  }
  Tensor<B> new_state(int64_t slots) override { return on_.filled({slots, taps_ - 1, channels_}, DType::F32, NAN); }
  std::vector<float> run(const std::vector<Piece>& pieces, const std::vector<int32_t>& table, const Tensor<B>& state) override {
    const auto batch = batch_of(on_, pieces, table);
    const auto x = on_.template tensor<Shard>({batch.ids.shape()[0], channels_}, dtype, gather(x_, pieces, channels_));
    const auto w = on_.template tensor<Shard>({channels_, taps_}, DType::F32, w_);
    poison(on_.queue, x.shape(), dtype);
    return to_host(on_.queue, causal_conv(x, w, state, batch, 0).view());
  }
  double input(int sequence, int token, int64_t c) const {
    return token < 0 ? 0 : static_cast<double>(x_[static_cast<size_t>(sequence)][static_cast<size_t>(token * channels_ + c)]);
  }
  double want(int sequence, int token, int64_t c) override {
    double sum = 0;
    for (int64_t j = 0; j < taps_; j++)
      sum += static_cast<double>(w_[static_cast<size_t>(c * taps_ + j)]) * input(sequence, token - static_cast<int>(taps_ - 1 - j), c);
    return sum / (1 + std::exp(-sum));
  }
  double want_state(int sequence, int token, int64_t element) override {
    return input(sequence, token - static_cast<int>(taps_ - 2 - element / channels_), element % channels_);
  }

 private:
  Fixture<B>& on_;
  int64_t channels_, taps_;
  std::vector<std::vector<float>> x_;
  std::vector<float> w_;
};

struct DeltaShape {
  int64_t key_heads, heads, dk, dv;
  bool tiled;
};

template <class B>
class Delta : public Mixer<B> {
 public:
  using Mixer<B>::width, Mixer<B>::slot, Mixer<B>::dtype;
  Delta(Fixture<B>& on, DType type, DeltaShape shape) : on_(on), d_(shape) {
    width = d_.heads * d_.dv;
    slot = d_.heads * d_.dk * d_.dv;
    dtype = type;
    for (int s = 0; s < mixed_sequences; s++) {
      q_.push_back(rounded_values(longest * d_.key_heads * d_.dk, s, type));
      k_.push_back(rounded_values(longest * d_.key_heads * d_.dk, s + 10, type));
      v_.push_back(rounded_values(longest * width, s + 20, type));
      g_.push_back(random_values(longest * d_.heads, s + 30));
      beta_.push_back(random_values(longest * d_.heads, s + 40));
      for (float& g : g_.back()) g = -std::exp(2 * g - 2);  // from hardly any decay to all of it
      for (float& b : beta_.back()) b = 1 / (1 + std::exp(-2 * b));
      define(static_cast<size_t>(s));
    }
  }
  Tensor<B> new_state(int64_t slots) override { return on_.filled({slots, d_.heads, d_.dk, d_.dv}, DType::F32, NAN); }
  std::vector<float> run(const std::vector<Piece>& pieces, const std::vector<int32_t>& table, const Tensor<B>& state) override {
    const auto batch = batch_of(on_, pieces, table);
    const int64_t T = batch.ids.shape()[0], keys = d_.key_heads * d_.dk;
    // As in a model, q, k and v are columns of one tensor.
    const auto q = gather(q_, pieces, keys), k = gather(k_, pieces, keys), v = gather(v_, pieces, width);
    std::vector<float> qkv;
    const auto append = [&](const std::vector<float>& from, int64_t t, int64_t n) {
      qkv.insert(qkv.end(), from.begin() + t * n, from.begin() + (t + 1) * n);
    };
    for (int64_t t = 0; t < T; t++) append(q, t, keys), append(k, t, keys), append(v, t, width);
    const auto wide = on_.template tensor<Shard>({T, 2 * keys + width}, dtype, qkv);
    const auto g = on_.template tensor<Shard>({T, d_.heads}, DType::F32, gather(g_, pieces, d_.heads)),
               beta = on_.template tensor<Shard>({T, d_.heads}, DType::F32, gather(beta_, pieces, d_.heads));
    poison(on_.queue, {T, width}, dtype);
    return to_host(on_.queue, gated_delta(wide.columns(0, keys), wide.columns(keys, 2 * keys), wide.columns(2 * keys, 2 * keys + width), g,
                                          beta, state, batch, 0, DeltaParams{d_.tiled})
                                  .view());
  }
  double want(int sequence, int token, int64_t column) override {
    return outputs_[static_cast<size_t>(sequence)][static_cast<size_t>(token * width + column)];
  }
  double want_state(int sequence, int token, int64_t element) override {
    return states_[static_cast<size_t>(sequence)][static_cast<size_t>(token * slot + element)];
  }

 private:
  std::vector<double> unit(const std::vector<float>& x, int64_t row) const {
    std::vector<double> y;
    double squares = 1e-6;
    for (int64_t i = 0; i < d_.dk; i++) {
      y.push_back(static_cast<double>(x[static_cast<size_t>(row * d_.dk + i)]));
      squares += y.back() * y.back();
    }
    for (double& value : y) value /= std::sqrt(squares);
    return y;
  }

  void define(size_t s) {
    std::vector<double> state(static_cast<size_t>(slot), 0), &out = outputs_.emplace_back(), &states = states_.emplace_back();
    for (int64_t t = 0; t < longest; t++) {
      for (int64_t h = 0; h < d_.heads; h++) {
        const int64_t key_head = d_.tiled ? h % d_.key_heads : h / (d_.heads / d_.key_heads), row = t * d_.key_heads + key_head;
        const auto q = unit(q_[s], row), k = unit(k_[s], row);
        const auto at = static_cast<size_t>(t * d_.heads + h);
        double* S = state.data() + h * d_.dk * d_.dv;
        for (int64_t i = 0; i < d_.dk * d_.dv; i++) S[i] *= std::exp(static_cast<double>(g_[s][at]));
        for (int64_t j = 0; j < d_.dv; j++) {
          double read = 0, o = 0;
          for (int64_t i = 0; i < d_.dk; i++) read += S[i * d_.dv + j] * k[static_cast<size_t>(i)];
          const double e = (static_cast<double>(v_[s][at * static_cast<size_t>(d_.dv) + static_cast<size_t>(j)]) - read) *
                           static_cast<double>(beta_[s][at]);
          for (int64_t i = 0; i < d_.dk; i++) {
            S[i * d_.dv + j] += k[static_cast<size_t>(i)] * e;
            o += S[i * d_.dv + j] * q[static_cast<size_t>(i)] / std::sqrt(static_cast<double>(d_.dk));
          }
          out.push_back(o);
        }
      }
      states.insert(states.end(), state.begin(), state.end());
    }
  }

  Fixture<B>& on_;
  DeltaShape d_;
  std::vector<std::vector<float>> q_, k_, v_, g_, beta_;
  std::vector<std::vector<double>> outputs_, states_;
};

template <class B>
std::vector<std::unique_ptr<Mixer<B>>> mixers(Fixture<B>& on) {
  std::vector<std::unique_ptr<Mixer<B>>> all;
  for (DType type : {DType::F32, DType::F16, DType::BF16}) {
    all.push_back(std::make_unique<Convolution<B>>(on, type, 300, 4));
    all.push_back(std::make_unique<Delta<B>>(on, type, DeltaShape{2, 4, 24, 40, type == DType::BF16}));
  }
  all.push_back(std::make_unique<Convolution<B>>(on, DType::F32, 5, 2));
  all.push_back(std::make_unique<Delta<B>>(on, DType::F32, DeltaShape{1, 2, 128, 32, false}));
  all.push_back(std::make_unique<Delta<B>>(on, DType::F32, DeltaShape{3, 3, 7, 5, false}));
  all.push_back(std::make_unique<Delta<B>>(on, DType::F32, DeltaShape{2, 6, 16, 16, true}));
  return all;
}

}  // namespace infernum::test

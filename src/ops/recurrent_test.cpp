// The causal convolution and the gated delta rule against their definitions in double precision: ragged batches, steps of any length,
// states shared between sequences, and slots that nothing may read or write, on every instruction set.
#include "ops/recurrent.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/half.h"
#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::random_values;

float rounded(float x, DType to) {
  return to == DType::F32 ? x : to == DType::F16 ? static_cast<float>(F16(x)) : static_cast<float>(BF16(x));
}

std::vector<float> rounded_values(int64_t n, int seed, DType to, float scale = 1) {
  auto v = random_values(n, seed, scale);
  for (float& x : v) x = rounded(x, to);
  return v;
}

/// Tokens first .. first + tokens - 1 of a sequence.
struct Piece {
  int sequence, first, tokens;
};

constexpr int64_t table_columns = 9;  // 144 tokens

template <class B>
Batch<B> batch_of(test::Fixture<B>& on, const std::vector<Piece>& pieces, const std::vector<int32_t>& table) {
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
std::vector<float> gather(const std::vector<std::vector<float>>& all, const std::vector<Piece>& pieces, int64_t width) {
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
  double tolerance(double value) const { return 1e-5 + std::abs(value) * (dtype == DType::F32 ? 1e-5 : test::unit_roundoff(dtype) * 1.01); }
};

constexpr int longest = 130;
constexpr int mixed_sequences = 4;

template <class B>
class Convolution : public Mixer<B> {
 public:
  using Mixer<B>::width, Mixer<B>::slot, Mixer<B>::dtype;
  Convolution(test::Fixture<B>& on, DType type, int64_t channels, int64_t taps) : on_(on), channels_(channels), taps_(taps) {
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
    test::poison(on_.queue, x.shape(), dtype);
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
  test::Fixture<B>& on_;
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
  Delta(test::Fixture<B>& on, DType type, DeltaShape shape) : on_(on), d_(shape) {
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
    test::poison(on_.queue, {T, width}, dtype);
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

  test::Fixture<B>& on_;
  DeltaShape d_;
  std::vector<std::vector<float>> q_, k_, v_, g_, beta_;
  std::vector<std::vector<double>> outputs_, states_;
};

template <class B>
std::vector<std::unique_ptr<Mixer<B>>> mixers(test::Fixture<B>& on) {
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

template <class B>
struct RecurrentChecks {
  test::Fixture<B>& on;

  void expect_outputs(Mixer<B>& m, const std::vector<Piece>& pieces, const std::vector<float>& got) {
    int64_t row = 0;
    for (const Piece& p : pieces)
      for (int t = p.first; t < p.first + p.tokens; t++, row++)
        for (int64_t c = 0; c < m.width; c++) {
          const double want = m.want(p.sequence, t, c);
          ASSERT_NEAR(got[static_cast<size_t>(row * m.width + c)], want, m.tolerance(want))
              << "sequence " << p.sequence << " token " << t << ", " << c;
        }
  }
  void expect_state(Mixer<B>& m, const Tensor<B>& state, int64_t slot, int sequence, int token) {
    const auto all = to_host(on.queue, state.view());
    const float* got = all.data() + slot * m.slot;
    for (int64_t i = 0; i < m.slot; i++) {
      const double want = m.want_state(sequence, token, i);
      ASSERT_NEAR(got[i], want, 1e-5 + 1e-5 * std::abs(want))
          << "slot " << slot << " of sequence " << sequence << " after token " << token << ", " << i;
    }
  }
  void expect_untouched(Mixer<B>& m, const Tensor<B>& state, int64_t slot) {
    const auto all = to_host(on.queue, state.view());
    const float* got = all.data() + slot * m.slot;
    for (int64_t i = 0; i < m.slot; i++) ASSERT_TRUE(std::isnan(got[i])) << "slot " << slot;
  }

  void a_whole_sequence_equals_the_definition_at_every_length() {
    for (auto& m : mixers(on))
      for (int n : {1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 130}) {
        // A slot for the last block alone: the others keep no state.
        std::vector<int32_t> table(table_columns, -1);
        table[static_cast<size_t>((n - 1) / block_tokens)] = 1;
        const auto state = m->new_state(3);
        const std::vector<Piece> pieces{{0, 0, n}};
        expect_outputs(*m, pieces, m->run(pieces, table, state));
        expect_state(*m, state, 1, 0, n - 1);
        expect_untouched(*m, state, 0);
        expect_untouched(*m, state, 2);
      }
  }

  void steps_of_any_length_give_the_same_in_one_slot() {
    for (auto& m : mixers(on)) {
      const auto state = m->new_state(1);
      const std::vector<int32_t> table(table_columns, 0);
      int at = 0;
      for (int n : {1, 2, 1, 13, 1, 30, 64, 1, 1, 16}) {
        const std::vector<Piece> pieces{{0, at, n}};
        expect_outputs(*m, pieces, m->run(pieces, table, state));
        at += n;
        expect_state(*m, state, 0, 0, at - 1);
      }
      ASSERT_EQ(at, longest);
    }
  }

  void keeps_the_state_at_the_end_of_blocks_that_have_a_slot() {
    for (auto& m : mixers(on)) {
      const auto state = m->new_state(10);
      const std::vector<int32_t> table{7, -1, 2, 5, -1, 9, -1, -1, -1};
      m->run({{0, 0, 20}}, {7, 3, -1, -1, -1, -1, -1, -1, -1}, state);
      expect_state(*m, state, 7, 0, 15);
      expect_state(*m, state, 3, 0, 19);
      // Goes on from slot 3, which stays: another sequence may start from it too.
      std::vector<int32_t> next = table;
      next[0] = -1, next[1] = 3;
      const std::vector<Piece> pieces{{0, 20, 70}};
      expect_outputs(*m, pieces, m->run(pieces, next, state));
      expect_state(*m, state, 7, 0, 15);
      expect_state(*m, state, 3, 0, 31);
      expect_state(*m, state, 2, 0, 47);
      expect_state(*m, state, 5, 0, 63);
      expect_state(*m, state, 9, 0, 89);
      for (int64_t slot : {0, 1, 4, 6, 8}) expect_untouched(*m, state, slot);
    }
  }

  void mixes_prefill_and_decode_and_shares_a_checkpoint() {
    for (auto& m : mixers(on)) {
      const auto state = m->new_state(12);
      const auto row = [](std::map<int, int32_t> slots) {
        std::vector<int32_t> r(table_columns, -1);
        for (auto [block, slot] : slots) r[static_cast<size_t>(block)] = slot;
        return r;
      };
      const auto join = [](const std::vector<std::vector<int32_t>>& rows) {
        std::vector<int32_t> table;
        for (const auto& r : rows) table.insert(table.end(), r.begin(), r.end());
        return table;
      };
      m->run({{0, 0, 32}, {1, 0, 5}, {2, 0, 100}}, join({row({{1, 4}}), row({{0, 1}}), row({{6, 2}})}), state);
      // Sequence 0 twice from its checkpoint in slot 4 at token 32, one decode step in place, a prefill from nothing, and one without
      // tokens.
      const std::vector<Piece> pieces{{0, 32, 40}, {1, 5, 1}, {0, 32, 3}, {3, 0, 17}, {2, 100, 0}, {2, 100, 2}};
      const auto got = m->run(
          pieces,
          join({row({{1, 4}, {2, -1}, {4, 6}}), row({{0, 1}}), row({{1, 4}, {2, 7}}), row({{0, 8}, {1, 9}}), row({}), row({{6, 2}})}),
          state);
      expect_outputs(*m, pieces, got);
      expect_state(*m, state, 4, 0, 31);
      expect_state(*m, state, 6, 0, 71);
      expect_state(*m, state, 1, 1, 5);
      expect_state(*m, state, 7, 0, 34);
      expect_state(*m, state, 8, 3, 15);
      expect_state(*m, state, 9, 3, 16);
      expect_state(*m, state, 2, 2, 101);
      for (int64_t slot : {0, 3, 5, 10, 11}) expect_untouched(*m, state, slot);
    }
  }

  void gates_equal_the_definition() {
    for (DType type : {DType::F32, DType::F16, DType::BF16})
      for (auto [tokens, heads] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {70, 33}}) {
        const auto a_in = rounded_values(tokens * heads, 1, type, 20), b_in = rounded_values(tokens * heads, 2, type, 5);
        auto a_neg = random_values(heads, 3), bias = random_values(heads, 4);
        for (float& x : a_neg) x = -std::exp(x);
        test::poison(on.queue, {tokens, heads}, DType::F32);
        const auto y =
            delta_gates(on.template tensor<Shard>({tokens, heads}, type, a_in), on.template tensor<Shard>({tokens, heads}, type, b_in),
                        on.template tensor<Shard>({heads}, DType::F32, a_neg), on.template tensor<Shard>({heads}, DType::F32, bias));
        const auto g = to_host(on.queue, y.g.view()), beta = to_host(on.queue, y.beta.view());
        for (size_t i = 0; i < g.size(); i++) {
          const auto h = i % static_cast<size_t>(heads);
          const double want = static_cast<double>(a_neg[h]) * std::log1p(std::exp(static_cast<double>(a_in[i] + bias[h])));
          ASSERT_NEAR(g[i], want, 1e-6 * std::abs(want) + 1e-12);
          ASSERT_NEAR(beta[i], 1 / (1 + std::exp(-static_cast<double>(b_in[i]))), 1e-6);
        }
      }
  }
};

class RecurrentTest : public testing::TestWithParam<Isa> {
 protected:
  CpuFixture cpu{GetParam()};
  RecurrentChecks<Cpu> checks{cpu};
};
INSTANTIATE_TEST_SUITE_P(All, RecurrentTest, testing::ValuesIn(test::isa_levels()));

TEST_P(RecurrentTest, AWholeSequenceEqualsTheDefinitionAtEveryLength) { checks.a_whole_sequence_equals_the_definition_at_every_length(); }
TEST_P(RecurrentTest, StepsOfAnyLengthGiveTheSameInOneSlot) { checks.steps_of_any_length_give_the_same_in_one_slot(); }
TEST_P(RecurrentTest, KeepsTheStateAtTheEndOfBlocksThatHaveASlot) { checks.keeps_the_state_at_the_end_of_blocks_that_have_a_slot(); }
TEST_P(RecurrentTest, MixesPrefillAndDecodeAndSharesACheckpoint) { checks.mixes_prefill_and_decode_and_shares_a_checkpoint(); }
TEST_P(RecurrentTest, GatesEqualTheDefinition) { checks.gates_equal_the_definition(); }

TEST(RecurrentCuda, AWholeSequenceEqualsTheDefinitionAtEveryLength) {
  test::on_cuda([](auto& on) { RecurrentChecks{on}.a_whole_sequence_equals_the_definition_at_every_length(); });
}
TEST(RecurrentCuda, StepsOfAnyLengthGiveTheSameInOneSlot) {
  test::on_cuda([](auto& on) { RecurrentChecks{on}.steps_of_any_length_give_the_same_in_one_slot(); });
}
TEST(RecurrentCuda, KeepsTheStateAtTheEndOfBlocksThatHaveASlot) {
  test::on_cuda([](auto& on) { RecurrentChecks{on}.keeps_the_state_at_the_end_of_blocks_that_have_a_slot(); });
}
TEST(RecurrentCuda, MixesPrefillAndDecodeAndSharesACheckpoint) {
  test::on_cuda([](auto& on) { RecurrentChecks{on}.mixes_prefill_and_decode_and_shares_a_checkpoint(); });
}
TEST(RecurrentCuda, GatesEqualTheDefinition) {
  test::on_cuda([](auto& on) { RecurrentChecks{on}.gates_equal_the_definition(); });
}

TEST(Recurrent, ErrorsNameTheShapes) {
  CpuFixture cpu;
  const auto state = cpu.filled({2, 2, 4, 3}, DType::F32, 0), conv = cpu.filled({2, 3, 6}, DType::F32, 0);
  const auto batch = [&](int first, std::vector<int32_t> row) {
    row.resize(table_columns, -1);
    return batch_of(cpu, {{0, first, 1}}, row);
  };
  const auto delta = [&](const Shape& q, const Shape& v, int64_t gates, const Batch<Cpu>& b) {
    return test::error_of([&] {
      gated_delta(cpu.random(q, DType::F32, 1), cpu.random(q, DType::F32, 2), cpu.random(v, DType::F32, 3),
                  cpu.random({1, gates}, DType::F32, 4), cpu.random({1, gates}, DType::F32, 5), state, b, 0, DeltaParams{});
    });
  };
  EXPECT_EQ(delta({1, 4}, {1, 6}, 2, batch(0, {0})), "no error");
  EXPECT_NE(delta({1, 6}, {1, 6}, 2, batch(0, {0})).find("(1, 6) (1, 6) (2, 2, 4, 3)"), std::string::npos);
  EXPECT_NE(delta({1, 12}, {1, 6}, 2, batch(0, {0})).find("Hk a divisor of Hv"), std::string::npos);
  EXPECT_NE(delta({1, 4}, {1, 8}, 2, batch(0, {0})).find("(1, 8)"), std::string::npos);
  EXPECT_NE(delta({1, 4}, {1, 6}, 3, batch(0, {0})).find("(1, 3)"), std::string::npos);
  EXPECT_NE(delta({1, 4}, {1, 6}, 2, batch(0, {-1})).find("the last token's block has no slot"), std::string::npos);
  EXPECT_NE(delta({1, 4}, {1, 6}, 2, batch(16, {-1, 1})).find("the block before the step has no slot"), std::string::npos);
  EXPECT_NE(delta({1, 4}, {1, 6}, 2, batch(0, {2})).find("outside of the state"), std::string::npos);
  EXPECT_NE(delta({1, 4}, {1, 6}, 2, batch(144, {0})).find("must reach to the last token"), std::string::npos);
  const auto convolve = [&](const Shape& x, const Shape& w) {
    return test::error_of([&] { causal_conv(cpu.random(x, DType::F32, 1), cpu.random(w, DType::F32, 2), conv, batch(0, {0}), 0); });
  };
  EXPECT_EQ(convolve({1, 6}, {6, 4}), "no error");
  EXPECT_NE(convolve({1, 6}, {5, 4}).find("(5, 4)"), std::string::npos);
  EXPECT_NE(convolve({1, 6}, {6, 3}).find("(2, 3, 6)"), std::string::npos);
  const auto vector = cpu.filled({2}, DType::F32, 0);
  const auto gates = [&](const Shape& a, const Shape& b) {
    return test::error_of([&] { delta_gates(cpu.random(a, DType::F32, 1), cpu.random(b, DType::F32, 1), vector, vector); });
  };
  EXPECT_EQ(gates({3, 2}, {3, 2}), "no error");
  EXPECT_NE(gates({3, 2}, {3, 3}).find("(3, 2) (3, 3)"), std::string::npos);
  EXPECT_NE(gates({3, 4}, {3, 4}).find("one per head"), std::string::npos);
}

}  // namespace
}  // namespace infernum

// The causal convolution and the gated delta rule against their definitions in double precision: ragged batches, steps of any length,
// states shared between sequences, and slots that nothing may read or write, on every instruction set.
#include "ops/recurrent.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "ops/cuda_test_support.h"
#include "ops/recurrent_test_data.h"

namespace infernum {
namespace {

using test::batch_of;
using test::CpuFixture;
using test::longest;
using test::Mixer;
using test::mixers;
using test::Piece;
using test::random_values;
using test::rounded_values;
using test::table_columns;

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

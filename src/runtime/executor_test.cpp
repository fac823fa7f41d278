// run_step: a ragged batch of several sequences gives each the logits it would get alone, while windows give their blocks back.
#include "runtime/executor.h"

#include <gtest/gtest.h>

#include <random>

#include "ops/batch.h"
#include "support/golden.h"
#include "support/run_model.h"

namespace infernum {
namespace {

using test::relative_error;

std::unique_ptr<Model> load(const std::string& folder, int ranks = 1) {
  ModelOptions options;
  options.threads = 2;
  options.ranks = ranks;
  return load_model(open_checkpoint(test::data("models/" + folder)), options);
}

std::vector<int32_t> random_tokens(int64_t n, int64_t vocab, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (auto& t : tokens) t = static_cast<int32_t>(rng() % static_cast<unsigned>(vocab));
  return tokens;
}

class ExecutorTest : public testing::TestWithParam<const char*> {};

TEST_P(ExecutorTest, ABatchEqualsItsSequencesAlone) {
  const auto model = load(GetParam());
  const int64_t vocab = model->info().vocab_size;
  const std::vector<int64_t> lengths{1, 90, 17, 48, 33};
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> alone;
  for (size_t s = 0; s < lengths.size(); s++) {
    tokens.push_back(random_tokens(lengths[s], vocab, static_cast<unsigned>(s)));
    alone.push_back(test::SingleSequence(*model, lengths[s]).append(tokens[s]));
  }
  CachePools pools(*model, 200, 5);
  std::vector<SequenceCache> caches;
  for (size_t s = 0; s < lengths.size(); s++) caches.emplace_back(pools);
  std::vector<int64_t> done(lengths.size(), 0);
  std::vector<std::vector<float>> got(lengths.size());
  std::mt19937 rng(11);
  for (int step = 0; step < 1000; step++) {
    std::vector<StepItem> items;
    std::vector<size_t> who;
    for (size_t s = 0; s < lengths.size(); s++) {
      if (done[s] == lengths[s] || rng() % 4 == 0) continue;
      // Now a chunk of a prompt, now a single token: prefill and decode in one batch.
      const int64_t n = std::min<int64_t>(lengths[s] - done[s], rng() % 2 ? 1 : 1 + static_cast<int64_t>(rng() % 20));
      ASSERT_TRUE(caches[s].reserve(done[s] + n));
      items.push_back(
          {&caches[s], std::span(tokens[s]).subspan(static_cast<size_t>(done[s]), static_cast<size_t>(n)), done[s], StepItem::Logits::All});
      who.push_back(s);
    }
    if (items.empty()) {
      if (done == lengths) break;
      continue;
    }
    StepLogits logits = run_step(*model, items);
    for (size_t i = 0; i < items.size(); i++) {
      ASSERT_EQ(logits.first_row[i + 1] - logits.first_row[i], static_cast<int64_t>(items[i].tokens.size()));
      for (int64_t r = logits.first_row[i]; r < logits.first_row[i + 1]; r++) {
        const auto row = logits.row(r);
        got[who[i]].insert(got[who[i]].end(), row.begin(), row.end());
      }
      done[who[i]] += static_cast<int64_t>(items[i].tokens.size());
    }
  }
  for (size_t s = 0; s < lengths.size(); s++) EXPECT_LE(relative_error(got[s], alone[s]), 1e-5) << "sequence " << s;
}

TEST_P(ExecutorTest, OnlyTheWantedRowsComeBack) {
  const auto model = load(GetParam());
  const int64_t vocab = model->info().vocab_size;
  const auto a = random_tokens(9, vocab, 1), b = random_tokens(5, vocab, 2), c = random_tokens(4, vocab, 3);
  const auto all_b = test::SingleSequence(*model, 5).append(b), all_c = test::SingleSequence(*model, 4).append(c);
  CachePools pools(*model, 64, 3);
  SequenceCache ca(pools), cb(pools), cc(pools);
  ASSERT_TRUE(ca.reserve(9) && cb.reserve(5) && cc.reserve(4));
  const std::vector<StepItem> items{
      {&ca, a, 0, StepItem::Logits::None}, {&cb, b, 0, StepItem::Logits::Last}, {&cc, c, 0, StepItem::Logits::All}};
  StepLogits step = run_step(*model, items);
  EXPECT_EQ(step.first_row, (std::vector<int64_t>{0, 0, 1, 5}));
  EXPECT_EQ(step.rows(), 5);
  EXPECT_LE(relative_error({step.values.begin(), step.values.begin() + vocab}, {all_b.end() - vocab, all_b.end()}), 1e-5);
  EXPECT_LE(relative_error({step.values.begin() + vocab, step.values.end()}, all_c), 1e-5);
}

TEST_P(ExecutorTest, AStepMayWantNoLogitsAtAll) {
  const auto model = load(GetParam());
  const auto tokens = random_tokens(40, model->info().vocab_size, 4);
  const auto alone = test::SingleSequence(*model, 40).append(tokens);
  CachePools pools(*model, 64, 1);
  SequenceCache cache(pools);
  ASSERT_TRUE(cache.reserve(40));
  const StepItem prompt{&cache, std::span(tokens).first(39), 0, StepItem::Logits::None};
  const StepLogits none = run_step(*model, std::span(&prompt, 1));
  EXPECT_TRUE(none.values.empty());
  EXPECT_EQ(none.rows(), 0);
  const StepItem last{&cache, std::span(tokens).last(1), 39};
  EXPECT_LE(relative_error(run_step(*model, std::span(&last, 1)).values, {alone.end() - model->info().vocab_size, alone.end()}), 1e-5);
}

TEST_P(ExecutorTest, ABadStepChangesNothing) {
  const auto model = load(GetParam());
  CachePools pools(*model, 64, 1);
  SequenceCache cache(pools);
  const std::vector<int32_t> tokens{1, 2, 3}, outside{static_cast<int32_t>(model->info().vocab_size)}, none;
  EXPECT_THROW(run_step(*model, {}), Error);
  const auto run = [&](std::span<const int32_t> t, int64_t first) {
    const StepItem item{&cache, t, first};
    return run_step(*model, std::span(&item, 1)).values;
  };
  EXPECT_THROW(run(tokens, 0), Error) << "no room was reserved";
  ASSERT_TRUE(cache.reserve(3));
  const int64_t held = cache.blocks_held();
  EXPECT_THROW(run(outside, 0), Error);
  EXPECT_THROW(run(none, 0), Error);
  EXPECT_THROW(run(tokens, model->info().context), Error);
  EXPECT_EQ(cache.blocks_held(), held);
  EXPECT_LE(relative_error(run(tokens, 0),
                           [&] {
                             const auto m = load(GetParam());
                             const auto all = test::SingleSequence(*m, 3).append(tokens);
                             return std::vector<float>(all.end() - m->info().vocab_size, all.end());
                           }()),
            1e-5);
}

/// Two sequences with one beginning, a fork at a checkpoint that has long been passed, and a sequence that goes back to it.
TEST_P(ExecutorTest, AForkGoesOnAsIfComputedFromScratch) {
  const auto model = load(GetParam());
  const int64_t vocab = model->info().vocab_size, border = 48;
  const auto parent = random_tokens(120, vocab, 1), other = random_tokens(60, vocab, 2), third = random_tokens(37, vocab, 3);
  const auto joined = [&](const std::vector<int32_t>& rest) {
    std::vector<int32_t> all(parent.begin(), parent.begin() + border);
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
  };
  const auto from_scratch = [&](const std::vector<int32_t>& tokens, int64_t first) {
    const auto all = test::SingleSequence(*model, static_cast<int64_t>(tokens.size())).append(tokens);
    return std::vector<float>(all.begin() + first * vocab, all.end());
  };
  const auto want_parent = from_scratch(parent, 100), want_other = from_scratch(joined(other), border),
             want_third = from_scratch(joined(third), border);

  CachePools pools(*model, 400, 3, 0, 2);
  SequenceCache cache(pools);
  cache.keep(border);
  const auto append = [&](SequenceCache& c, std::span<const int32_t> tokens, std::vector<float>& logits) {
    ASSERT_TRUE(c.reserve(c.length() + static_cast<int64_t>(tokens.size())));
    const StepItem item{&c, tokens, c.length(), StepItem::Logits::All};
    const auto values = run_step(*model, std::span(&item, 1)).values;
    logits.insert(logits.end(), values.begin(), values.end());
  };
  std::vector<float> unused, got_parent, got_other, got_third;
  append(cache, std::span(parent).first(20), unused);
  append(cache, std::span(parent).subspan(20, 80), unused);  // over the checkpoint
  std::optional<SequenceCache> fork = cache.fork(border);
  ASSERT_TRUE(fork);
  for (size_t i = 0; i < 20; i++) {
    append(cache, std::span(parent).subspan(100 + i, 1), got_parent);
    append(*fork, std::span(other).subspan(2 * i, 2), got_other);
  }
  cache.rewind(border);
  append(cache, third, got_third);
  cache.clear();
  append(*fork, std::span(other).subspan(40), got_other);
  EXPECT_LE(relative_error(got_parent, want_parent), 1e-5);
  EXPECT_LE(relative_error(got_other, want_other), 1e-5);
  EXPECT_LE(relative_error(got_third, want_third), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(All, ExecutorTest, testing::Values("mistral-swa", "qwen3", "qwen3_5-text"), [](const auto& p) {
  std::string name = p.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Executor, WindowsGiveTheirBlocksBackWhileTheLogitsStay) {
  const auto model = load("mistral-swa");
  ASSERT_EQ(model->info().groups, (std::vector<Retention>{{Retention::Kind::Window, 32}}));
  const auto tokens = random_tokens(160, model->info().vocab_size, 7);
  const auto whole = test::SingleSequence(*model, 160).append(tokens);
  // Four blocks hold a window of 32 and the step's token wherever they begin; the sequence needs ten.
  CachePools pools(*model, 48, 1);
  ASSERT_EQ(pools.group(0).size(), 4);
  SequenceCache cache(pools);
  std::vector<float> logits;
  for (int64_t i = 0; i < 160; i++) {
    ASSERT_TRUE(cache.reserve(i + 1)) << "token " << i;
    const StepItem item{&cache, std::span(tokens).subspan(static_cast<size_t>(i), 1), i};
    const auto row = run_step(*model, std::span(&item, 1)).values;
    logits.insert(logits.end(), row.begin(), row.end());
    ASSERT_LE(cache.blocks_held(), 3);
  }
  EXPECT_LE(relative_error(logits, whole), 1e-5);
}

TEST(Executor, RanksGiveABatchTheSameLogits) {
  const auto one = load("qwen3"), two = load("qwen3", 2);
  const auto a = random_tokens(20, one->info().vocab_size, 1), b = random_tokens(3, one->info().vocab_size, 2);
  std::vector<std::vector<float>> logits;
  for (Model* model : {one.get(), two.get()}) {
    CachePools pools(*model, 64, 2);
    SequenceCache ca(pools), cb(pools);
    ASSERT_TRUE(ca.reserve(20) && cb.reserve(3));
    const std::vector<StepItem> items{{&ca, a, 0, StepItem::Logits::All}, {&cb, b, 0, StepItem::Logits::All}};
    logits.push_back(run_step(*model, items).values);
  }
  EXPECT_LE(relative_error(logits[1], logits[0]), 1e-5);
}

}  // namespace
}  // namespace infernum

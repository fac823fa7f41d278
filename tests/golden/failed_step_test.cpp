// A step that fails between two layers: the sequence goes on from its cache's length to the same logits as if nothing had happened.
#include <gtest/gtest.h>

#include "support/golden.h"
#include "support/run_model.h"

namespace infernum {
namespace {

using test::Golden;

class FailedStep : public testing::TestWithParam<const char*> {
 protected:
  FailedStep() {
    ModelOptions options;
    options.threads = 1;
    model = load_model(open_checkpoint(test::data(std::string("models/") + GetParam())), options);
    ids = Golden(test::data(std::string("models/") + GetParam() + "/golden.safetensors")).ids("prompt2.ids");
  }

  /// Logits of tokens up to `end`, from the cache's length on.
  std::vector<float> advance(SequenceCache& cache, int64_t end) {
    const auto first = cache.length();
    check(cache.reserve(end), "test: cache too small");
    const StepItem item{&cache, std::span(ids).subspan(static_cast<size_t>(first), static_cast<size_t>(end - first)), first,
                        StepItem::Logits::Last};
    return run_step(*model, std::span(&item, 1)).values;
  }

  std::unique_ptr<Model> model;
  std::vector<int32_t> ids;
};

TEST_P(FailedStep, IsTakenBack) {
  ASSERT_GE(ids.size(), 40u);
  CachePools pools(*model, 64, 1, 0, 1);
  for (const auto& [before, end, kept] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {5, 6, 0}, {5, 40, 0}, {16, 17, 0}, {16, 20, 16}, {20, 21, 16}, {20, 40, 32}, {0, 9, 0}}) {
    SequenceCache undisturbed(pools);
    if (before > 0) advance(undisturbed, before);
    const auto want = advance(undisturbed, end);
    undisturbed.clear();

    SequenceCache cache(pools);
    if (kept > 0) cache.keep(kept);
    if (kept > 0 && kept < before) advance(cache, kept);
    if (before > 0) advance(cache, before);
    model->observe([](std::string_view name, const auto&, const auto&) { check(name != "hidden1", "test: the layer fails"); });
    EXPECT_THROW(advance(cache, end), Error) << "hidden1 is the output of the first layer";
    model->observe({});
    EXPECT_LE(cache.length(), before);
    EXPECT_GE(cache.length(), kept <= before ? kept : 0) << "a checkpoint is not lost";
    EXPECT_LE(test::relative_error(advance(cache, end), want), 1e-5) << before << " to " << end << " with a checkpoint at " << kept;
    EXPECT_EQ(cache.length(), end);
  }
}

TEST_P(FailedStep, OnlyAStateWithinABlockIsLost) {
  CachePools pools(*model, 64, 1, 0, 1);
  const bool recurrent = std::any_of(model->info().groups.begin(), model->info().groups.end(),
                                     [](const Retention& r) { return r.kind == Retention::Kind::Recurrent; });
  for (int64_t before : {5, 16}) {
    SequenceCache cache(pools);
    advance(cache, before);
    model->observe([](std::string_view name, const auto&, const auto&) { check(name != "hidden1", "test: the layer fails"); });
    EXPECT_THROW(advance(cache, before + 1), Error);
    model->observe({});
    EXPECT_EQ(cache.length(), recurrent && before == 5 ? 0 : before);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FailedStep,
                         testing::Values("qwen3-next", "qwen3_5-text", "qwen3_5-moe-text", "gemma2", "deepseek-v3", "llama-gqa"),
                         [](const auto& p) {
                           std::string name = p.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace infernum

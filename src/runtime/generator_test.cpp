// The generator on the bundled model and on a windowed one: batches, chunks, stops, turns.
#include "runtime/generator.h"

#include <gtest/gtest.h>

#include "core/check.h"
#include "models/loader.h"
#include "text/load_text.h"

namespace infernum {
namespace {

struct Bundled {
  Checkpoint checkpoint = open_checkpoint(std::string(INFERNUM_SOURCE_DIR) + "/models/storyteller");
  Tokenizer tokenizer = load_tokenizer(checkpoint);
  std::unique_ptr<Model> model = load_model(checkpoint, [] {
    ModelOptions o;
    o.threads = 2;
    return o;
  }());
  GenerationRequest request(const std::string& prompt, int64_t max_tokens) const {
    GenerationRequest r;
    r.prompt = tokenizer.encode(prompt);
    r.sampling.temperature = 0;
    r.max_tokens = max_tokens;
    r.stop_ids = end_of_generation_ids(checkpoint, tokenizer);
    return r;
  }
};

std::vector<int32_t> ids(const Generation& g) {
  std::vector<int32_t> list;
  for (const auto& t : g.tokens) list.push_back(t.id);
  return list;
}

TEST(Generator, ABatchGivesEachRequestWhatItGetsAlone) {
  const Bundled m;
  const std::vector<GenerationRequest> requests{m.request("Once upon a time", 20), m.request("The king said", 7),
                                                m.request("In a dark forest there lived an old woman who", 13)};
  Generator together(*m.model, m.tokenizer, {.prefill_chunk = 3, .max_sequences = 3});
  const auto batch = together.run(requests);
  for (size_t i = 0; i < requests.size(); i++) {
    Generator alone(*m.model, m.tokenizer);
    EXPECT_EQ(ids(batch[i]), ids(alone.run({requests[i]})[0])) << i;
    EXPECT_EQ(batch[i].text, m.tokenizer.decode(ids(batch[i])));
    EXPECT_EQ(batch[i].finish, FinishReason::Length);
  }
}

TEST(Generator, SampledTokensDependOnSeedAndPositionAlone) {
  const Bundled m;
  auto request = m.request("Once upon a time", 12);
  request.sampling.temperature = 1;
  request.sampling.seed = 5;
  auto other = request;
  other.sampling.seed = 6;
  Generator generator(*m.model, m.tokenizer, {.max_sequences = 2});
  const auto both = generator.run({other, request});
  EXPECT_EQ(ids(both[1]), ids(generator.run({request})[0]));
  EXPECT_NE(ids(both[0]), ids(both[1]));
}

TEST(Generator, StopStringsEndTheTextBeforeThemAcrossTokens) {
  const Bundled m;
  Generator generator(*m.model, m.tokenizer);
  auto request = m.request("Once upon a time", 40);
  const std::string whole = generator.run({request})[0].text;
  request.stop = {whole.substr(17, 6)};
  std::string streamed;
  const auto stopped = generator.run({request}, [&](size_t, const std::string& text) {
    streamed += text;
    return true;
  })[0];
  EXPECT_EQ(stopped.finish, FinishReason::Stop);
  EXPECT_EQ(stopped.text, whole.substr(0, whole.find(request.stop[0])));
  EXPECT_EQ(streamed, stopped.text);
}

TEST(Generator, ATurnReusesWhatItSharesWithTheLast) {
  const Bundled m;
  Generator turns(*m.model, m.tokenizer), fresh(*m.model, m.tokenizer);
  const auto first = turns.continue_with(m.request("Once upon a time there was a king", 10));
  EXPECT_EQ(first.cached_tokens, 0);
  const auto second = m.request("Once upon a time there was a king" + first.text + " And then", 10);
  const auto reused = turns.continue_with(second);
  EXPECT_GT(reused.cached_tokens, 5);
  EXPECT_EQ(ids(reused), ids(fresh.run({second})[0]));
  const auto branched = m.request("Once upon a time there was a fox", 10);
  const auto branch = turns.continue_with(branched);
  EXPECT_GT(branch.cached_tokens, 3);
  EXPECT_EQ(ids(branch), ids(fresh.run({branched})[0]));
}

TEST(Generator, CancelsWhenTheListenerSaysSo) {
  const Bundled m;
  Generator generator(*m.model, m.tokenizer, {.max_sequences = 2});
  const auto results = generator.run({m.request("Once upon a time", 30), m.request("The king said", 10)},
                                     [](size_t i, const std::string&) { return i != 0; });
  EXPECT_EQ(results[0].finish, FinishReason::Cancelled);
  EXPECT_LT(results[0].tokens.size(), 5u);
  EXPECT_EQ(results[1].tokens.size(), 10u);
}

TEST(Generator, LogprobsAreThoseOfTheModel) {
  const Bundled m;
  Generator generator(*m.model, m.tokenizer);
  auto request = m.request("Once upon a", 5);
  request.top_logprobs = 3;
  const Generation generation = generator.run({request})[0];
  for (const auto& t : generation.tokens) {
    ASSERT_EQ(t.top.size(), 3u);
    EXPECT_EQ(t.top[0].id, t.id);  // greedy
    EXPECT_FLOAT_EQ(t.top[0].logprob, *t.logprob);
    EXPECT_GE(t.top[0].logprob, t.top[1].logprob);
    EXPECT_LE(*t.logprob, 0);
  }
}

TEST(Generator, RefusesWhatCannotRunBeforeAnythingRuns) {
  const Bundled m;
  Generator generator(*m.model, m.tokenizer, {.max_sequences = 2});
  auto bad = m.request("x", 1);
  bad.prompt.assign(2000, 5);
  EXPECT_THROW(generator.run({m.request("Once", 1), bad}), Error);
  bad.prompt = {};
  EXPECT_THROW(generator.run({bad}), Error);
  bad.prompt = {99999};
  EXPECT_THROW(generator.run({bad}), Error);
  bad = m.request("x", 1);
  bad.sampling.top_p = 0;
  EXPECT_THROW(generator.run({bad}), Error);
  EXPECT_EQ(generator.run({m.request("Once", 2)})[0].tokens.size(), 2u);
}

TEST(Generator, AForgetfulModelGoesBackToItsCheckpoint) {
  for (const char* name : {"mistral-swa", "qwen3_5-text"}) {
    const auto model = load_model(open_checkpoint(std::string(INFERNUM_BINARY_DIR) + "/data/models/" + name), [] {
      ModelOptions o;
      o.threads = 2;
      return o;
    }());
    const Tokenizer tokenizer = Bundled().tokenizer;
    GenerationRequest request;
    for (int32_t i = 0; i < 100; i++) request.prompt.push_back(i * 7 % 250);
    request.sampling.temperature = 0;
    request.max_tokens = 60;
    Generator turns(*model, tokenizer, {.prefill_chunk = 64});
    const auto first = turns.continue_with(request);
    GenerationRequest next = request;
    next.prompt.resize(95);  // the end of the prompt reads otherwise in the next turn
    for (int32_t i = 0; i < 40; i++) next.prompt.push_back(i * 5 % 250);
    const auto second = turns.continue_with(next);
    EXPECT_EQ(second.cached_tokens, 80) << name;
    GenerationRequest third = next;
    for (const auto& t : second.tokens) third.prompt.push_back(t.id);
    third.prompt.push_back(3);
    const auto last = turns.continue_with(third);
    EXPECT_EQ(last.cached_tokens, static_cast<int64_t>(third.prompt.size()) - 2) << "all but the token sampled last and the new one";
    Generator fresh(*model, tokenizer);
    EXPECT_EQ(ids(first), ids(fresh.run({request})[0]));
    EXPECT_EQ(ids(second), ids(fresh.run({next})[0]));
    EXPECT_EQ(ids(last), ids(fresh.run({third})[0]));
  }
}

TEST(Generator, AWindowedModelNeedsBlocksForItsWindowOnly) {
  Checkpoint checkpoint = open_checkpoint(std::string(INFERNUM_BINARY_DIR) + "/data/models/mistral-swa");
  ModelOptions options;
  options.threads = 1;
  const auto model = load_model(checkpoint, options);
  const Tokenizer tokenizer = Bundled().tokenizer;
  GenerationRequest request;
  for (int32_t i = 0; i < 300; i++) request.prompt.push_back(i % 250);
  request.sampling.temperature = 0;
  request.max_tokens = 50;
  Generator small(*model, tokenizer, {.prefill_chunk = 16}), large(*model, tokenizer, {.prefill_chunk = 1024});
  const auto got = ids(small.run({request})[0]);
  EXPECT_LT(small.cache_bytes() * 10, large.cache_bytes());
  EXPECT_EQ(got, ids(Generator(*model, tokenizer, {.prefill_chunk = 1024}).run({request})[0]));
}

}  // namespace
}  // namespace infernum

// The generator on the bundled model and on a windowed one: batches, chunks, stops, turns.
#include "runtime/generator.h"

#include <gtest/gtest.h>

#include "core/check.h"
#include "models/loader.h"
#include "runtime/fake_model.h"
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
  const auto first = turns.run({m.request("Once upon a time there was a king", 10)})[0];
  EXPECT_EQ(first.cached_tokens, 0);
  const auto second = m.request("Once upon a time there was a king" + first.text + " And then", 10);
  const auto reused = turns.run({second})[0];
  EXPECT_GT(reused.cached_tokens, 5);
  EXPECT_EQ(ids(reused), ids(fresh.run({second})[0]));
  auto branched = second;
  branched.prompt.back() = 5;
  const auto branch = turns.run({branched})[0];
  EXPECT_EQ(branch.cached_tokens, (static_cast<int64_t>(branched.prompt.size()) - 1) / block_tokens * block_tokens);
  EXPECT_EQ(ids(branch), ids(fresh.run({branched})[0]));
}

TEST(Generator, MoreRequestsThanRunTogetherWaitTheirTurn) {
  const Bundled m;
  Generator one(*m.model, m.tokenizer, {.cache_tokens = 64}), alone(*m.model, m.tokenizer);
  const std::vector<GenerationRequest> requests{m.request("Once upon a time", 20), m.request("The king said", 1), m.request("A fox", 30)};
  const auto results = one.run(requests);
  for (size_t i = 0; i < requests.size(); i++) EXPECT_EQ(ids(results[i]), ids(alone.run({requests[i]})[0])) << i;
}

TEST(Generator, AListenerThatThrowsLeavesNothingBehind) {
  const Bundled m;
  Generator generator(*m.model, m.tokenizer, {.max_sequences = 2});
  const std::vector<GenerationRequest> requests{m.request("Once upon a time", 20), m.request("The king said", 10)};
  const auto thrower = [](size_t, const std::string&) -> bool { throw std::runtime_error("stdout is closed"); };
  EXPECT_THROW(generator.run(requests, thrower), std::runtime_error);
  const auto results = generator.run(requests);
  EXPECT_EQ(results[0].tokens.size(), 20u);
  EXPECT_EQ(ids(results[1]), ids(Generator(*m.model, m.tokenizer).run({requests[1]})[0]));
}

TEST(Generator, SaysWhatWentWrong) {
  test::FakeModel model({Retention{}, {Retention::Kind::Recurrent}});
  model.throws_at = 7;
  model.nan_at = 8;
  Generator generator(model, Bundled().tokenizer);
  GenerationRequest request;
  request.prompt = {1, 2, 7};
  const auto error = [&] {
    try {
      generator.run({request});
    } catch (const NotFinite& e) {
      return "not finite: " + std::string(e.what());
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  EXPECT_NE(error().find("this token throws"), std::string::npos);
  request.prompt = {1, 2, 8};
  EXPECT_NE(error().find("not finite: sampling: the model returned NaN"), std::string::npos);
  request.prompt = {1, 2, 3};
  request.max_tokens = 4;
  request.sampling.suppress_tokens = {7, 8};
  EXPECT_EQ(error(), "none");
}

/// What a turn may cost: behind the same tokens nothing is computed again, from an end that reads otherwise not more than two blocks, and
/// neither depends on how much was said.
TEST(Generator, ALongAnswerLosesNoTurn) {
  for (const auto& groups : std::vector<std::vector<Retention>>{{Retention{}},
                                                                {{Retention::Kind::Window, 40}},
                                                                {Retention{}, {Retention::Kind::Window, 24}},
                                                                {{Retention::Kind::Chunk, 48}, Retention{}},
                                                                {Retention{}, {Retention::Kind::Recurrent}},
                                                                {{Retention::Kind::Window, 40}, {Retention::Kind::Recurrent}}}) {
    test::FakeModel model(groups, 4000);
    Generator turns(model, Bundled().tokenizer, {.prefill_chunk = 64});
    GenerationRequest request;
    for (int32_t i = 0; i < 150; i++) request.prompt.push_back(i * 7 % 50);
    for (int turn = 0; turn < 12; turn++) {
      request.max_tokens = turn % 4 == 3 ? 500 : 3 + 5 * turn;
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      const auto answer = turns.run({request})[0];
      auto same = request;
      for (const auto& t : answer.tokens) same.prompt.push_back(t.id);
      if (turn % 2 == 0) {
        same.prompt.push_back(turn);
        const auto next = turns.run({same})[0];
        ASSERT_EQ(next.cached_tokens, prompt + request.max_tokens - 1) << "turn " << turn << " groups " << groups.size();
        ASSERT_EQ(next.tokens.size(), static_cast<size_t>(same.max_tokens));
        request = same;
      } else {
        request.prompt.resize(static_cast<size_t>(prompt) - 3);  // as if the template wrote what opens the answer otherwise
        for (int32_t i = 0; i < 40; i++) request.prompt.push_back((i * i + turn) % 50);
        const auto next = turns.run({request})[0];
        // A state may be that of the turn before.
        const int64_t most = groups.back().kind == Retention::Kind::Recurrent ? 100 : 3 + 2 * block_tokens;
        ASSERT_GE(next.cached_tokens, prompt - most) << "turn " << turn << " groups " << groups.size();
      }
    }
  }
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
    const auto first = turns.run({request})[0];
    GenerationRequest next = request;
    next.prompt.resize(95);  // the end of the prompt reads otherwise in the next turn
    for (int32_t i = 0; i < 40; i++) next.prompt.push_back(i * 5 % 250);
    const auto second = turns.run({next})[0];
    EXPECT_EQ(second.cached_tokens, 80) << name;
    GenerationRequest third = next;
    for (const auto& t : second.tokens) third.prompt.push_back(t.id);
    third.prompt.push_back(3);
    const auto last = turns.run({third})[0];
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

// ModelEngine: requests of many threads, and their ends.
#include "runtime/model_engine.h"

#include <gtest/gtest.h>

#include <thread>

#include "runtime/engine_test_support.h"
#include "runtime/fake_model.h"

namespace infernum {
namespace {

using test::FakeModel;
using test::Receiver;

constexpr Retention full{};
constexpr Retention window{Retention::Kind::Window, 40};
constexpr Retention recurrent{Retention::Kind::Recurrent};

std::shared_ptr<FakeModel> fake() { return std::make_shared<FakeModel>(std::vector<Retention>{full, window, recurrent}); }

ModelEngineOptions small() {
  ModelEngineOptions options;
  options.max_num_seqs = 4;
  options.max_num_batched_tokens = 64;
  options.cache_tokens = 1600;
  options.max_queue = 1000;
  return options;
}

EngineRequest request_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  EngineRequest r;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  r.sampling.seed = r.prompt.size();
  return r;
}

std::vector<int32_t> prompt_of(int64_t length, int32_t first) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < length; i++) ids.push_back(static_cast<int32_t>((first + i * 7) % FakeModel::vocab));
  return ids;
}

/// Token by token from the definition.
std::vector<int32_t> expected(const FakeModel& model, const EngineRequest& r) {
  auto tokens = r.prompt;
  for (int64_t i = 0; i < r.max_tokens; i++) {
    auto logits = model.expected(tokens);
    const auto position = static_cast<int64_t>(tokens.size());
    tokens.push_back(sample(logits, r.sampling, {r.prompt, std::span(tokens).subspan(r.prompt.size()), FakeModel::vocab}, position));
  }
  return {tokens.begin() + static_cast<std::ptrdiff_t>(r.prompt.size()), tokens.end()};
}

TEST(ModelEngine, ThreadsSubmitAndEveryRequestGetsItsTokens) {
  const auto model = fake();
  ModelEngine engine(model, small());
  Receiver receiver(engine);
  constexpr int threads = 4, each = 25;
  std::vector<std::thread> clients;
  for (int t = 0; t < threads; t++)
    clients.emplace_back([&, t] {
      for (int i = 0; i < each; i++) {
        const auto id = static_cast<RequestId>(t * each + i);
        ASSERT_EQ(engine.submit(id, request_of(prompt_of(20 + 3 * i, t), 1 + i)), Admission::Accepted);
        if (i % 5 == 4) engine.cancel(id);
        engine.stats();
      }
    });
  for (auto& c : clients) c.join();
  receiver.wait_for(threads * each);
  for (int t = 0; t < threads; t++)
    for (int i = 0; i < each; i++) {
      const auto id = static_cast<RequestId>(t * each + i);
      const auto want = expected(*model, request_of(prompt_of(20 + 3 * i, t), 1 + i)), got = receiver.tokens(id);
      if (receiver.end(id).reason == EndReason::Cancelled) {
        ASSERT_LE(got.size(), want.size());
        ASSERT_TRUE(std::equal(got.begin(), got.end(), want.begin())) << id;
      } else {
        ASSERT_EQ(receiver.end(id).reason, EndReason::Length);
        ASSERT_EQ(got, want) << id;
      }
    }
  engine.stop();
  const EngineStats s = engine.stats();
  EXPECT_EQ(s.running + s.waiting + s.cache_blocks_used, 0);
  EXPECT_GT(s.prefix_hits, 0u);
  EXPECT_LE(s.prefix_hits, s.prefix_queries);
}

TEST(ModelEngine, StopEndsEveryRequestOnce) {
  ModelEngine engine(fake(), small());
  Receiver receiver(engine);
  for (RequestId id = 0; id < 50; id++) ASSERT_EQ(engine.submit(id, request_of(prompt_of(30, 1), 300)), Admission::Accepted);
  engine.stop();
  EXPECT_EQ(receiver.ended(), 50u);
  EXPECT_EQ(engine.submit(99, request_of({1}, 1)), Admission::Stopped);
  EXPECT_EQ(engine.stats().state, EngineState::Stopped);
}

TEST(ModelEngine, AFaultyRequestEndsAloneAndTheEngineGoesOn) {
  for (const auto& [faults, reason] : {std::pair("request:2:throw", EndReason::Fault), std::pair("request:2:nan", EndReason::NotFinite)}) {
    const auto model = fake();
    auto options = small();
    options.faults = Faults::parse(faults);
    ModelEngine engine(model, options);
    Receiver receiver(engine);
    for (RequestId id = 1; id <= 4; id++) engine.submit(id, request_of(prompt_of(30 + 9 * static_cast<int64_t>(id), 3), 25));
    receiver.wait_for(4);
    engine.submit(5, request_of(prompt_of(48, 3), 25));  // the prompt of the faulty one
    receiver.wait_for(5);
    for (RequestId id = 1; id <= 5; id++) {
      EXPECT_EQ(receiver.end(id).reason, id == 2 ? reason : EndReason::Length) << faults;
      if (id == 2) continue;
      const auto request = request_of(prompt_of(id == 5 ? 48 : 30 + 9 * static_cast<int64_t>(id), 3), 25);
      EXPECT_EQ(receiver.tokens(id), expected(*model, request)) << faults << " request " << id;
    }
    EXPECT_EQ(engine.stats().state, EngineState::Running);
    EXPECT_EQ(engine.stats().running + engine.stats().cache_blocks_used, 0);
  }
}

TEST(ModelEngine, ADeadEngineSaysSo) {
  auto options = small();
  options.faults = Faults::parse("step:3:die");
  ModelEngine engine(fake(), options);
  Receiver receiver(engine);
  engine.submit(1, request_of({1, 2, 3}, 100));
  receiver.wait_for(1);
  EXPECT_EQ(receiver.end(1).reason, EndReason::Fault);
  engine.stop();
  EXPECT_EQ(engine.stats().state, EngineState::Failed);
}

TEST(ModelEngine, RefusesWhatCanNeverRun) {
  ModelEngine engine(fake(), small());
  EXPECT_EQ(engine.info().context, 400);
  const auto error = [&](const std::function<void(EngineRequest&)>& change) {
    auto r = request_of({1, 2}, 5);
    change(r);
    try {
      engine.submit(1, r);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  EXPECT_NE(error([](auto& r) { r.prompt = prompt_of(400, 1); }).find("prompt tokens 400 context 400"), std::string::npos);
  EXPECT_NE(error([](auto& r) { r.prompt.clear(); }).find("no tokens"), std::string::npos);
  EXPECT_NE(error([](auto& r) { r.prompt = {FakeModel::vocab}; }).find("outside of the vocabulary"), std::string::npos);
  EXPECT_NE(error([](auto& r) { r.sampling.temperature = -1; }).find("temperature"), std::string::npos);
  EXPECT_NE(error([](auto& r) { r.min_tokens = 6; }).find("min_tokens"), std::string::npos);
  EXPECT_NE(error([](auto& r) { r.max_tokens = -1; }).find("max_tokens"), std::string::npos);
  EXPECT_NE(error([](auto& r) { r.sampling.bad_words = {{}}; }).find("bad_words"), std::string::npos);
  auto options = small();
  options.cache_tokens = 160;
  ModelEngine narrow(fake(), options);
  EXPECT_EQ(narrow.info().context, 160);
}

}  // namespace
}  // namespace infernum

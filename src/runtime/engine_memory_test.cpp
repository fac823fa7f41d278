// Memory that is short and a device that is lost: who is run with less, who fails, and that nobody else's tokens change.
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/engine_core.h"
#include "runtime/engine_test_support.h"
#include "runtime/fake_model.h"
#include "runtime/model_engine.h"

namespace infernum {
namespace {

using test::FakeModel;
using test::Receiver;

constexpr Retention full{};
constexpr Retention window{Retention::Kind::Window, 20};
constexpr Retention chunk{Retention::Kind::Chunk, 48};
constexpr Retention recurrent{Retention::Kind::Recurrent};
const std::vector<std::vector<Retention>> shapes{{full},        {full, window}, {full, recurrent}, {window, full, recurrent},
                                                 {chunk, full}, {recurrent}};

constexpr int32_t special = 49;  ///< a token that nobody has but who is given it

struct Result {
  std::vector<int32_t> tokens;
  std::vector<ScoredToken> prompt;
  RequestEnd end;
};

EngineCoreOptions options() {
  EngineCoreOptions o;
  o.scheduler.max_num_seqs = 6;
  o.scheduler.max_num_batched_tokens = 40;
  o.cache_tokens = 1600;
  return o;
}

std::vector<EngineRequest> requests_of(int64_t max_tokens = 30) {
  std::vector<EngineRequest> list(6);
  for (size_t i = 0; i < list.size(); i++) {
    for (size_t j = 0; j < 10 + 25 * i; j++) list[i].prompt.push_back(static_cast<int32_t>((i * 7 + j * j) % 48));
    list[i].max_tokens = max_tokens;
    list[i].sampling.temperature = i % 2 ? 1 : 0;
    list[i].sampling.seed = i;
    list[i].sampling.suppress_tokens = {special};
  }
  return list;
}

/// Runs them together to their ends. Id i + 1 is requests[i].
std::map<RequestId, Result> run_all(Model& model, const std::vector<EngineRequest>& requests, const std::string& faults = "") {
  const Faults parsed = Faults::parse(faults);
  EventBatch events;
  EngineCore core(model, options(), parsed, events, nullptr);
  for (size_t i = 0; i < requests.size(); i++) core.add(i + 1, requests[i], std::chrono::steady_clock::now(), i + 1);
  std::map<RequestId, Result> results;
  for (int steps = 0; !core.idle(); steps++) {
    if (steps == 100000) {
      ADD_FAILURE() << "it does not come to an end";
      break;
    }
    EXPECT_TRUE(core.step());
    for (EngineEvent& e : events.take()) {
      Result& r = results[e.request];
      for (const auto& t : e.tokens) r.tokens.push_back(t.id);
      if (!e.prompt.empty()) r.prompt = std::move(e.prompt);
      if (e.end) r.end = std::move(*e.end);
    }
  }
  for (int g = 0; g < core.pools().groups(); g++) EXPECT_EQ(core.pools().group(g).available(), core.pools().group(g).size());
  return results;
}

void expect_others_unchanged(const std::map<RequestId, Result>& got, const std::map<RequestId, Result>& want, RequestId culprit = 0) {
  for (const auto& [id, expected] : want) {
    if (id == culprit) continue;
    EXPECT_EQ(got.at(id).end.reason, EndReason::Length) << "request " << id << " " << got.at(id).end.cause;
    EXPECT_EQ(got.at(id).tokens, expected.tokens) << "request " << id;
  }
}

TEST(EngineMemory, AStepThatDoesNotFitIsRunWithLess) {
  for (const auto& groups : shapes)
    for (const int64_t most : {1, 2, 5, 17}) {
      FakeModel roomy(groups), narrow(groups);
      narrow.most_tokens = most;
      const auto want = run_all(roomy, requests_of());
      expect_others_unchanged(run_all(narrow, requests_of()), want);
      EXPECT_GT(narrow.shortages, 0);
    }
}

TEST(EngineMemory, WhatDoesNotFitIsNotTriedAtEveryStep) {
  FakeModel model({full});
  model.most_tokens = 5;
  const auto results = run_all(model, requests_of(300));
  for (const auto& [id, result] : results) EXPECT_EQ(result.tokens.size(), std::min<size_t>(300, 400 - (10 + 25 * (id - 1)))) << id;
  EXPECT_LT(model.shortages, model.steps / 20) << "of all steps";
}

TEST(EngineMemory, ScoresOfAPromptSurviveSmallerSteps) {
  auto requests = requests_of();
  requests[4].prompt_logprobs = 1;
  FakeModel roomy({full, recurrent}), narrow({full, recurrent});
  narrow.most_tokens = 3;
  const auto want = run_all(roomy, requests), got = run_all(narrow, requests);
  expect_others_unchanged(got, want);
  ASSERT_EQ(got.at(5).prompt.size(), requests[4].prompt.size());
  for (size_t i = 0; i < requests[4].prompt.size(); i++) EXPECT_EQ(got.at(5).prompt[i].logprob, want.at(5).prompt[i].logprob) << i;
}

TEST(EngineMemory, WhoDoesNotFitAloneFailsAlone) {
  for (const auto& groups : shapes) {
    FakeModel model(groups);
    const auto want = run_all(model, requests_of());
    model.bad_alloc_at = special;
    for (const size_t place : {size_t{0}, size_t{37}, size_t{59}}) {
      auto requests = requests_of();
      requests[2].prompt[place] = special;
      model.shortages = 0;
      const auto got = run_all(model, requests);
      expect_others_unchanged(got, want, 3);
      const RequestEnd& end = got.at(3).end;
      EXPECT_EQ(end.reason, EndReason::OutOfMemory) << place;
      EXPECT_NE(end.message.find("not enough memory"), std::string::npos) << end.message;
      EXPECT_NE(end.message.find("--gpu-memory-utilization"), std::string::npos) << end.message;
      EXPECT_LE(model.shortages, 8) << "halves of 40 tokens, and with others";
    }
  }
}

TEST(EngineMemory, TheClientIsToldHowMuchWasAskedFor) {
  FakeModel model({full});
  model.most_tokens = 0;
  const auto end = run_all(model, {requests_of()[0]}).at(1).end;
  EXPECT_EQ(end.reason, EndReason::OutOfMemory);
  EXPECT_NE(end.message.find("on the fake device: 64 MiB were asked for, 1 MiB of 1024 MiB are free"), std::string::npos) << end.message;
}

TEST(EngineMemory, FaultsOnOrderBehaveLikeTheModels) {
  for (const auto& groups : shapes) {
    FakeModel model(groups);
    const auto want = run_all(model, requests_of());
    expect_others_unchanged(run_all(model, requests_of(), "step:1:oom,step:9:oom,step:20:oom"), want);
    const auto got = run_all(model, requests_of(), "request:4:oom");
    expect_others_unchanged(got, want, 4);
    EXPECT_EQ(got.at(4).end.reason, EndReason::OutOfMemory);
  }
}

ModelEngineOptions engine_options(const std::string& faults = "") {
  ModelEngineOptions o;
  o.max_num_seqs = 6;
  o.max_num_batched_tokens = 40;
  o.cache_tokens = 1600;
  o.faults = Faults::parse(faults);
  return o;
}

TEST(EngineMemory, ALostDeviceEndsEveryRequestAndTheEngine) {
  for (const auto& groups : shapes)
    for (const bool ordered : {false, true}) {
      auto model = std::make_shared<FakeModel>(groups);
      if (!ordered) model->lost_at = special;
      ModelEngine engine(model, engine_options(ordered ? "step:7:lost" : ""));
      Receiver receiver(engine);
      auto requests = requests_of(200);
      if (!ordered) requests[3].prompt[80] = special;
      for (size_t i = 0; i < requests.size(); i++) ASSERT_EQ(engine.submit(i + 1, requests[i]), Admission::Accepted);
      receiver.wait_for(requests.size());
      for (RequestId id = 1; id <= requests.size(); id++) {
        const RequestEnd end = receiver.end(id);
        EXPECT_EQ(end.reason, EndReason::DeviceLost) << id;
        EXPECT_EQ(end.message, client_message(EndReason::DeviceLost) + (ordered ? ": on order" : ": an illegal address"));
      }
      engine.stop();
      const EngineStats stats = engine.stats();
      EXPECT_EQ(stats.state, EngineState::Failed);
      EXPECT_EQ(stats.running + stats.waiting, 0);
      EXPECT_EQ(model->steps, ordered ? 6 : model->steps_when_lost) << "nothing is tried on a device that is gone";
      EXPECT_EQ(engine.submit(99, requests[0]), Admission::Stopped);
    }
}

TEST(EngineMemory, TheEngineLivesOnAfterAShortage) {
  auto model = std::make_shared<FakeModel>(std::vector<Retention>{full, recurrent});
  model->bad_alloc_at = special;
  ModelEngine engine(model, engine_options());
  Receiver receiver(engine);
  auto requests = requests_of();
  requests[1].prompt.back() = special;
  for (size_t i = 0; i < requests.size(); i++) engine.submit(i + 1, requests[i]);
  receiver.wait_for(requests.size());
  engine.submit(7, requests[0]);
  receiver.wait_for(requests.size() + 1);
  EXPECT_EQ(receiver.end(2).reason, EndReason::OutOfMemory);
  EXPECT_EQ(receiver.end(7).reason, EndReason::Length);
  EXPECT_EQ(receiver.tokens(7), receiver.tokens(1));
  EXPECT_EQ(engine.stats().state, EngineState::Running);
}

/// A model on a device of its own.
class DeviceModel : public FakeModel {
 public:
  DeviceModel(const std::vector<Retention>& groups, int64_t bytes) : FakeModel(groups), left(bytes) {}
  int64_t device_memory_left() const override { return left; }
  void allocate_cache(const std::vector<int64_t>& blocks) override {
    int64_t wanted = 0;
    for (size_t g = 0; g < blocks.size(); g++) wanted += blocks[g] * info().block_bytes(static_cast<int>(g));
    if (wanted > left) throw OutOfMemory("on the device X", wanted, left, int64_t{80} << 30);
    taken = wanted;
    FakeModel::allocate_cache(blocks);
  }
  int64_t left, taken = 0;
};

TEST(EngineMemory, TheCacheTakesWhatADeviceHasLeft) {
  for (const auto& groups : shapes) {
    const int64_t everything = int64_t{1} << 30, block = DeviceModel(groups, 0).info().block_bytes(0);
    ModelEngineOptions o = engine_options();
    o.cache_tokens = 0;
    const auto roomy = std::make_shared<DeviceModel>(groups, everything);
    ModelEngine most(roomy, o);
    EXPECT_EQ(most.info().cache_tokens, 400 * 6) << "the context for everyone";
    int sizes = 0;
    for (int64_t left = roomy->taken; left > roomy->taken / 2; left -= 7 * block / 2) {
      const auto model = std::make_shared<DeviceModel>(groups, left);
      try {
        ModelEngine engine(model, o);
        const int64_t per_step = static_cast<int64_t>(groups.size()) * 6 * block;  // what another block of tokens may cost in all groups
        EXPECT_LE(engine.info().cache_tokens, most.info().cache_tokens);
        if (engine.info().cache_tokens < most.info().cache_tokens) {
          EXPECT_GT(model->taken, left - per_step);
        }
        sizes++;
      } catch (const OutOfMemory& e) {
        EXPECT_NE(std::string(e.what()).find("6 sequences need"), std::string::npos) << e.what();
        break;  // less would not do either
      }
    }
    EXPECT_GT(sizes, 0);
  }
}

TEST(EngineMemory, ACacheThatDoesNotFitIsRefusedWithItsSize) {
  const auto said = [](int64_t left, int64_t tokens) {
    auto o = engine_options();
    o.cache_tokens = tokens;
    try {
      ModelEngine engine(std::make_shared<DeviceModel>(std::vector<Retention>{full}, left), o);
    } catch (const OutOfMemory& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(said(int64_t{1} << 20, 1600), "none");
  const std::string chosen = said(1 << 20, 1 << 20);  // 4 bytes for each token
  EXPECT_NE(chosen.find("the key-value cache does not fit, 4 MiB for 1048576 tokens and 6 sequences"), std::string::npos) << chosen;
  EXPECT_NE(chosen.find("on the device X: 4 MiB were asked for, 1 MiB of 81920 MiB are free"), std::string::npos) << chosen;
  EXPECT_NE(chosen.find("--kv-cache-tokens"), std::string::npos) << chosen;
  const std::string least = said(100, 0);
  EXPECT_NE(least.find("6 sequences need 448 bytes at least, 100 bytes are left beside the weights"), std::string::npos) << least;
}

}  // namespace
}  // namespace infernum

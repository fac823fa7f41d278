// EngineCore: random traffic on a model whose logits tell what its layers saw. Every request ends once with the tokens of its definition,
// whatever the cache, the chunks, the others, preemptions and faults do, and no block is lost.
#include "runtime/engine_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>

#include "core/check.h"
#include "runtime/fake_model.h"

namespace infernum {
namespace {

using test::FakeModel;
using Clock = std::chrono::steady_clock;

constexpr Retention full{};
Retention window(int64_t tokens) { return {Retention::Kind::Window, tokens}; }
Retention chunk(int64_t tokens) { return {Retention::Kind::Chunk, tokens}; }
constexpr Retention recurrent{Retention::Kind::Recurrent};

const std::vector<std::vector<Retention>> shapes{
    {full},       {full, window(20)}, {full, recurrent},     {window(40), full, recurrent}, {chunk(48), full},
    {window(33)}, {recurrent},        {window(8), recurrent}};

constexpr int32_t throwing = 48, nan_token = 49;

/// What a request has to say, from its definition.
struct Expected {
  std::vector<ScoredToken> tokens;
  EndReason reason = EndReason::Length;
};

Expected expected_of(const FakeModel& model, const EngineRequest& r) {
  Expected e;
  auto tokens = r.prompt;
  if (std::count(tokens.begin(), tokens.end(), throwing) > 0) return {{}, EndReason::Fault};
  const int64_t most = std::min(r.max_tokens, model.info().context - static_cast<int64_t>(tokens.size()));
  for (int64_t i = 0; i < most; i++) {
    if (tokens.back() == nan_token) return {std::move(e.tokens), EndReason::NotFinite};
    if (tokens.back() == throwing) return {std::move(e.tokens), EndReason::Fault};
    auto logits = model.expected(tokens);
    const ChoiceContext at{r.prompt, std::span(tokens).subspan(r.prompt.size()), FakeModel::vocab,
                           i < r.min_tokens ? std::span(r.stop_ids) : std::span<const int32_t>()};
    e.tokens.push_back(choose_token(logits, r.sampling, {r.top_logprobs}, at));
    tokens.push_back(e.tokens.back().id);
    if (std::find(r.stop_ids.begin(), r.stop_ids.end(), tokens.back()) != r.stop_ids.end()) return {std::move(e.tokens), EndReason::Stop};
  }
  return e;
}

void expect_same(const std::vector<ScoredToken>& got, const std::vector<ScoredToken>& want, bool whole, RequestId id) {
  ASSERT_TRUE(whole ? got.size() == want.size() : got.size() <= want.size())
      << "request " << id << ": " << got.size() << " " << want.size();
  for (size_t i = 0; i < got.size(); i++) {
    ASSERT_EQ(got[i].id, want[i].id) << "request " << id << " token " << i;
    ASSERT_EQ(got[i].logprob, want[i].logprob) << "request " << id << " token " << i;
    ASSERT_EQ(got[i].rank, want[i].rank);
    ASSERT_EQ(got[i].top.size(), want[i].top.size());
    for (size_t j = 0; j < got[i].top.size(); j++) ASSERT_EQ(got[i].top[j].id, want[i].top[j].id);
  }
}

/// Random traffic through one core.
class Traffic {
 public:
  explicit Traffic(unsigned seed) : rng_(seed), crowded_(seed / shapes.size() % 2 == 1), model_(shapes[seed % shapes.size()]) {
    model_.throws_at = throwing;
    model_.nan_at = nan_token;
    EngineCoreOptions options;
    options.scheduler.max_num_seqs = crowded_ ? 5 : 1 + below(6);
    options.scheduler.max_num_batched_tokens = options.scheduler.max_num_seqs + below(100);
    options.scheduler.enable_prefix_caching = below(4) > 0;
    options.scheduler.state_interval = 48;
    options.cache_tokens = 400 + block_tokens * below(crowded_ ? 3 : 60);
    core_ = std::make_unique<EngineCore>(model_, options, faults_, events_, nullptr);
    for (int i = 0; i < 4; i++) beginnings_.push_back(random_tokens(10 + below(150)));
  }

  void run(int requests) {
    for (int steps = 0; submitted_ < requests || !core_->idle(); steps++) {
      ASSERT_LT(steps, 100000) << "it does not come to an end";
      while (submitted_ < requests && below(2) == 0) submit();
      if (below(40) == 0 && submitted_ > 0) core_->cancel(static_cast<RequestId>(below(submitted_) + 1));
      const bool worked = core_->step();
      ASSERT_TRUE(worked || core_->idle()) << "requests wait, but nothing is done";
      collect();
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_EQ(ends_.size(), static_cast<size_t>(requests));
    for (const auto& [id, end] : ends_) check_request(id, end);
    for (int g = 0; g < core_->pools().groups(); g++)
      ASSERT_EQ(core_->pools().group(g).available(), core_->pools().group(g).size()) << "blocks of group " << g << " are lost";
    EngineStats stats;
    core_->count(stats);
    preemptions = stats.preemptions, hits = stats.prefix_hits;
  }

  uint64_t preemptions = 0, hits = 0;
  std::map<EndReason, int> reasons;

 private:
  int64_t below(int64_t n) { return static_cast<int64_t>(rng_() % static_cast<uint64_t>(n)); }
  std::vector<int32_t> random_tokens(int64_t count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; i++) ids.push_back(static_cast<int32_t>(below(throwing)));
    return ids;
  }

  void submit() {
    EngineRequest r;
    const auto& beginning = beginnings_[static_cast<size_t>(below(4))];
    r.prompt.assign(beginning.begin(), beginning.begin() + below(static_cast<int64_t>(beginning.size())));
    const auto rest = random_tokens(1 + below(below(3) ? 20 : 150));
    r.prompt.insert(r.prompt.end(), rest.begin(), rest.end());
    r.max_tokens = below(8) == 0 ? 0 : 1 + below(crowded_ || below(3) == 0 ? 250 : 20);
    r.min_tokens = below(2) ? 0 : below(r.max_tokens + 1);
    r.priority = static_cast<int>(below(3));
    r.cache_salt = std::string(static_cast<size_t>(below(3)), 's');
    r.sampling.temperature = below(2) ? 0 : 1;
    r.sampling.seed = rng_();
    r.sampling.suppress_tokens = {throwing, nan_token};
    if (below(6) == 0) r.sampling.suppress_tokens.clear();  // it may walk into them
    if (below(3) == 0) r.top_logprobs = static_cast<int>(below(4));
    if (below(6) == 0) r.prompt_logprobs = static_cast<int>(below(3));
    for (int64_t i = crowded_ ? 0 : below(4); i > 0; i--) r.stop_ids.push_back(static_cast<int32_t>(below(throwing)));
    if (below(12) == 0) r.prompt[static_cast<size_t>(below(static_cast<int64_t>(r.prompt.size())))] = throwing;
    if (below(12) == 0) r.prompt.back() = nan_token;
    const auto id = static_cast<RequestId>(++submitted_);
    requests_[id] = r;
    core_->add(id, std::move(r), Clock::now(), id);
  }

  void collect() {
    for (EngineEvent& e : events_.take()) {
      ASSERT_EQ(ends_.count(e.request), 0u) << "an event behind the end";
      for (auto& t : e.tokens) tokens_[e.request].push_back(std::move(t));
      if (!e.prompt.empty()) {
        ASSERT_TRUE(prompts_[e.request].empty());
        prompts_[e.request] = std::move(e.prompt);
      }
      if (e.end) ends_.emplace(e.request, std::move(*e.end));
    }
  }

  void check_request(RequestId id, const RequestEnd& end) {
    const EngineRequest& r = requests_.at(id);
    const Expected want = expected_of(model_, r);
    const bool cancelled = end.reason == EndReason::Cancelled;
    reasons[end.reason]++;
    // A prompt that wants its scores fails where NaN is first seen.
    if (!cancelled) {
      ASSERT_EQ(end.reason, want.reason) << "request " << id << ": " << end.message;
    }
    expect_same(tokens_[id], want.tokens, !cancelled, id);
    ASSERT_EQ(end.bill.generated_tokens, static_cast<int64_t>(tokens_[id].size()));
    ASSERT_EQ(end.bill.prompt_tokens, static_cast<int64_t>(r.prompt.size()));
    int64_t common = 0;  // with what anyone of this salt submitted
    for (const auto& [other, q] : requests_) {
      if (other == id || q.cache_salt != r.cache_salt) continue;
      auto all = q.prompt;
      for (const auto& t : tokens_[other]) all.push_back(t.id);
      const auto most = std::min(all.size(), r.prompt.size() - 1);
      common = std::max<int64_t>(
          common, std::mismatch(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most), r.prompt.begin()).first - all.begin());
    }
    ASSERT_LE(end.bill.cached_tokens, common) << "request " << id << " shares what it may not";
    if (r.prompt_logprobs < 0 || cancelled || want.reason == EndReason::Fault || prompts_[id].empty()) return;
    const auto& prompt = prompts_[id];
    ASSERT_EQ(prompt.size(), r.prompt.size());
    ASSERT_FALSE(prompt[0].logprob);
    for (size_t i = 1; i < prompt.size(); i++) {
      const auto logits = model_.expected(std::span(r.prompt).first(i));
      ASSERT_EQ(prompt[i].logprob, score_token(logits, r.prompt[i], {0}).logprob) << "request " << id << " position " << i;
    }
  }

  std::mt19937_64 rng_;
  bool crowded_;  ///< long answers in a small cache
  FakeModel model_;
  Faults faults_;
  EventBatch events_;
  std::unique_ptr<EngineCore> core_;
  std::vector<std::vector<int32_t>> beginnings_;
  int64_t submitted_ = 0;
  std::map<RequestId, EngineRequest> requests_;
  std::map<RequestId, RequestEnd> ends_;
  std::map<RequestId, std::vector<ScoredToken>> tokens_, prompts_;
};

TEST(EngineCore, RandomTrafficGetsTheTokensOfItsDefinition) {
  uint64_t preemptions = 0, hits = 0;
  std::map<EndReason, int> reasons;
  for (unsigned seed = 0; seed < 160; seed++) {
    Traffic traffic(seed);
    traffic.run(40);
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
    preemptions += traffic.preemptions, hits += traffic.hits;
    for (const auto& [reason, n] : traffic.reasons) reasons[reason] += n;
  }
  EXPECT_GT(preemptions, 100u) << "blocks were hardly ever short";
  EXPECT_GT(hits, 5000u);
  for (EndReason reason : {EndReason::Stop, EndReason::Length, EndReason::Cancelled, EndReason::NotFinite, EndReason::Fault})
    EXPECT_GT(reasons[reason], 50) << static_cast<int>(reason);
}

/// Runs these requests together to their ends.
std::map<RequestId, std::pair<std::vector<int32_t>, RequestEnd>> run_all(Model& model, const EngineCoreOptions& options,
                                                                         const std::vector<EngineRequest>& requests,
                                                                         const std::string& faults = "") {
  const Faults parsed = Faults::parse(faults);
  EventBatch events;
  EngineCore core(model, options, parsed, events, nullptr);
  for (size_t i = 0; i < requests.size(); i++) core.add(i + 1, requests[i], Clock::now(), i + 1);
  std::map<RequestId, std::pair<std::vector<int32_t>, RequestEnd>> results;
  while (!core.idle()) {
    EXPECT_TRUE(core.step());
    for (EngineEvent& e : events.take()) {
      for (const auto& t : e.tokens) results[e.request].first.push_back(t.id);
      if (e.end) results[e.request].second = std::move(*e.end);
    }
  }
  for (int g = 0; g < core.pools().groups(); g++) EXPECT_EQ(core.pools().group(g).available(), core.pools().group(g).size());
  return results;
}

std::vector<EngineRequest> three_requests() {
  std::vector<EngineRequest> list(3);
  for (size_t i = 0; i < 3; i++) {
    for (size_t j = 0; j < 20 + 30 * i; j++) list[i].prompt.push_back(static_cast<int32_t>((i * 7 + j * j) % 48));
    list[i].max_tokens = 30;
    list[i].sampling.temperature = 0;
    list[i].sampling.suppress_tokens = {throwing, nan_token};
  }
  return list;
}

EngineCoreOptions small_core() {
  EngineCoreOptions options;
  options.scheduler.max_num_seqs = 3;
  options.scheduler.max_num_batched_tokens = 40;
  options.cache_tokens = 800;
  return options;
}

TEST(EngineCore, AFaultEndsItsRequestAndChangesNoOther) {
  for (const auto& groups : shapes) {
    FakeModel model(groups);
    const auto requests = three_requests();
    const auto want = run_all(model, small_core(), requests);
    for (const auto& [faults, culprit, reason] :
         std::vector<std::tuple<std::string, RequestId, EndReason>>{{"request:2:throw", 2, EndReason::Fault},
                                                                    {"request:3:nan", 3, EndReason::NotFinite},
                                                                    {"step:1:throw,step:12:throw", 0, EndReason::Length}}) {
      const auto got = run_all(model, small_core(), requests, faults);
      for (RequestId id = 1; id <= 3; id++) {
        if (id == culprit) {
          EXPECT_EQ(got.at(id).second.reason, reason) << faults;
        } else {
          EXPECT_EQ(got.at(id).second.reason, EndReason::Length) << faults << " request " << id << " " << got.at(id).second.message;
          EXPECT_EQ(got.at(id).first, want.at(id).first) << faults << " request " << id;
        }
      }
    }
  }
}

TEST(EngineCore, EveryKindOfFaultIsTypedAndTellsClientsNothing) {
  FakeModel model({full, recurrent});
  model.throws_at = throwing, model.nan_at = nan_token;
  auto requests = three_requests();
  const auto want = run_all(model, small_core(), requests);
  const auto with = [&](const std::function<void(EngineRequest&)>& change) {
    auto changed = requests;
    change(changed[1]);
    const auto got = run_all(model, small_core(), changed);
    EXPECT_EQ(got.at(1).first, want.at(1).first);
    EXPECT_EQ(got.at(3).first, want.at(3).first);
    EXPECT_EQ(got.at(1).second.reason, EndReason::Length);
    EXPECT_EQ(got.at(3).second.reason, EndReason::Length);
    return got.at(2).second;
  };
  const std::vector<std::tuple<EndReason, std::string, std::function<void(EngineRequest&)>>> cases{
      {EndReason::Fault, "this token throws", [](auto& r) { r.prompt[20] = throwing; }},
      {EndReason::NotFinite, "returned NaN", [](auto& r) { r.prompt.back() = nan_token; }},
      {EndReason::NotFinite, "returned NaN",
       [](auto& r) { r.prompt[30] = nan_token, r.prompt_logprobs = 1; }},  // where only a score of the prompt sees it
      {EndReason::Fault, "rules out every token",
       [](auto& r) {
         r.sampling.allowed_token_ids = r.sampling.suppress_tokens = {3, 4};
       }},
      {EndReason::Fault, "rules out every token", [](auto& r) {
         r.min_tokens = 5;
         r.sampling.allowed_token_ids = r.stop_ids = {7};
       }}};
  for (const auto& [reason, cause, change] : cases) {
    const RequestEnd end = with(change);
    EXPECT_EQ(end.reason, reason) << cause;
    EXPECT_NE(end.cause.find(cause), std::string::npos) << end.cause;
    EXPECT_FALSE(end.message.empty());
    for (const char* secret : {"token 0", ".cpp", ".h:", "position", cause.c_str()})
      EXPECT_EQ(end.message.find(secret), std::string::npos) << end.message;
  }
}

TEST(EngineCore, OnlyRowsThatAreSampledGetLogits) {
  FakeModel model({full});
  auto requests = three_requests();
  run_all(model, small_core(), requests);
  EXPECT_EQ(model.rows, 3 * 30);
  requests[0].max_tokens = 0;
  model.rows = 0;
  run_all(model, small_core(), {requests[0]});
  EXPECT_EQ(model.rows, 0) << "nothing is chosen";
}

TEST(EngineCore, DeadlinesEndRequests) {
  FakeModel model({full});
  const Faults none;
  EventBatch events;
  EngineCore core(model, small_core(), none, events, nullptr);
  auto requests = three_requests();
  const auto now = Clock::now();
  requests[0].deadline = now + std::chrono::seconds(10);
  requests[1].queue_deadline = now + std::chrono::seconds(5);
  core.add(1, requests[0], now, 1);
  core.step();
  core.add(2, requests[1], now, 2);
  core.expire(now + std::chrono::seconds(6));
  core.expire(now + std::chrono::seconds(11));
  const auto list = events.take();
  std::map<RequestId, EndReason> ends;
  for (const auto& e : list)
    if (e.end) ends[e.request] = e.end->reason;
  EXPECT_EQ(ends.at(1), EndReason::Timeout);
  EXPECT_EQ(ends.at(2), EndReason::QueueTimeout);
  EXPECT_TRUE(core.idle());
}

TEST(EngineCore, ALostRequestIsAFault) {
  EventBatch events;
  { Ticket dropped(events, 7); }
  const auto list = events.take();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].request, 7u);
  EXPECT_EQ(list[0].end->reason, EndReason::Fault);
  Ticket used(events, 8);
  used.end({EndReason::Stop, {}, {}});
  EXPECT_THROW(used.end({EndReason::Stop, {}, {}}), Error);
}

}  // namespace
}  // namespace infernum

// Scheduler: who is in the next step, who waits, who has to make room.
#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "core/check.h"
#include "runtime/fake_model.h"

namespace infernum {
namespace {

using test::FakeModel;

constexpr Retention full{};
constexpr Retention recurrent{Retention::Kind::Recurrent};

class SchedulerTest : public testing::Test {
 protected:
  void make(SchedulerOptions options, int64_t cache_tokens, const std::vector<Retention>& groups = {full}) {
    model_ = std::make_unique<FakeModel>(groups, 100000);
    pools_ = std::make_unique<CachePools>(*model_, cache_tokens, options.max_num_seqs, options.max_num_batched_tokens, 16);
    scheduler_ = std::make_unique<Scheduler>(*pools_, options);
  }
  Sequence& add(int64_t prompt, int32_t seed, int priority = 0, const std::string& salt = "") {
    auto& s = *sequences_.emplace_back(std::make_unique<Sequence>(*pools_));
    for (int64_t i = 0; i < prompt; i++) s.tokens.push_back(static_cast<int32_t>((seed * 37 + i * i) % 50));
    s.prompt_tokens = prompt;
    s.priority = priority;
    s.salt = salt;
    scheduler_->add(s);
    return s;
  }
  /// Runs what is planned; whoever reaches its end gets a token.
  const std::vector<PlannedRow>& step() {
    const auto& rows = scheduler_->plan();
    int64_t tokens = 0;
    for (const PlannedRow& row : rows) tokens += row.count, row.sequence->cache.begin_step(row.first, row.first + row.count);
    EXPECT_LE(tokens, most_);
    for (const PlannedRow& row : rows) scheduler_->computed(row);
    for (const PlannedRow& row : rows) row.sequence->cache.end_step(row.first + row.count);
    for (const PlannedRow& row : rows)
      if (row.reaches_end()) row.sequence->tokens.push_back(1);
    return rows;
  }
  static bool planned(const std::vector<PlannedRow>& rows, const Sequence& s) { return count(rows, s) > 0; }
  static int64_t count(const std::vector<PlannedRow>& rows, const Sequence& s) {
    for (const PlannedRow& row : rows)
      if (row.sequence == &s) return row.count;
    return 0;
  }
  void TearDown() override {
    for (auto& s : sequences_)
      if (s->running || scheduler_->waiting() > 0) scheduler_->remove(*s);
    for (int g = 0; pools_ && g < pools_->groups(); g++) EXPECT_EQ(pools_->group(g).available(), pools_->group(g).size());
    sequences_.clear();
  }

  int64_t most_ = INT64_MAX;
  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<CachePools> pools_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

TEST_F(SchedulerTest, ALongPromptStallsNobodysTokens) {
  make({.max_num_seqs = 4, .max_num_batched_tokens = most_ = 32}, 4000);
  Sequence &a = add(5, 1), &b = add(7, 2);
  step();
  Sequence& longer = add(1000, 3);
  int steps = 0;
  for (; longer.left() > 1 || longer.length() == 1000; steps++) {
    const auto& rows = step();
    ASSERT_EQ(count(rows, a), 1) << "step " << steps;
    ASSERT_EQ(count(rows, b), 1) << "step " << steps;
    ASSERT_EQ(rows[0].sequence, &a) << "those that need one token come first";
    ASSERT_LE(count(rows, longer), 30);
    ASSERT_LT(steps, 40);
  }
  EXPECT_GE(steps, 1000 / 30);
}

TEST_F(SchedulerTest, AShortPromptPassesALongOne) {
  make({.max_num_seqs = 4, .max_num_batched_tokens = most_ = 64}, 4000);
  Sequence& longer = add(1000, 1);
  step();
  Sequence& shorter = add(20, 2);
  const auto& rows = step();
  EXPECT_EQ(count(rows, shorter), 20) << "it does not wait for the whole of the long one";
  EXPECT_GE(count(rows, longer), 32);
}

TEST_F(SchedulerTest, PriorityGoesBeforeArrival) {
  make({.max_num_seqs = 1, .max_num_batched_tokens = 64}, 1000);
  Sequence &first = add(10, 1, 5), &second = add(10, 2, 5), &urgent = add(10, 3, -1);
  EXPECT_TRUE(planned(step(), urgent));
  scheduler_->remove(urgent);
  EXPECT_TRUE(planned(step(), first));
  scheduler_->remove(first);
  EXPECT_TRUE(planned(step(), second));
}

TEST_F(SchedulerTest, WhoOutranksARunningOneTakesItsPlace) {
  make({.max_num_seqs = 2, .max_num_batched_tokens = 2}, 1000);
  Sequence &first = add(1, 1, 5), &second = add(1, 2, 5);
  step();
  step();
  Sequence &equal = add(1, 3, 5), &urgent = add(1, 4, -1);
  EXPECT_TRUE(planned(step(), urgent)) << "it waits for no place and no token of the budget";
  EXPECT_TRUE(first.running);
  EXPECT_FALSE(second.running) << "the latest of the least important ones yields";
  EXPECT_EQ(second.preemptions, 1);
  EXPECT_EQ(second.length(), 3) << "what it had said stays";
  scheduler_->remove(urgent);
  EXPECT_TRUE(planned(step(), second)) << "and goes on before those that came later";
  EXPECT_FALSE(equal.running) << "equals do not yield";
  EXPECT_EQ(first.preemptions + second.preemptions, 1);
}

TEST_F(SchedulerTest, BlocksAreYieldedToWhoOutranksIfThatIsEnough) {
  make({.max_num_seqs = 4, .max_num_batched_tokens = 256}, 320);  // 24 blocks
  ASSERT_EQ(pools_->group(0).size(), 24);
  Sequence &important = add(150, 1, -5), &low = add(60, 2, 5), &lower = add(60, 3, 6);
  step();
  step();
  ASSERT_TRUE(important.running && low.running && lower.running);
  Sequence& large = add(250, 4);
  for (int i = 0; i < 3; i++) EXPECT_EQ(step().size(), 3u) << "all that may yield are not enough: nobody does";
  ASSERT_FALSE(large.running);
  scheduler_->remove(large);
  Sequence& urgent = add(80, 5);
  EXPECT_TRUE(planned(step(), urgent));
  EXPECT_TRUE(low.running);
  EXPECT_FALSE(lower.running) << "as many as are needed, the least important first";
  EXPECT_EQ(low.preemptions + important.preemptions, 0);
}

/// Requests of more priority come for ever, one as soon as another is done: the one that yields computes in every turn that it gets, at the
/// price of one preemption per request that outranks it, and ends.
TEST_F(SchedulerTest, WhoYieldsGetsOnInEveryTurnBetween) {
  make({.max_num_seqs = 1, .max_num_batched_tokens = 32}, 4000);
  Sequence& low = add(400, 1, 9);
  int64_t turns = 0, computed = 0, urgent_ones = 0, steps = 0;
  for (; low.length() < 420; steps++) {
    ASSERT_LT(steps, 400);
    if (steps % 3 == 2) add(20, static_cast<int32_t>(2 + steps), 0), urgent_ones++;
    const auto rows = step();
    ASSERT_EQ(rows.size(), 1u);
    if (count(rows, low) > 0) turns++, computed += count(rows, low);
    if (Sequence& last = *sequences_.back(); last.length() > 20 && &last != &low) scheduler_->remove(last), last.tokens.resize(1);
  }
  EXPECT_LE(low.preemptions, urgent_ones);
  EXPECT_GE(low.preemptions, 10);
  EXPECT_EQ(turns, steps - urgent_ones) << "a step per request that outranks it, the others are its own";
  EXPECT_LE(computed, 420 + low.preemptions * block_tokens) << "no more than a begun block is computed again";
}

TEST_F(SchedulerTest, NobodyWaitsForWhomHeOutranks) {
  for (unsigned seed = 0; seed < 40; seed++) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    make({.max_num_seqs = 1 + below(4), .max_num_batched_tokens = 8 + below(60), .enable_prefix_caching = seed % 2 == 0}, 100000);
    std::map<Sequence*, int> outranking;  // arrivals that might have put it off
    std::vector<Sequence*> open;
    for (int steps = 0, arrived = 0; arrived < 40 || !open.empty(); steps++) {
      ASSERT_LT(steps, 5000);
      while (arrived < 40 && below(3) == 0) {
        Sequence& s = add(1 + below(60), 100 * static_cast<int32_t>(seed) + arrived++, below(4));
        for (Sequence* o : open) outranking[o] += s.priority < o->priority;
        open.push_back(&s);
      }
      const auto rows = step();
      for (Sequence* waits : open)
        for (const PlannedRow& row : rows)
          ASSERT_FALSE(!waits->running && waits->priority < row.sequence->priority) << "seed " << seed << " step " << steps;
      std::erase_if(open, [&](Sequence* s) {
        const bool done = s->length() >= s->prompt_tokens + 5;
        if (done) scheduler_->remove(*s);
        return done;
      });
    }
    for (const auto& [s, n] : outranking) ASSERT_LE(s->preemptions, n) << "each one put it off once";
    EXPECT_EQ(scheduler_->running() + scheduler_->waiting(), 0);
    sequences_.clear();
    scheduler_.reset();
  }
}

TEST_F(SchedulerTest, OneOfManyComputesTheirCommonBeginning) {
  for (const auto& groups : {std::vector<Retention>{full}, {full, recurrent}}) {
    sequences_.clear();
    make({.max_num_seqs = 8, .max_num_batched_tokens = 100}, 8000, groups);
    for (int i = 0; i < 8; i++) add(500, 1);
    int64_t computed = 0;
    for (int steps = 0; scheduler_->waiting() > 0 || sequences_.back()->length() == 500; steps++) {
      ASSERT_LT(steps, 50);
      for (const PlannedRow& row : step()) computed += row.first + row.count <= 500 ? row.count : 0;
    }
    EXPECT_EQ(computed, 500 + 7 * (500 - 496));
    for (const auto& s : sequences_) scheduler_->remove(*s);
    if (groups.size() > 1) continue;
    scheduler_.reset();
  }
}

TEST_F(SchedulerTest, EqualTokensBehindOtherBeginningsAreNotWaitedFor) {
  make({.max_num_seqs = 4, .max_num_batched_tokens = 64}, 4000);
  Sequence& known = add(40, 1);
  step();
  scheduler_->remove(known);
  Sequence& longer = add(400, 2);
  auto& s = *sequences_.emplace_back(std::make_unique<Sequence>(*pools_));
  s.tokens = longer.tokens;
  std::copy(known.tokens.begin(), known.tokens.begin() + 32, s.tokens.begin());
  s.prompt_tokens = s.length();
  scheduler_->add(s);
  EXPECT_TRUE(planned(step(), s)) << "its first 32 tokens are cached and those of the running one are others";
}

TEST_F(SchedulerTest, TheLeastImportantMakesRoomAndLosesNothing) {
  make({.max_num_seqs = 3, .max_num_batched_tokens = 64}, 144);  // 12 blocks
  ASSERT_EQ(pools_->group(0).size(), 12);
  Sequence &old = add(30, 1), &urgent = add(30, 2, -1), &young = add(30, 3);
  std::vector<int> order;
  for (int steps = 0; old.length() < 100; steps++) {
    ASSERT_LT(steps, 200);
    const int before = old.preemptions + urgent.preemptions;
    step();
    if (old.preemptions + urgent.preemptions > before) {
      EXPECT_FALSE(young.running) << "the youngest goes first";
    }
    if (urgent.length() == 80) scheduler_->remove(urgent), urgent.tokens.push_back(0);
    ASSERT_EQ(urgent.preemptions, 0);
  }
  EXPECT_GE(young.preemptions, 1);
  EXPECT_GT(young.length(), 30) << "what it had said stays";
  scheduler_->remove(old);
  const int64_t length = young.length();
  for (int steps = 0; young.length() == length; steps++) {
    ASSERT_LT(steps, 20);
    step();
  }
}

TEST_F(SchedulerTest, WhoComesLaterDoesNotOvertakeWhoDoesNotFitYet) {
  make({.max_num_seqs = 4, .max_num_batched_tokens = 256}, 320);  // 24 blocks
  Sequence& first = add(200, 1);
  step();
  Sequence& big = add(250, 2);
  for (int i = 0; i < 50; i++) {
    add(16, 10 + i);
    step();
    ASSERT_FALSE(big.running);
    ASSERT_EQ(scheduler_->running(), 1) << "small ones wait behind it";
  }
  scheduler_->remove(first);
  EXPECT_TRUE(planned(step(), big));
}

TEST_F(SchedulerTest, AFailedStepIsRunOneByOne) {
  for (const auto& groups : {std::vector<Retention>{full}, {full, recurrent}}) {
    make({.max_num_seqs = 4, .max_num_batched_tokens = 100}, 4000, groups);
    Sequence &a = add(10, 1), &b = add(20, 2), &c = add(30, 3);
    const auto& rows = scheduler_->plan();
    ASSERT_EQ(rows.size(), 3u);
    for (const PlannedRow& row : rows) row.sequence->cache.begin_step(row.first, row.first + row.count);
    scheduler_->failed();
    for (Sequence* alone : {&a, &b, &c}) {
      const auto& retry = step();
      ASSERT_EQ(retry.size(), 1u);
      EXPECT_EQ(retry[0].sequence, alone);
    }
    EXPECT_EQ(step().size(), 3u) << "and together again";
    for (const auto& s : sequences_) scheduler_->remove(*s);
    sequences_.clear();
    scheduler_.reset();
  }
}

TEST_F(SchedulerTest, DeadlinesExpire) {
  make({.max_num_seqs = 1, .max_num_batched_tokens = 64}, 1000);
  const auto now = std::chrono::steady_clock::now(), later = now + std::chrono::seconds(5);
  Sequence &a = add(10, 1), &b = add(10, 2);
  a.queue_deadline = b.queue_deadline = now + std::chrono::seconds(1);
  b.deadline = now + std::chrono::seconds(10);
  step();
  EXPECT_TRUE(scheduler_->expired(now).empty());
  auto expired = scheduler_->expired(later);
  ASSERT_EQ(expired.size(), 1u) << "who has started is out of the queue";
  EXPECT_EQ(expired[0].sequence, &b);
  EXPECT_TRUE(expired[0].in_queue);
  scheduler_->remove(a);
  step();
  EXPECT_TRUE(scheduler_->expired(later).empty());
  expired = scheduler_->expired(now + std::chrono::seconds(10));
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_FALSE(expired[0].in_queue);
}

TEST_F(SchedulerTest, RefusesWhatCannotBe) {
  make({.max_num_seqs = 2, .max_num_batched_tokens = 64}, 160);
  EXPECT_THROW(Scheduler(*pools_, {.max_num_seqs = 0}), Error);
  EXPECT_THROW(Scheduler(*pools_, {.max_num_seqs = 4, .max_num_batched_tokens = 3}), Error);
  EXPECT_THROW(Scheduler(*pools_, {.state_interval = 20}), Error);
}

}  // namespace
}  // namespace infernum

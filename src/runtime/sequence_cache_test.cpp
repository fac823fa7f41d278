// SequenceCache: random lives of many sequences with forks and checkpoints over full, windowed and recurrent groups. Every step finds what
// was written where it reads, no block is lost, and what nobody reads is given back.
#include "runtime/sequence_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "core/check.h"

namespace infernum {
namespace {

/// A model that is nothing but its description.
class DescribedModel : public Model {
 public:
  explicit DescribedModel(const std::vector<Retention>& groups) {
    info_.context = 100000;
    info_.ranks = 1;
    info_.cache_dtype = DType::F16;
    std::vector<SequenceState> states;
    for (size_t g = 0; g < groups.size(); g++)
      for (size_t layer = 0; layer <= g; layer++)  // group g has g + 1 layers
        states.push_back({groups[g], {{"k_cache", {2, 8, block_tokens}}, {"v_cache", {2, block_tokens, 8}}}});
    info_.set_states(std::move(states));
  }
  const ModelInfo& info() const override { return info_; }
  void allocate_cache(const std::vector<int64_t>& blocks) override { allocated = blocks; }
  std::vector<float> forward(const HostBatch&) override { return {}; }
  void observe(Observer) override {}
  void observe_ops(Observer) override {}
  void time_ops(OpTimer) override {}
  std::vector<int64_t> allocated;

 private:
  ModelInfo info_;
};

constexpr Retention full{};
Retention window(int64_t tokens) { return {Retention::Kind::Window, tokens}; }
Retention chunk(int64_t tokens) { return {Retention::Kind::Chunk, tokens}; }
constexpr Retention recurrent{Retention::Kind::Recurrent};

/// What a device would hold: a token in every place of a cache's block, the hash of all tokens so far in a recurrent one.
using Memory = std::vector<std::map<int64_t, uint64_t>>;

struct Life {
  std::unique_ptr<SequenceCache> cache;
  std::vector<uint64_t> tokens;  ///< those computed
  int64_t reserved = 0;
  std::set<int64_t> kept;
  int64_t length() const { return static_cast<int64_t>(tokens.size()); }
};

uint64_t hash_of(const std::vector<uint64_t>& tokens, int64_t count) {
  uint64_t h = 1;
  for (int64_t i = 0; i < count; i++) h = h * 6364136223846793005u + tokens[static_cast<size_t>(i)];
  return h;
}

/// Random lives in one set of pools. Every step reads what its queries see and finds what it wrote there, whoever shares it.
class World {
 public:
  World(const std::vector<Retention>& groups, unsigned seed) : rng_(seed), model_(groups), pools_(model_, 600, 4, 100, 3) {
    memory_.resize(groups.size());
  }

  void step() {
    if (lives_.empty() || (lives_.size() < 8 && rng_() % 8 == 0)) lives_.push_back({std::make_unique<SequenceCache>(pools_), {}, 0, {}});
    const size_t index = rng_() % lives_.size();
    Life& life = lives_[index];
    switch (rng_() % 8) {
      case 0:
      case 1: return reserve(life, life.length() + below(100));
      case 2:
      case 3: return advance(life);
      case 4: return fork(life);
      case 5: return rewind(life);
      case 6: return checkpoint(life);
      default:
        if (rng_() % 2 == 0) lives_.erase(lives_.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }

  /// Every reference is a life's; what no life holds is free.
  void expect_consistent() {
    std::vector<std::map<int32_t, int>> owners(static_cast<size_t>(pools_.groups()));
    int64_t spare = 0, taken = 0;
    for (const Life& life : lives_) {
      ASSERT_EQ(life.cache->length(), life.length());
      spare += life.cache->blocks_held();
      for (int g = 0; g < pools_.groups(); g++)
        for (int32_t block : life.cache->table(g))
          if (block >= 0) owners[static_cast<size_t>(g)][block]++, spare--;
    }
    for (int g = 0; g < pools_.groups(); g++) {
      for (const auto& [block, count] : owners[static_cast<size_t>(g)])
        ASSERT_EQ(pools_.group(g).references(block), count) << "block " << block << " of group " << g;
      taken += pools_.group(g).size() - pools_.group(g).available() - static_cast<int64_t>(owners[static_cast<size_t>(g)].size());
    }
    ASSERT_EQ(taken, spare) << "blocks that no table names are those held for coming states";
    const auto& groups = model_.info().groups;
    if (std::find(groups.begin(), groups.end(), recurrent) == groups.end()) {
      ASSERT_EQ(spare, 0);
    }
    for (const Life& life : lives_) expect_no_more_than_needed(life);
  }

  void end() {
    lives_.clear();
    for (int g = 0; g < pools_.groups(); g++) EXPECT_EQ(pools_.group(g).available(), pools_.group(g).size()) << "everything came back";
  }

  int full_pools = 0, steps = 0, forks = 0, refused_forks = 0, shared_rewinds = 0;

 private:
  int64_t below(int64_t n) { return static_cast<int64_t>(rng_() % static_cast<uint64_t>(n)); }

  struct Snapshot {
    std::vector<int64_t> free;
    std::vector<std::vector<int32_t>> tables;
    friend bool operator==(const Snapshot&, const Snapshot&) = default;
  };
  Snapshot snapshot(const Life& life) {
    Snapshot s;
    for (int g = 0; g < pools_.groups(); g++) s.free.push_back(pools_.group(g).available()), s.tables.push_back(life.cache->table(g));
    return s;
  }

  void reserve(Life& life, int64_t wanted) {
    const Snapshot before = snapshot(life);
    if (life.cache->reserve(wanted)) {
      life.reserved = std::max(life.reserved, wanted);
    } else {
      full_pools++;
      ASSERT_EQ(snapshot(life), before) << "a refused reserve takes nothing";
    }
  }

  void expect_readable(const Life& life, int64_t first) {
    for (int g = 0; g < pools_.groups(); g++) {
      const Retention& r = model_.info().groups[static_cast<size_t>(g)];
      const auto& table = life.cache->table(g);
      const auto content = [&](int64_t position) {
        const int32_t block = table[static_cast<size_t>(position / block_tokens)];
        return block < 0 ? 0 : memory_[static_cast<size_t>(g)][block * block_tokens + (r == recurrent ? 0 : position % block_tokens)];
      };
      if (r == recurrent) {
        ASSERT_TRUE(first == 0 || content(first - 1) == hash_of(life.tokens, first)) << "state of " << first << " tokens, group " << g;
        continue;
      }
      for (int64_t p = r.oldest_read(first); p < first; p++)
        ASSERT_EQ(content(p), life.tokens[static_cast<size_t>(p)]) << "position " << p << " of group " << g << ", read at " << first;
    }
  }

  void write(const Life& life, int64_t first, int64_t end) {
    for (int g = 0; g < pools_.groups(); g++) {
      auto& memory = memory_[static_cast<size_t>(g)];
      const bool state = model_.info().groups[static_cast<size_t>(g)] == recurrent;
      for (int64_t p = first; p < end; p++) {
        const int32_t block = life.cache->table(g)[static_cast<size_t>(p / block_tokens)];
        ASSERT_TRUE(state || block >= 0);
        if (block < 0) continue;
        if (!state)
          memory[block * block_tokens + p % block_tokens] = life.tokens[static_cast<size_t>(p)];
        else if (p + 1 == end || (p + 1) % block_tokens == 0)
          memory[block * block_tokens] = hash_of(life.tokens, p + 1);
      }
    }
  }

  void advance(Life& life) {
    const int64_t first = life.length(), end = std::min(life.reserved, first + 1 + below(rng_() % 2 ? 1 : 60));
    if (end <= first) return;
    reserve(life, end);  // others may have come to share its blocks since
    if (life.reserved < end) return;
    try {
      life.cache->begin_step(first, end);
    } catch (const Error& e) {  // the reserve above was refused
      ASSERT_NE(std::string(e.what()).find("needs a reserved sequence"), std::string::npos) << e.what();
      return;
    }
    if (rng_() % 8 == 0) return;  // the model refused the step
    expect_readable(life, first);
    for (int64_t p = first; p < end; p++) life.tokens.push_back(rng_() | 1);
    write(life, first, end);
    life.cache->end_step(end);
    steps++;
  }

  void checkpoint(Life& life) {
    if (!life.kept.empty() && rng_() % 2) {
      life.cache->forget(*life.kept.begin());
      life.kept.erase(life.kept.begin());
    } else if (life.kept.size() < 3) {
      const int64_t border = (life.length() + block_tokens - 1) / block_tokens * block_tokens + below(4) * block_tokens;
      life.cache->keep(border);
      life.kept.insert(border);
    }
  }

  bool all_full() const {
    return std::all_of(model_.info().groups.begin(), model_.info().groups.end(), [](const Retention& r) { return r == full; });
  }

  void fork(Life& life) {
    const bool at_checkpoint = !life.kept.empty() && rng_() % 2;
    const int64_t any = below(life.length() + 40), border = at_checkpoint ? *life.kept.begin()
                                                            : rng_() % 4  ? any / block_tokens * block_tokens
                                                                          : any;
    const Snapshot before = snapshot(life);
    auto forked = life.cache->fork(border);
    if (!forked) {
      refused_forks++;
      ASSERT_EQ(snapshot(life), before);
      const bool possible = border % block_tokens == 0 && border <= life.length() && (all_full() || life.kept.count(border) > 0);
      ASSERT_FALSE(possible || border == 0 || (border % block_tokens == 0 && border == life.length())) << border;
      return;
    }
    ASSERT_EQ(snapshot(life).free, before.free) << "a fork takes no block";
    forks++;
    lives_.push_back({std::make_unique<SequenceCache>(std::move(*forked)),
                      {life.tokens.begin(), life.tokens.begin() + static_cast<std::ptrdiff_t>(border)},
                      border,
                      {}});
    expect_readable(lives_.back(), border);
  }

  void rewind(Life& life) {
    if (rng_() % 3) return;
    const int64_t wanted = below(life.length() + 10), found = life.cache->longest_prefix(wanted);
    ASSERT_LE(found, std::min(wanted, life.length()));
    for (int64_t border : life.kept)
      ASSERT_TRUE(border > std::min(wanted, life.length()) || found >= border) << "a checkpoint is there to go back to";
    ASSERT_TRUE(!all_full() || found >= std::min(wanted, life.length()) / block_tokens * block_tokens);
    shared_rewinds += all_full() && found < std::min(wanted, life.length());
    life.cache->rewind(found);
    life.tokens.resize(static_cast<size_t>(found));
    life.reserved = std::min(life.reserved, found);
    std::erase_if(life.kept, [&](int64_t border) { return border > found; });
    expect_readable(life, found);
  }

  /// A block that neither the next query nor a checkpoint reads is given back.
  void expect_no_more_than_needed(const Life& life) {
    for (int g = 0; g < pools_.groups(); g++) {
      const Retention& r = model_.info().groups[static_cast<size_t>(g)];
      const auto& table = life.cache->table(g);
      for (int64_t b = 0; b < life.length() / block_tokens; b++) {
        bool needed = r.oldest_read(life.length()) < (b + 1) * block_tokens;
        for (int64_t border : life.kept) needed |= r.oldest_read(border) < (b + 1) * block_tokens && b * block_tokens < border;
        ASSERT_EQ(table[static_cast<size_t>(b)] >= 0, needed) << "block " << b << " of group " << g << " at length " << life.length();
      }
    }
  }

  std::mt19937_64 rng_;
  DescribedModel model_;
  CachePools pools_;
  Memory memory_;
  std::vector<Life> lives_;
};

TEST(SequenceCache, RandomLivesKeepTheAccounts) {
  const std::vector<std::vector<Retention>> shapes{{full},
                                                   {window(40)},
                                                   {full, window(17)},
                                                   {window(1), full, window(64)},
                                                   {chunk(48), full},
                                                   {recurrent, full},
                                                   {full, recurrent, window(33)}};
  int full_pools = 0, steps = 0, forks = 0, refused_forks = 0, shared_rewinds = 0;
  for (unsigned seed = 0; seed < 70; seed++) {
    World world(shapes[seed % shapes.size()], seed);
    for (int step = 0; step < 400; step++) {
      world.step();
      if (!testing::Test::HasFatalFailure()) world.expect_consistent();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " step " << step;
    }
    full_pools += world.full_pools, steps += world.steps, forks += world.forks, refused_forks += world.refused_forks;
    shared_rewinds += world.shared_rewinds;
    world.end();
  }
  EXPECT_GT(full_pools, 70) << "the pools were hardly ever short";
  EXPECT_GT(steps, 70 * 20);
  EXPECT_GT(forks, 70 * 5);
  EXPECT_GT(refused_forks, 70 * 5);
  EXPECT_GT(shared_rewinds, 0) << "no rewind ever ended in a shared block";
}

TEST(SequenceCache, AWindowPassesABlockWhenItsLastTokenIsOutOfSight) {
  DescribedModel model({window(20)});
  CachePools pools(model, 200, 1);
  SequenceCache cache(pools);
  ASSERT_TRUE(cache.reserve(100));
  cache.end_step(34);  // a query at 34 sees 15..34: position 15 is the last of block 0
  EXPECT_EQ(cache.blocks_held(), 7);
  cache.end_step(35);
  EXPECT_EQ(cache.blocks_held(), 6);
  EXPECT_THROW(cache.end_step(35), Error);
  EXPECT_THROW(cache.end_step(120), Error) << "never reserved";
  cache.end_step(100);
  EXPECT_EQ(cache.blocks_held(), 2);
}

TEST(SequenceCache, ARecurrentStateIsReadFromOneBlockAndLeftInAnother) {
  DescribedModel model({recurrent});
  CachePools pools(model, 1000, 1);
  EXPECT_EQ(pools.group(0).size(), 2) << "however long the sequence";
  SequenceCache cache(pools);
  EXPECT_THROW(cache.begin_step(0, 40), Error) << "not reserved";
  ASSERT_TRUE(cache.reserve(1000));
  cache.begin_step(0, 40);
  const auto first = cache.table(0);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[1], -1) << "no checkpoint was asked for";
  cache.end_step(40);
  cache.begin_step(40, 41);
  EXPECT_EQ(cache.table(0)[2], first[2]) << "within a block the state stays where it is";
  cache.end_step(41);
  EXPECT_THROW(cache.begin_step(40, 48), Error) << "a step back needs a rewind";
  cache.begin_step(41, 48);
  cache.end_step(48);
  cache.begin_step(48, 49);
  EXPECT_EQ(cache.table(0)[2], first[2]) << "where the step before left it";
  EXPECT_NE(cache.table(0)[3], first[2]) << "a new block does not overwrite the state it starts from";
  cache.clear();
  EXPECT_EQ(pools.group(0).available(), 2);
}

TEST(SequenceCache, ACheckpointHoldsWhatAContinuationReads) {
  DescribedModel model({recurrent, window(20), full});
  CachePools pools(model, 400, 1, 0, 1);
  EXPECT_EQ(pools.group(0).size(), 3) << "two in turn and a checkpoint";
  SequenceCache cache(pools);
  EXPECT_THROW(cache.keep(20), Error);
  cache.keep(32);
  ASSERT_TRUE(cache.reserve(200));
  cache.begin_step(0, 200);
  EXPECT_GE(cache.table(0)[1], 0) << "the state at 32 is stored on the way";
  cache.end_step(200);
  EXPECT_THROW(cache.keep(64), Error) << "too late";
  EXPECT_FALSE(cache.fork(48));
  EXPECT_FALSE(cache.fork(200)) << "no border";
  EXPECT_EQ(cache.longest_prefix(199), 32);
  EXPECT_EQ(cache.longest_prefix(1000), 200);
  const auto forked = cache.fork(32);
  ASSERT_TRUE(forked);
  EXPECT_EQ(forked->length(), 32);
  EXPECT_EQ(forked->blocks_held(), 1 + 2 + 2) << "the state, a window of 13..31 and all before";
  const int64_t held = cache.blocks_held();
  cache.forget(32);
  EXPECT_EQ(cache.blocks_held(), held - 3) << "the state and two blocks of the window; the full group needs its own";
  EXPECT_EQ(cache.longest_prefix(199), 0);
  EXPECT_THROW(cache.rewind(32), Error);
  cache.rewind(0);
  EXPECT_EQ(pools.group(0).references(forked->table(0)[1]), 1) << "the fork lives on";
}

TEST(SequenceCache, MovingMovesTheBlocks) {
  DescribedModel model({full});
  CachePools pools(model, 64, 1);
  const int64_t all = pools.group(0).available();
  {
    SequenceCache first(pools);
    ASSERT_TRUE(first.reserve(40));
    const SequenceCache second(std::move(first));
    EXPECT_EQ(second.blocks_held(), 3);
    EXPECT_EQ(pools.group(0).available(), all - 3);
  }
  EXPECT_EQ(pools.group(0).available(), all) << "given back once";
}

TEST(CachePools, AllocateTheModelsCacheAndCountItsBytes) {
  DescribedModel model({full, window(32)});
  CachePools pools(model, 100, 3);
  ASSERT_EQ(pools.groups(), 2);
  EXPECT_EQ(model.allocated, (std::vector<int64_t>{pools.group(0).size(), pools.group(1).size()}));
  EXPECT_GE(pools.group(0).size(), 7) << "100 tokens are seven blocks";
  // Group 0 has one layer, group 1 two: keys and values of 2 heads of 8 in two bytes.
  EXPECT_EQ(model.info().block_bytes(0), 2 * 2 * 8 * block_tokens * 2);
  EXPECT_EQ(model.info().block_bytes(1), 2 * model.info().block_bytes(0));
  EXPECT_EQ(pools.bytes(), pools.group(0).size() * model.info().block_bytes(0) + pools.group(1).size() * model.info().block_bytes(1));
}

}  // namespace
}  // namespace infernum

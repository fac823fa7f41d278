// Scheduler: which sequences advance by how many tokens in the next step. No threads, no clock, no model: it sees tokens and blocks.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/prefix_cache.h"

namespace infernum {

struct SchedulerOptions {
  int64_t max_num_seqs = 8;              ///< sequences that hold blocks
  int64_t max_num_batched_tokens = 512;  ///< per step, at least one for every sequence
  bool enable_prefix_caching = true;
  int64_t state_interval = 1024;  ///< tokens between the recurrent states kept of a long prompt; a multiple of block_tokens
};

/// What the scheduler knows of a request. Its owner appends the tokens that it samples.
struct Sequence {
  explicit Sequence(CachePools& pools) : cache(pools) {}

  std::vector<int32_t> tokens;  ///< prompt and output
  int64_t prompt_tokens = 0;
  int priority = 0;  ///< smaller ones first; equal ones by arrival
  std::string salt;
  bool share_prefix = true;   ///< may begin with what the prefix cache has
  int64_t most_per_step = 0;  ///< tokens; 0: the scheduler's limit alone
  std::optional<std::chrono::steady_clock::time_point> queue_deadline, deadline;

  SequenceCache cache;
  PrefixCache::Place place;
  uint64_t arrival = 0;
  bool started = false;  ///< was in a step
  bool running = false;  ///< holds blocks
  int preemptions = 0;
  int64_t cached_tokens = 0;  ///< of the prompt, when it started
  CacheLimit cache_limit = CacheLimit::Disabled;

  int64_t length() const { return static_cast<int64_t>(tokens.size()); }
  int64_t left() const { return length() - cache.length(); }

 private:
  friend class Scheduler;
  int64_t known_ = 0;            ///< of the prompt, by somebody before
  int64_t alone_until_ = 0;      ///< after a failure: runs by itself until it has so many tokens
  std::vector<int64_t> states_;  ///< borders in this step whose recurrent state is kept
  int64_t checkpoint_ = 0;       ///< border whose window and state stay while it runs; 0: none
};

/// A sequence computes tokens first .. first + count - 1.
struct PlannedRow {
  Sequence* sequence;
  int64_t first, count;
  bool reaches_end() const { return first + count == sequence->length(); }
};

/// The owner of the sequences calls plan(), runs the rows, calls computed() for each before their caches' end_step() and failed() instead
/// if that threw; then it appends what it sampled and removes who is done. A sequence outlives its time in the scheduler.
class Scheduler {
 public:
  Scheduler(CachePools& pools, SchedulerOptions options);

  void add(Sequence& sequence);
  /// Gives its blocks back; the prefix cache keeps what it knows of them.
  void remove(Sequence& sequence);

  /// The next step; nothing if no sequence waits. Sequences that need one token come first, then prompts in chunks, then new ones, to which
  /// running ones of less priority yield.
  const std::vector<PlannedRow>& plan();
  void computed(const PlannedRow& row);
  /// The step threw. Its sequences are run one by one until each has passed what it was at, so that only the one to blame fails again;
  /// that one, alone in its step, is the caller's to remove or to run with less.
  void failed();
  /// The step that failed() was told of was too large for the memory: steps have at most half of its tokens, and twice as many each time
  /// that `patience` of them have passed.
  void lower_budget();
  static constexpr int patience = 64;
  /// What the model computed for this sequence is wrong: nobody may begin with it.
  void distrust(Sequence& sequence);

  struct Expired {
    Sequence* sequence;
    bool in_queue;  ///< by its queue_deadline
  };
  std::vector<Expired> expired(std::chrono::steady_clock::time_point now) const;

  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  uint64_t preemptions() const { return preemptions_; }

 private:
  using List = std::vector<Sequence*>;
  static bool before(const Sequence* a, const Sequence* b);
  static void insert(List& list, Sequence& sequence);
  void prefill();
  void admit();
  bool enter(Sequence& sequence);
  bool outranks_a_running(const Sequence& sequence) const;
  bool make_room(const Sequence& sequence);
  void withdraw(Sequence& sequence);
  bool advance(Sequence& sequence, int64_t count, bool may_preempt);
  void preempt(Sequence& sequence);
  void begin(Sequence& sequence);
  bool shares(const Sequence& sequence) const { return options_.enable_prefix_caching && sequence.share_prefix; }
  void let_go(Sequence& sequence);
  void drop_state(Sequence& sequence);
  void mark_states(Sequence& sequence, int64_t end);
  void unmark_states(Sequence& sequence);
  bool give_up_states(Sequence& sequence);
  int64_t chunk(const Sequence& sequence, bool others) const;
  int64_t unclaimed_blocks() const;
  bool waits_for_prefix(const Sequence& sequence, int64_t cached) const;

  CachePools& pools_;
  SchedulerOptions options_;
  PrefixCache prefixes_;
  int whole_group_ = -1;                        ///< the group that keeps everything
  bool recurrent_ = false, forgetful_ = false;  ///< whether a group keeps states, whether one does not keep everything
  List running_, waiting_;                      ///< in the order of importance
  std::vector<PlannedRow> rows_;
  int64_t budget_ = 0, most_tokens_;  ///< of this step, and of any at present
  int passed_ = 0;                    ///< steps since most_tokens_ was changed
  uint64_t arrivals_ = 0, preemptions_ = 0;
};

}  // namespace infernum

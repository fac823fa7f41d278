#include "runtime/scheduler.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace infernum {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + block_tokens - 1) / block_tokens; }

}  // namespace

Scheduler::Scheduler(CachePools& pools, SchedulerOptions options)
    : pools_(pools), options_(options), prefixes_(pools), most_tokens_(options.max_num_batched_tokens) {
  check(options.max_num_seqs > 0, "scheduler: max_num_seqs is positive", options.max_num_seqs);
  check(options.max_num_batched_tokens >= options.max_num_seqs, "scheduler: max_num_batched_tokens has a token for every sequence",
        options.max_num_batched_tokens, "max_num_seqs", options.max_num_seqs);
  check(options.state_interval > 0 && options.state_interval % block_tokens == 0, "scheduler: state_interval is a multiple of the block",
        options.state_interval);
  const auto& groups = pools.info().groups;
  for (size_t g = 0; g < groups.size(); g++) {
    if (groups[g].kind == Retention::Kind::All) whole_group_ = static_cast<int>(g);
    recurrent_ |= groups[g].kind == Retention::Kind::Recurrent;
    forgetful_ |= groups[g].kind != Retention::Kind::All;
  }
}

bool Scheduler::before(const Sequence* a, const Sequence* b) {
  return a->priority < b->priority || (a->priority == b->priority && a->arrival < b->arrival);
}

void Scheduler::insert(List& list, Sequence& sequence) {
  list.insert(std::lower_bound(list.begin(), list.end(), &sequence, before), &sequence);
}

void Scheduler::add(Sequence& sequence) {
  check(sequence.left() > 0 && !sequence.running, "scheduler: a new sequence has tokens to compute", sequence.length());
  sequence.arrival = arrivals_++;
  insert(waiting_, sequence);
}

void Scheduler::remove(Sequence& sequence) {
  std::erase_if(rows_, [&](const PlannedRow& row) { return row.sequence == &sequence; });
  std::erase(sequence.running ? running_ : waiting_, &sequence);
  sequence.running = false;
  let_go(sequence);
}

/// Gives its blocks up; the prefix cache knows all that was computed.
void Scheduler::let_go(Sequence& sequence) {
  if (shares(sequence)) prefixes_.add_last(sequence.place, sequence.cache, sequence.tokens);
  drop_state(sequence);
}

void Scheduler::drop_state(Sequence& sequence) {
  sequence.states_.clear();
  sequence.checkpoint_ = 0;
  sequence.cache.clear();
  sequence.place.reset();
}

const std::vector<PlannedRow>& Scheduler::plan() {
  rows_.clear();
  if (most_tokens_ < options_.max_num_batched_tokens && ++passed_ > patience) {
    most_tokens_ = std::min(2 * most_tokens_, options_.max_num_batched_tokens);
    passed_ = 0;
  }
  budget_ = most_tokens_;
  const uint64_t preempted = preemptions_;
  const auto suspect = [](const Sequence* s) { return s->alone_until_ > s->cache.length(); };
  if (const auto it = std::find_if(running_.begin(), running_.end(), suspect); it != running_.end()) {
    Sequence& alone = **it;
    advance(alone, chunk(alone, false), true);
    if (!rows_.empty()) return rows_;
  }
  for (size_t i = 0; i < running_.size(); i++)
    if (Sequence& s = *running_[i]; s.left() == 1) advance(s, 1, true);
  prefill();
  if (preemptions_ == preempted) admit();
  return rows_;
}

/// Of the budget, what a prompt may have: half of it while others wait for theirs, so that short ones pass a long one.
int64_t Scheduler::chunk(const Sequence& s, bool others) const {
  const int64_t left = s.left();
  int64_t most = others && left > budget_ ? std::max(budget_ / 2, std::min(budget_, block_tokens)) : budget_;
  if (s.most_per_step > 0) most = std::min(most, s.most_per_step);
  return std::min(left, most);
}

void Scheduler::prefill() {
  const auto in_prompt = [](const Sequence* s) { return s->left() > 1; };
  const auto prompts = std::count_if(running_.begin(), running_.end(), in_prompt);
  const bool others = prompts > 1 || (!waiting_.empty() && (running() < options_.max_num_seqs || outranks_a_running(*waiting_.front())));
  for (size_t i = 0; i < running_.size() && budget_ > 0; i++)
    if (Sequence& s = *running_[i]; s.left() > 1) advance(s, chunk(s, others), true);
}

/// In their order. One that waits for a prefix that another is computing lets the next pass; one that does not fit does not.
void Scheduler::admit() {
  for (size_t i = 0; i < waiting_.size();) {
    Sequence& s = *waiting_[i];
    if (!enter(s)) return;
    if (!s.running) i++;
  }
}

/// Among those that run, the last one is the least important.
bool Scheduler::outranks_a_running(const Sequence& s) const { return !running_.empty() && s.priority < running_.back()->priority; }

/// Blocks of the group that keeps everything which neither a running sequence's known tokens nor its next one will take.
int64_t Scheduler::unclaimed_blocks() const {
  if (whole_group_ < 0) return INT64_MAX;
  int64_t left = pools_.group(whole_group_).available();
  for (const Sequence* s : running_)
    left -= std::max<int64_t>(0, blocks_for(s->length()) - static_cast<int64_t>(s->cache.table(whole_group_).size())) + 1;
  return left;
}

/// Whether a sequence that runs is computing more of this one's beginning than is cached: one of them is enough.
bool Scheduler::waits_for_prefix(const Sequence& sequence, int64_t cached) const {
  if (!shares(sequence)) return false;
  return std::any_of(running_.begin(), running_.end(), [&](const Sequence* r) {
    if (r->left() <= 1 || r->salt != sequence.salt) return false;
    const int64_t most = std::min(r->length(), sequence.length() - 1), done = r->cache.length();
    const int64_t common = std::mismatch(r->tokens.begin(), r->tokens.begin() + most, sequence.tokens.begin()).first - r->tokens.begin();
    return common / block_tokens * block_tokens > std::max(cached, done);
  });
}

/// A token of the budget, a place, and blocks for the whole of `s`, which holds what it shares with others. Running ones of strictly less
/// priority yield them, the least important first, unless that would not be enough. They come back behind `s`, so nobody is put off by whom
/// he put off.
bool Scheduler::make_room(const Sequence& s) {
  const auto blocks_of = [this](const Sequence& r) {
    return whole_group_ < 0 ? 0 : static_cast<int64_t>(r.cache.table(whole_group_).size());
  };
  const int64_t needed = blocks_for(s.length() + 1) - blocks_of(s);
  const auto room = [&] { return running() < options_.max_num_seqs && (running_.empty() || unclaimed_blocks() >= needed); };
  const auto yields = [&](const Sequence* r) { return s.priority < r->priority; };
  int64_t tokens = budget_, blocks = unclaimed_blocks();
  for (const PlannedRow& row : rows_) tokens += yields(row.sequence) ? row.count : 0;
  for (const Sequence* r : running_)
    if (yields(r) && whole_group_ >= 0) blocks += std::max(blocks_for(r->length()), blocks_of(*r)) + 1;
  if (tokens <= 0 || (blocks < needed && !std::all_of(running_.begin(), running_.end(), yields))) return false;
  while (!room() && outranks_a_running(s)) preempt(*running_.back());
  if (!room()) return false;
  for (size_t i = running_.size(); budget_ <= 0 && i-- > 0;)
    if (yields(running_[i])) withdraw(*running_[i]);
  return true;
}

/// False if there is no room: whoever comes later has to wait too.
bool Scheduler::enter(Sequence& s) {
  if ((running() == options_.max_num_seqs || budget_ <= 0) && !outranks_a_running(s)) return false;
  begin(s);
  if (waits_for_prefix(s, s.cache.length())) {
    let_go(s);
    return true;
  }
  if (make_room(s)) {
    const bool others = running_.size() + 1 < static_cast<size_t>(options_.max_num_seqs) && waiting_.size() > 1;
    std::erase(waiting_, &s);
    insert(running_, s);
    s.running = true;
    if (advance(s, chunk(s, others), running_.size() == 1)) return true;
    if (!s.running) return false;  // it was preempted by itself
    s.running = false;
    std::erase(running_, &s);
    insert(waiting_, s);
  }
  let_go(s);
  return false;
}

/// Takes over what the prefix cache has of it. The window and the state a block before the end of its prompt, or at the last place before
/// that is known, stay while it runs, for a later turn to go back to.
void Scheduler::begin(Sequence& s) {
  PrefixCache::Hit hit{0, 0, CacheLimit::Disabled};
  if (shares(s)) {
    const int64_t before = forgetful_ ? std::max<int64_t>(0, (s.prompt_tokens - 1) / block_tokens - 1) * block_tokens : 0;
    hit = prefixes_.adopt(s.salt, s.tokens, s.cache, s.place, before);
    s.checkpoint_ = hit.tokens > before ? hit.checkpoint : before;
    if (s.checkpoint_ > 0) s.cache.keep(s.checkpoint_);
  }
  s.known_ = hit.known;
  if (s.started) return;
  s.cached_tokens = hit.tokens;
  s.cache_limit = hit.limit;
}

/// Plans `count` tokens of a running sequence. The least important ones make room for it, in the end itself.
bool Scheduler::advance(Sequence& s, int64_t count, bool may_preempt) {
  if (count <= 0 || budget_ <= 0) return false;
  const int64_t end = s.cache.length() + count;
  mark_states(s, end);
  while (!s.cache.reserve(end)) {
    if (give_up_states(s)) continue;
    if (!may_preempt) return false;
    check(running_.size() > 1, "scheduler: one sequence alone fits its pools", "tokens", end);
    Sequence& victim = *running_.back();
    preempt(victim);
    if (&victim == &s) return false;
  }
  rows_.push_back({&s, s.cache.length(), count});
  budget_ -= count;
  s.started = true;
  return true;
}

/// It does not advance in this step after all.
void Scheduler::withdraw(Sequence& s) {
  for (const PlannedRow& row : rows_)
    if (row.sequence == &s) budget_ += row.count;
  std::erase_if(rows_, [&](const PlannedRow& row) { return row.sequence == &s; });
  unmark_states(s);
}

/// Recompute: its tokens stay, its blocks go, and it waits where it would if it had just arrived at its time.
void Scheduler::preempt(Sequence& s) {
  withdraw(s);
  remove(s);
  insert(waiting_, s);
  s.preemptions++;
  preemptions_++;
}

/// Recurrent layers keep a state where a later request may go on: at the end of the prompt, a block before it, since templates write what
/// opens an answer otherwise in the next turn, where another prompt went a different way, at intervals, and where the output has got to.
/// The one before the prompt's end, with the windows there, stays for as long as the sequence runs, however much it says.
void Scheduler::mark_states(Sequence& s, int64_t end) {
  s.states_.clear();
  const int64_t first = s.cache.length(), last = (s.prompt_tokens - 1) / block_tokens * block_tokens, before = last - block_tokens;
  if (!recurrent_ || !shares(s)) return;
  std::vector<int64_t> borders{last, before, s.known_, s.checkpoint_};
  if (end > s.prompt_tokens) borders.push_back(end / block_tokens * block_tokens);
  for (int64_t b = (first / options_.state_interval + 1) * options_.state_interval; b <= std::min(end, last); b += options_.state_interval)
    borders.push_back(b);
  for (int64_t border : borders) {
    if (border <= first || border > end || std::find(s.states_.begin(), s.states_.end(), border) != s.states_.end()) continue;
    s.states_.push_back(border);
    if (border < end) s.cache.keep(border);  // the state at the end is there anyway
  }
}

void Scheduler::unmark_states(Sequence& s) {
  for (int64_t border : s.states_)
    if (border != s.checkpoint_) s.cache.forget(border);
  s.states_.clear();
}

/// Blocks are short: first the states of this step go, then what stays for a later turn. False if there is neither.
bool Scheduler::give_up_states(Sequence& s) {
  const auto dropped = std::erase_if(s.states_, [&](int64_t border) {
    if (border != s.checkpoint_) s.cache.forget(border);
    return border != s.checkpoint_;
  });
  if (dropped > 0 || s.checkpoint_ == 0) return dropped > 0;
  s.states_.clear();
  s.cache.forget(std::exchange(s.checkpoint_, 0));
  return true;
}

void Scheduler::computed(const PlannedRow& row) {
  Sequence& s = *row.sequence;
  if (shares(s)) prefixes_.add(s.place, s.cache, s.tokens, row.first + row.count, s.states_, row.first >= s.prompt_tokens);
  unmark_states(s);
}

void Scheduler::failed() {
  for (const PlannedRow& row : rows_) {
    Sequence& s = *row.sequence;
    unmark_states(s);
    s.alone_until_ = row.first + row.count;
    if (!recurrent_) continue;
    drop_state(s);  // the step may have overwritten the state that it began with
    begin(s);
  }
}

void Scheduler::lower_budget() {
  int64_t tokens = 0;
  for (const PlannedRow& row : rows_) tokens += row.count;
  most_tokens_ = std::max<int64_t>(1, tokens / 2);
  passed_ = 0;
}

void Scheduler::distrust(Sequence& s) {
  prefixes_.distrust(s.place, 0);
  s.place.reset();
}

std::vector<Scheduler::Expired> Scheduler::expired(std::chrono::steady_clock::time_point now) const {
  std::vector<Expired> list;
  for (const List* all : {&running_, &waiting_})
    for (Sequence* s : *all) {
      const bool queue = !s->started && s->queue_deadline && now >= *s->queue_deadline;
      if (queue || (s->deadline && now >= *s->deadline)) list.push_back({s, queue});
    }
  return list;
}

}  // namespace infernum

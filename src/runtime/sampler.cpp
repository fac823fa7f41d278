#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "runtime/token_counts.h"
#include "runtime/vocabulary_scan.h"

namespace infernum {
namespace {

/// As fail(), with an error that tells a faulty model from a faulty request.
template <class... A>
[[noreturn]] void fail_not_finite(Where where, const A&... values) {
  try {
    fail(where, values...);
  } catch (const Error& e) {
    throw NotFinite(e.what());
  }
}

struct Candidate {
  int32_t id;
  float logit;
  double p = 0;
};

bool better(const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void apply_penalties(std::span<float> logits, const SamplingParams& s, const ChoiceContext& at) {
  if (!has_penalties(s)) return;
  TokenCounts anew;
  TokenCounts& counts = at.counts ? *at.counts : anew;
  counts.update(at.prompt, at.output);
  for (const auto& [id, in_output] : counts.entries()) {
    float& l = logits[static_cast<size_t>(id)];
    if (s.repetition_penalty != 1) l = l > 0 ? l / s.repetition_penalty : l * s.repetition_penalty;
    if (in_output > 0) l -= s.frequency_penalty * static_cast<float>(in_output) + s.presence_penalty;
  }
}

/// Softmax over the candidates.
void normalise(std::vector<Candidate>& c) {
  double highest = -INFINITY, sum = 0;
  for (const auto& x : c) highest = std::max(highest, static_cast<double>(x.logit));
  for (auto& x : c) sum += x.p = std::exp(static_cast<double>(x.logit) - highest);
  for (auto& x : c) x.p /= sum;
}

std::vector<Candidate> normalised(std::vector<Candidate> c) {
  normalise(c);
  return c;
}

/// Keeps the leading candidates until their probabilities reach `mass`; at least one.
void keep_mass(std::vector<Candidate>& c, double mass) {
  double sum = 0;
  size_t kept = 0;
  while (kept < c.size() && (kept == 0 || sum < mass)) sum += c[kept++].p;
  c.resize(kept);
}

/// The fewest whose probabilities reach `mass` of `total`, the sum of all weights. Sorts only as many as are needed, doubling the sorted
/// part.
void keep_top_p(std::vector<Candidate>& c, double mass, double total) {
  for (auto& x : c) x.p = std::exp(static_cast<double>(x.logit)) / total;
  for (size_t sorted = std::min<size_t>(64, c.size());; sorted = std::min(2 * sorted, c.size())) {
    std::partial_sort(c.begin(), c.begin() + static_cast<std::ptrdiff_t>(sorted), c.end(), better);
    double sum = 0;
    for (size_t i = 0; i < sorted; i++) sum += c[i].p;
    if (sum >= mass || sorted == c.size()) return keep_mass(c, mass);
  }
}

/// Those whose surprise is nearest to the expected one come first; selects and sorts them in growing pieces until they reach `mass`.
void keep_typical(std::vector<Candidate>& c, double mass) {
  normalise(c);
  struct Distance {
    double surprise;  // its distance from what is expected
    int32_t id;
    uint32_t at;  // in c
    bool operator<(const Distance& d) const { return surprise < d.surprise || (surprise == d.surprise && id < d.id); }
  };
  std::vector<Distance> order(c.size());
  double entropy = 0;
  for (size_t i = 0; i < c.size(); i++) {
    order[i] = {std::log(std::max(c[i].p, 1e-300)), c[i].id, static_cast<uint32_t>(i)};
    entropy -= c[i].p * order[i].surprise;
  }
  for (Distance& d : order) d.surprise = std::abs(-d.surprise - entropy);
  std::vector<Candidate> kept;
  double sum = 0;
  for (size_t begin = 0, piece = 256; begin < order.size() && (kept.empty() || sum < mass); begin += piece, piece *= 2) {
    const auto at = [&](size_t i) { return order.begin() + static_cast<std::ptrdiff_t>(std::min(i, order.size())); };
    if (begin + piece < order.size()) std::nth_element(at(begin), at(begin + piece), order.end());
    std::sort(at(begin), at(begin + piece));
    for (auto d = at(begin); d != at(begin + piece) && (kept.empty() || sum < mass); ++d) sum += kept.emplace_back(c[d->at]).p;
  }
  c = std::move(kept);
}

void keep_min_p(std::vector<Candidate>& c, float fraction) {
  const float best = std::min_element(c.begin(), c.end(), better)->logit, limit = best + std::log(fraction);
  c.erase(std::remove_if(c.begin(), c.end(), [&](const Candidate& x) { return x.logit < limit; }), c.end());
}

void rule_out(std::span<float> logits, int32_t id) {
  if (id >= 0 && static_cast<size_t>(id) < logits.size()) logits[static_cast<size_t>(id)] = -INFINITY;
}

/// True if something was ruled out.
bool rule_out_tokens(std::span<float> logits, const SamplingParams& s, const ChoiceContext& at) {
  for (int32_t id : s.suppress_tokens) rule_out(logits, id);
  for (int32_t id : at.banned) rule_out(logits, id);
  for (const auto& word : s.bad_words) {
    const size_t before = word.size() - 1;
    if (before <= at.output.size() && std::equal(word.begin(), word.end() - 1, at.output.end() - static_cast<std::ptrdiff_t>(before)))
      rule_out(logits, word.back());
  }
  if (!s.allowed_token_ids.empty()) {
    std::vector<float> allowed;
    for (int32_t id : s.allowed_token_ids) allowed.push_back(logits[static_cast<size_t>(id)]);
    std::fill(logits.begin(), logits.end(), -INFINITY);
    for (size_t i = 0; i < allowed.size(); i++) logits[static_cast<size_t>(s.allowed_token_ids[i])] = allowed[i];
  }
  return !s.suppress_tokens.empty() || !at.banned.empty() || !s.bad_words.empty() || !s.allowed_token_ids.empty();
}

/// Every token at least as good as `threshold`, relative to the best one, so that no temperature makes a logit infinite.
std::vector<Candidate> candidates_from(std::span<const float> logits, float threshold, float best, float temperature) {
  std::vector<Candidate> c;
  c.reserve(static_cast<size_t>(count_from(logits, threshold)));
  for (size_t i = 0; i < logits.size(); i++)
    if (logits[i] >= threshold && logits[i] > -INFINITY) c.push_back({static_cast<int32_t>(i), (logits[i] - best) / temperature});
  return c;
}

/// The few tokens that the filters can keep; `total` is the sum of all weights where top_p needs it.
std::vector<Candidate> likely_candidates(std::span<const float> logits, const SamplingParams& s, float best, double& total) {
  float threshold = -INFINITY;
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < logits.size()) {
    for (float distance = 4; distance < 100 && threshold == -INFINITY; distance *= 2)
      if (count_from(logits, best - distance) >= s.top_k) threshold = best - distance;
  } else if (s.typical_p < 1) {
    // any token may be typical
  } else if (s.top_p < 1) {
    const Weights weights(logits, best, s.temperature);
    total = weights.total();
    threshold = weights.threshold(s.top_p);
  } else if (s.min_p > 0) {
    threshold = best + s.temperature * (std::log(s.min_p) - 0.01f);
  }
  return candidates_from(logits, threshold, best, s.temperature);
}

std::vector<Candidate> filtered(std::span<const float> logits, const SamplingParams& s, float best) {
  double total = 0;
  auto c = likely_candidates(logits, s, best, total);
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < c.size()) {
    std::nth_element(c.begin(), c.begin() + s.top_k, c.end(), better);
    c.resize(static_cast<size_t>(s.top_k));
  }
  const bool whole = s.top_k == 0 || static_cast<size_t>(s.top_k) >= logits.size();
  if (s.typical_p < 1) keep_typical(c, s.typical_p);
  if (s.top_p < 1) {
    if (!whole || s.typical_p < 1) {
      total = 0;
      for (const auto& x : c) total += std::exp(static_cast<double>(x.logit));
    }
    keep_top_p(c, s.top_p, total);
  }
  if (s.min_p > 0) keep_min_p(c, s.min_p);
  // One order for the draw, whichever filters ran: the token must depend on (seed, position) alone.
  std::sort(c.begin(), c.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  normalise(c);
  return c;
}

}  // namespace

void check_sampling(const SamplingParams& s, int64_t vocab_size) {
  check(s.temperature >= 0 && s.temperature <= 100, "sampling: temperature lies between 0 and 100", s.temperature);
  check(s.top_k >= 0, "sampling: top_k is 0 (off) or positive", s.top_k);
  check(s.top_p > 0 && s.top_p <= 1, "sampling: top_p lies above 0 and up to 1", s.top_p);
  check(s.min_p >= 0 && s.min_p <= 1, "sampling: min_p lies between 0 and 1", s.min_p);
  check(s.typical_p > 0 && s.typical_p <= 1, "sampling: typical_p lies above 0 and up to 1", s.typical_p);
  check(s.repetition_penalty > 0 && s.repetition_penalty <= 100, "sampling: repetition_penalty lies above 0 and up to 100",
        s.repetition_penalty);
  check(std::abs(s.frequency_penalty) <= 2, "sampling: frequency_penalty lies between -2 and 2", s.frequency_penalty);
  check(std::abs(s.presence_penalty) <= 2, "sampling: presence_penalty lies between -2 and 2", s.presence_penalty);
  for (const auto& [id, bias] : s.logit_bias) {
    check(id >= 0 && id < vocab_size, "sampling: logit_bias names a token outside of the vocabulary", id, vocab_size);
    check(std::abs(bias) <= 100, "sampling: logit_bias lies between -100 and 100", id, bias);
  }
  for (int32_t id : s.allowed_token_ids)
    check(id >= 0 && id < vocab_size, "sampling: allowed_token_ids names a token outside of the vocabulary", id, vocab_size);
  for (const auto& word : s.bad_words) {
    check(!word.empty(), "sampling: a word of bad_words has tokens");
    for (int32_t id : word)
      check(id >= 0 && id < vocab_size, "sampling: bad_words names a token outside of the vocabulary", id, vocab_size);
  }
}

double uniform(uint64_t seed, int64_t position) {
  const uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u) + static_cast<uint64_t>(position) * 0x9e3779b97f4a7c15u);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

bool has_penalties(const SamplingParams& s) { return s.repetition_penalty != 1 || s.frequency_penalty != 0 || s.presence_penalty != 0; }

int32_t sample(std::span<float> all, const SamplingParams& s, const ChoiceContext& at, int64_t position, std::vector<TokenLogprob>* kept) {
  for (const auto& [id, bias] : s.logit_bias) all[static_cast<size_t>(id)] += bias;
  apply_penalties(all, s, at);
  const auto logits = all.first(static_cast<size_t>(std::min<int64_t>(at.usable, static_cast<int64_t>(all.size()))));
  // What the model computed is judged before anything is ruled out.
  BestLogit best = best_logit(logits);
  if (best.nan) {
    const auto first = std::find_if(logits.begin(), logits.end(), [](float l) { return std::isnan(l); });
    fail_not_finite("sampling: the model returned NaN", "token", first - logits.begin(), "position", position);
  }
  if (best.id < 0 || !(best.value < INFINITY)) fail_not_finite("sampling: no token has a finite logit", "position", position);
  if (rule_out_tokens(all, s, at)) {
    best = best_logit(logits);
    check(best.id >= 0, "sampling: the request rules out every token", "position", position);
  }
  if (s.temperature == 0 || s.top_k == 1) {
    if (kept) *kept = {{best.id, 0}};
    return best.id;
  }
  const bool plain = s.top_k == 0 && s.top_p >= 1 && s.typical_p >= 1 && s.min_p <= 0;
  if (plain && !kept) return Weights(logits, best.value, s.temperature).pick(uniform(s.seed, position));
  const auto c = plain ? normalised(candidates_from(logits, -INFINITY, best.value, s.temperature)) : filtered(logits, s, best.value);
  if (kept)
    for (const auto& x : c) kept->push_back({x.id, static_cast<float>(std::log(x.p))});
  double left = uniform(s.seed, position);
  for (const auto& x : c)
    if ((left -= x.p) < 0) return x.id;
  return std::min_element(c.begin(), c.end(), better)->id;  // rounding left a sliver above the sum
}

Scores::Scores(std::span<const float> logits) : logits_(logits) {
  const BestLogit best = best_logit(logits);
  if (best.nan || !(best.value < INFINITY)) fail_not_finite("logprobs: the model returned NaN or infinity");
  if (best.id < 0) fail_not_finite("logprobs: no token has a finite logit");
  log_sum_ = static_cast<double>(best.value) + std::log(Weights(logits, best.value, 1).total());
}

float Scores::logprob(int32_t id) const { return static_cast<float>(static_cast<double>(logits_[static_cast<size_t>(id)]) - log_sum_); }

int32_t Scores::rank(int32_t id) const { return static_cast<int32_t>(1 + count_above(logits_, logits_[static_cast<size_t>(id)])); }

std::vector<TokenLogprob> Scores::top(int count) const {
  const auto worse = [&](int32_t a, int32_t b) {
    const float u = logits_[static_cast<size_t>(a)], v = logits_[static_cast<size_t>(b)];
    return u > v || (u == v && a < b);
  };
  std::vector<int32_t> heap;  // the worst of the best so far on top
  const auto most = std::min<size_t>(static_cast<size_t>(std::max(count, 0)), logits_.size());
  for (size_t i = 0; i < logits_.size() && most > 0; i++) {
    const auto id = static_cast<int32_t>(i);
    if (heap.size() == most) {
      if (!(logits_[i] > logits_[static_cast<size_t>(heap.front())])) continue;
      std::pop_heap(heap.begin(), heap.end(), worse);
      heap.back() = id;
    } else {
      heap.push_back(id);
    }
    std::push_heap(heap.begin(), heap.end(), worse);
  }
  std::sort_heap(heap.begin(), heap.end(), worse);
  std::vector<TokenLogprob> list;
  for (int32_t id : heap) list.push_back({id, logprob(id)});
  return list;
}

TokenLogprob logprob_of(std::span<const float> logits, int32_t id) { return {id, Scores(logits).logprob(id)}; }

}  // namespace infernum

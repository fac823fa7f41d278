#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"

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

void apply_penalties(std::span<float> logits, const SamplingParams& s, std::span<const int32_t> prompt, std::span<const int32_t> output) {
  if (s.repetition_penalty == 1 && s.frequency_penalty == 0 && s.presence_penalty == 0) return;
  std::unordered_map<int32_t, int> in_output, seen;
  for (int32_t id : output) in_output[id]++, seen[id] = 1;
  for (int32_t id : prompt) seen[id] = 1;
  if (s.repetition_penalty != 1)
    for (const auto& [id, unused] : seen) {
      float& l = logits[static_cast<size_t>(id)];
      l = l > 0 ? l / s.repetition_penalty : l * s.repetition_penalty;
    }
  for (const auto& [id, count] : in_output)
    logits[static_cast<size_t>(id)] -= s.frequency_penalty * static_cast<float>(count) + s.presence_penalty;
}

/// Softmax over the candidates.
void normalise(std::vector<Candidate>& c) {
  double highest = -INFINITY, sum = 0;
  for (const auto& x : c) highest = std::max(highest, static_cast<double>(x.logit));
  for (auto& x : c) sum += x.p = std::exp(static_cast<double>(x.logit) - highest);
  for (auto& x : c) x.p /= sum;
}

/// Keeps the leading candidates until their probabilities reach `mass`; at least one.
void keep_mass(std::vector<Candidate>& c, double mass) {
  double sum = 0;
  size_t kept = 0;
  while (kept < c.size() && (kept == 0 || sum < mass)) sum += c[kept++].p;
  c.resize(kept);
}

/// Sorts only as many of the best candidates as are needed to reach `mass`, doubling the sorted part.
void keep_top_p(std::vector<Candidate>& c, double mass) {
  normalise(c);
  for (size_t sorted = std::min<size_t>(64, c.size());; sorted = std::min(2 * sorted, c.size())) {
    std::partial_sort(c.begin(), c.begin() + static_cast<std::ptrdiff_t>(sorted), c.end(), better);
    double sum = 0;
    for (size_t i = 0; i < sorted; i++) sum += c[i].p;
    if (sum >= mass || sorted == c.size()) return keep_mass(c, mass);
  }
}

void keep_typical(std::vector<Candidate>& c, double mass) {
  normalise(c);
  double entropy = 0;
  for (const auto& x : c)
    if (x.p > 0) entropy -= x.p * std::log(x.p);
  const auto surprise = [&](const Candidate& x) { return std::abs(-std::log(std::max(x.p, 1e-300)) - entropy); };
  std::sort(c.begin(), c.end(), [&](const Candidate& a, const Candidate& b) {
    const double u = surprise(a), v = surprise(b);
    return u < v || (u == v && a.id < b.id);
  });
  keep_mass(c, mass);
}

void keep_min_p(std::vector<Candidate>& c, float fraction) {
  const float best = std::min_element(c.begin(), c.end(), better)->logit, limit = best + std::log(fraction);
  c.erase(std::remove_if(c.begin(), c.end(), [&](const Candidate& x) { return x.logit < limit; }), c.end());
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
}

double uniform(uint64_t seed, int64_t position) {
  const uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u) + static_cast<uint64_t>(position) * 0x9e3779b97f4a7c15u);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

int32_t sample(std::span<float> logits, const SamplingParams& s, std::span<const int32_t> prompt, std::span<const int32_t> output,
               int64_t position, int64_t usable) {
  for (const auto& [id, bias] : s.logit_bias) logits[static_cast<size_t>(id)] += bias;
  apply_penalties(logits, s, prompt, output);
  for (int32_t id : s.suppress_tokens)
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) logits[static_cast<size_t>(id)] = -INFINITY;
  const auto count = static_cast<int32_t>(std::min<int64_t>(usable, static_cast<int64_t>(logits.size())));
  int32_t best = -1;
  for (int32_t i = 0; i < count; i++) {
    const float l = logits[static_cast<size_t>(i)];
    if (std::isnan(l)) fail_not_finite("sampling: the model returned NaN", "token", i, "position", position);
    if (l > -INFINITY && (best < 0 || l > logits[static_cast<size_t>(best)])) best = i;
  }
  if (best < 0 || !(logits[static_cast<size_t>(best)] < INFINITY))
    fail_not_finite("sampling: no token has a finite logit", "position", position);
  if (s.temperature == 0 || s.top_k == 1) return best;

  std::vector<Candidate> c;
  c.reserve(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; i++)
    // Relative to the best one, so that no temperature makes it infinite.
    if (const float l = logits[static_cast<size_t>(i)]; l > -INFINITY)
      c.push_back({i, (l - logits[static_cast<size_t>(best)]) / s.temperature});
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < c.size()) {
    std::nth_element(c.begin(), c.begin() + s.top_k, c.end(), better);
    c.resize(static_cast<size_t>(s.top_k));
  }
  if (s.typical_p < 1) keep_typical(c, s.typical_p);
  if (s.top_p < 1) keep_top_p(c, s.top_p);
  if (s.min_p > 0) keep_min_p(c, s.min_p);
  // One order for the draw, whichever filters ran: the token must depend on (seed, position) alone.
  std::sort(c.begin(), c.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  normalise(c);
  double left = uniform(s.seed, position);
  for (const auto& x : c)
    if ((left -= x.p) < 0) return x.id;
  return std::min_element(c.begin(), c.end(), better)->id;  // rounding left a sliver above the sum
}

namespace {

double log_sum(std::span<const float> logits) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float l : logits)
    if (!(l < INFINITY)) fail_not_finite("logprobs: the model returned NaN or infinity", l);
  if (!(highest > -INFINITY)) fail_not_finite("logprobs: no token has a finite logit");
  for (float l : logits) sum += std::exp(static_cast<double>(l) - static_cast<double>(highest));
  return static_cast<double>(highest) + std::log(sum);
}

}  // namespace

TokenLogprob logprob_of(std::span<const float> logits, int32_t id) {
  return {id, static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - log_sum(logits))};
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int top) {
  const double total = log_sum(logits);
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto n = std::min<std::ptrdiff_t>(top, static_cast<std::ptrdiff_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + n, ids.end(), [&](int32_t a, int32_t b) {
    const float u = logits[static_cast<size_t>(a)], v = logits[static_cast<size_t>(b)];
    return u > v || (u == v && a < b);
  });
  std::vector<TokenLogprob> list;
  for (std::ptrdiff_t i = 0; i < n; i++) {
    const int32_t id = ids[static_cast<size_t>(i)];
    list.push_back({id, static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - total)});
  }
  return list;
}

}  // namespace infernum

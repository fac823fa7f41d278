#include "runtime/vocabulary_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace infernum {
namespace {

constexpr size_t lanes = 16;

/// exp(x) for x <= 0: 2^n * e^r with |r| <= ln 2 / 2 and the Taylor series of degree 6. Bounds are those of integers, which compilers put
/// into vector code where comparisons of floats may trap.
inline float exp_of_negative(float x) {
  const float bounded = std::bit_cast<float>(std::min(std::bit_cast<uint32_t>(x), std::bit_cast<uint32_t>(-100.f)));
  const auto n = static_cast<int32_t>(bounded * 1.44269504f - 0.5f);
  const float r = (bounded - static_cast<float>(n) * 0.693359375f) - static_cast<float>(n) * -2.12194440e-4f;
  const float series = 1 + r * (1 + r * (1.f / 2 + r * (1.f / 6 + r * (1.f / 24 + r * (1.f / 120 + r * (1.f / 720))))));
  return series * std::bit_cast<float>(std::max(n + 127, 0) << 23);
}

template <class Compare>
int64_t count(std::span<const float> logits, Compare compare) {
  int64_t sum = 0;
  for (size_t i = 0; i < logits.size(); i += scan_block) {
    int32_t part = 0;
    const size_t end = std::min(logits.size(), i + scan_block);
    for (size_t j = i; j < end; j++) part += compare(logits[j]) ? 1 : 0;
    sum += part;
  }
  return sum;
}

}  // namespace

BestLogit best_logit(std::span<const float> logits) {
  std::array<float, lanes> most;
  std::array<int32_t, lanes> nan{};
  most.fill(-INFINITY);
  size_t i = 0;
  for (; i + lanes <= logits.size(); i += lanes)
    for (size_t j = 0; j < lanes; j++) {
      const float l = logits[i + j];
      most[j] = most[j] < l ? l : most[j];
      nan[j] |= l != l;
    }
  for (; i < logits.size(); i++) {
    most[0] = most[0] < logits[i] ? logits[i] : most[0];
    nan[0] |= std::isnan(logits[i]);
  }
  BestLogit best;
  best.nan = std::any_of(nan.begin(), nan.end(), [](int32_t n) { return n != 0; });
  best.value = *std::max_element(most.begin(), most.end());
  if (best.value > -INFINITY) best.id = static_cast<int32_t>(std::find(logits.begin(), logits.end(), best.value) - logits.begin());
  return best;
}

Weights::Weights(std::span<const float> logits, float highest, float temperature)
    : logits_(logits), highest_(highest), scale_(std::min(1 / temperature, 3e38f)), blocks_((logits.size() + scan_block - 1) / scan_block) {
  for (size_t b = 0; b < blocks_.size(); b++) {
    const auto part = logits.subspan(b * scan_block, std::min(scan_block, logits.size() - b * scan_block));
    std::array<float, scan_block> weights{};
    const float highest_here = highest_, scale_here = scale_;
    for (size_t i = 0; i < part.size(); i++) weights[i] = exp_of_negative((part[i] - highest_here) * scale_here);
    std::array<float, lanes> sums{};
    for (size_t i = 0; i < scan_block; i += lanes)
      for (size_t j = 0; j < lanes; j++) sums[j] += weights[i + j];
    for (float s : sums) blocks_[b] += static_cast<double>(s);
    total_ += blocks_[b];
  }
}

float Weights::weight(size_t id) const { return exp_of_negative((logits_[id] - highest_) * scale_); }

int32_t Weights::pick(double share) const {
  double left = share * total_;
  size_t block = 0;
  while (block + 1 < blocks_.size() && left >= blocks_[block]) left -= blocks_[block++];
  // Rounding may leave a sliver above the block's sum: then it is the last possible one of the block, or of those before it.
  int32_t last = -1;
  for (size_t i = block * scan_block; i < std::min(logits_.size(), (block + 1) * scan_block); i++) {
    const float w = weight(i);
    if (!(w > 0)) continue;
    last = static_cast<int32_t>(i);
    if ((left -= static_cast<double>(w)) < 0) return last;
  }
  for (size_t i = block * scan_block; last < 0 && i-- > 0;)
    if (weight(i) > 0) last = static_cast<int32_t>(i);
  return last;
}

float Weights::threshold(double share) const {
  constexpr int per_unit = 8, buckets = 32 * per_unit;
  std::array<double, buckets + 1> mass{};
  const float width = std::min(scale_ * per_unit, 3e38f);
  for (size_t i = 0; i < logits_.size(); i++) {
    const float distance = std::min((highest_ - logits_[i]) * width, static_cast<float>(buckets));
    mass[static_cast<size_t>(distance)] += static_cast<double>(weight(i));
  }
  double sum = 0;
  for (int b = 0; b < buckets; b++)
    // Half a bucket more and a little mass more than rounding can take away.
    if ((sum += mass[static_cast<size_t>(b)]) > share * total_ * (1 + 1e-5)) return highest_ - (static_cast<float>(b) + 1.5f) / width;
  return -INFINITY;
}

int64_t count_from(std::span<const float> logits, float threshold) {
  return count(logits, [threshold](float l) { return l >= threshold; });
}

int64_t count_above(std::span<const float> logits, float threshold) {
  return count(logits, [threshold](float l) { return l > threshold; });
}

}  // namespace infernum

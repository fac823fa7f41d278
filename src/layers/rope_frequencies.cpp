#include "layers/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"
#include "core/half.h"

namespace infernum {
namespace {

using Table = std::vector<double>;

Table default_table(double theta, int64_t dim) {
  Table w;
  for (int64_t i = 0; i < dim / 2; i++) w.push_back(std::pow(theta, -2. * static_cast<double>(i) / static_cast<double>(dim)));
  return w;
}

Table llama3_table(const RopeConfig& c, Table w) {
  const auto original = static_cast<double>(c.original_max_position_embeddings);
  for (double& f : w) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength < original / c.high_freq_factor) continue;
    if (wavelength > original / c.low_freq_factor || c.low_freq_factor == c.high_freq_factor) {
      f /= c.factor;
    } else {
      const double smooth = (original / wavelength - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
      f = (1 - smooth) * f / c.factor + smooth * f;
    }
  }
  return w;
}

Table yarn_table(const RopeConfig& c, Table w) {  // Peng et al. 2023
  const auto dim = static_cast<double>(c.rotary_dim), original = static_cast<double>(c.original_max_position_embeddings);
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(original / (2 * std::numbers::pi * rotations)) / (2 * std::log(c.rope_theta));
  };
  double low = dimension_of(c.beta_fast), high = dimension_of(c.beta_slow);
  if (c.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.), high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < w.size(); i++) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0., 1.);
    w[i] = ramp * w[i] / c.factor + (1 - ramp) * w[i];
  }
  return w;
}

double yarn_scale(const RopeConfig& c) {
  if (c.attention_factor) return *c.attention_factor;
  const auto g = [&](double mscale) { return c.factor <= 1 ? 1. : 0.1 * mscale * std::log(c.factor) + 1; };
  if (c.mscale.value_or(0) != 0 && c.mscale_all_dim.value_or(0) != 0) return g(*c.mscale) / g(*c.mscale_all_dim);
  return g(1);
}

Table divided(Table w, const Table& divisors, const char* name) {
  check(divisors.size() == w.size(), "rope: one factor per rotated pair", name, divisors.size(), w.size());
  for (size_t i = 0; i < w.size(); i++) {
    check(divisors[i] > 0, "rope: factors are positive", name, divisors[i]);
    w[i] /= divisors[i];
  }
  return w;
}

double longrope_scale(const RopeConfig& c) {
  if (c.attention_factor) return *c.attention_factor;
  return c.factor <= 1 ? 1 : std::sqrt(1 + std::log(c.factor) / std::log(static_cast<double>(c.original_max_position_embeddings)));
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& c, int64_t context) {
  check(c.rotary_dim > 0 && c.rotary_dim % 2 == 0, "rope: the rotated dimensions are an even number", c.rotary_dim);
  check(c.rope_theta > 0 && c.factor > 0, "rope: theta and factor are positive", c.rope_theta, c.factor);
  check(c.rope_type == "default" || c.rope_type == "linear" || c.rope_type == "proportional" || c.original_max_position_embeddings > 0,
        "rope: this type needs the original context length", c.rope_type);
  Table w = default_table(c.rope_theta, c.rotary_dim);
  double scale = 1;
  if (c.rope_type == "linear") {
    for (double& f : w) f /= c.factor;
  } else if (c.rope_type == "dynamic" && c.alpha) {
    const auto dim = static_cast<double>(c.rotary_dim);
    check(dim > 2 && *c.alpha > 0, "rope: dynamic scaling needs more than two rotated dimensions and a positive alpha", dim, *c.alpha);
    w = default_table(c.rope_theta * std::pow(*c.alpha, dim / (dim - 2)), c.rotary_dim);
  } else if (c.rope_type == "dynamic") {
    const auto dim = static_cast<double>(c.rotary_dim), trained = static_cast<double>(c.max_position_embeddings);
    const double length = std::max(static_cast<double>(context), trained);
    check(dim > 2, "rope: dynamic scaling needs more than two rotated dimensions", dim);
    w = default_table(c.rope_theta * std::pow(c.factor * length / trained - (c.factor - 1), dim / (dim - 2)), c.rotary_dim);
  } else if (c.rope_type == "proportional") {
    const auto rotated = static_cast<size_t>(c.proportion * static_cast<double>(c.rotary_dim) / 2);
    for (size_t i = 0; i < w.size(); i++) w[i] = i < rotated ? w[i] / c.factor : 0;
  } else if (c.rope_type == "llama3") {
    w = llama3_table(c, std::move(w));
  } else if (c.rope_type == "yarn") {
    w = yarn_table(c, std::move(w));
    scale = yarn_scale(c);
  } else if (c.rope_type == "longrope") {
    const bool is_long = context > c.original_max_position_embeddings;
    w = divided(std::move(w), is_long ? c.long_factor : c.short_factor, is_long ? "long_factor" : "short_factor");
    scale = longrope_scale(c);
  } else {
    check(c.rope_type == "default", "rope: unknown rope_type; known: default, linear, dynamic, llama3, yarn, longrope, proportional",
          c.rope_type);
  }
  if (!c.inv_freq_divisors.empty()) w = divided(std::move(w), c.inv_freq_divisors, "rope_freqs");
  const bool renewed = (c.rope_type == "dynamic" && !c.alpha && context > c.max_position_embeddings) ||
                       (c.rope_type == "longrope" && context > c.original_max_position_embeddings);
  if (c.bf16_frequencies && !renewed)
    for (double& f : w) f = static_cast<float>(BF16(static_cast<float>(f)));
  return {std::move(w), static_cast<float>(scale)};
}

}  // namespace infernum

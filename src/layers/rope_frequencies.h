// Inverse frequencies of rotary embeddings for every scaling rule in use. Formulas: the papers and `transformers` modeling_rope_utils.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace infernum {

/// rope_parameters of a config, resolved: see models/config.h for where each value comes from.
struct RopeConfig {
  std::string rope_type = "default";  ///< default, linear, dynamic, llama3, yarn, longrope, proportional
  double rope_theta = 10000;
  int64_t rotary_dim = 0;  ///< components of a head that rotate
  double factor = 1;
  double proportion = 1;        ///< proportional: share of the pairs that rotate; the others keep frequency 0
  std::optional<double> alpha;  ///< dynamic: the base grows by this once and for all, whatever the length (Hunyuan)
  int64_t original_max_position_embeddings = 0;
  int64_t max_position_embeddings = 0;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  bool truncate = true;
  std::optional<double> mscale, mscale_all_dim, attention_factor;
  std::vector<double> short_factor, long_factor;  // longrope
  std::vector<double> inv_freq_divisors;          // GGUF's rope_freqs: divides the default frequencies
  bool rope_interleaved = false;                  // rotate pairs (2i, 2i+1)
  /// Round the frequencies to bfloat16, as a reference run has them whose whole model, buffers included, was cast to bfloat16 and back.
  /// For comparison with such recordings only. What a reference derives anew for a long context (dynamic, longrope) stays exact.
  bool bf16_frequencies = false;
};

struct RopeFrequencies {
  std::vector<double> exact;  ///< rotary_dim / 2 inverse frequencies; the tables are made from these, rounded to f32
  float scale = 1;            ///< multiplies cosine and sine
};

/// Throws on an unknown type or impossible parameters. `context`: the longest sequence this deployment will run; it fixes `dynamic` and
/// `longrope` once, so that all cached keys share one table.
RopeFrequencies rope_frequencies(const RopeConfig& c, int64_t context);

}  // namespace infernum

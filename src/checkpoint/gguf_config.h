// The config.json a GGUF file stands for: metadata and tensor shapes in Hugging Face spelling.
#pragma once
#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/gguf_family.h"

namespace infernum {

struct GgufConfig {
  const GgufFamily* family = nullptr;
  int64_t layers = 0;  ///< without those of multi-token prediction
  int64_t heads = 0;
  std::string json;
  std::vector<int> eos_token_ids;
};

/// Throws when the architecture is unknown or a needed key is missing. Beyond Hugging Face's keys the configuration may hold
///   rope_parameters.rope_interleaved: true       rows of q and k are stored so that pairs (2i, 2i+1) rotate
///   rope_parameters.inv_freq_divisors: [d/2]     each inverse frequency is divided by its number (rope_freqs.weight)
///   linear_value_heads_tiled: true               value head h of a delta network uses key head h mod linear_num_key_heads
GgufConfig make_gguf_config(const Gguf& gguf);

/// Tensors whose content went into the configuration; they are no weights of the model.
bool is_config_tensor(std::string_view gguf_name);

}  // namespace infernum

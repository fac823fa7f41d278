// The config.json a GGUF file stands for: metadata and tensor shapes in Hugging Face spelling.
#pragma once
#include <string>
#include <vector>

#include "checkpoint/gguf.h"

namespace infernum {

struct GgufConfig {
  std::string model_type;
  std::string json;
  std::vector<int> eos_token_ids;
};

/// Throws when the architecture is unknown or a needed key is missing. Beyond Hugging Face's keys rope_parameters may hold
///   rope_interleaved: true       rows of q and k are stored so that pairs (2i, 2i+1) rotate
///   inv_freq_divisors: [d/2]     each inverse frequency is divided by its number (rope_freqs.weight)
GgufConfig make_gguf_config(const Gguf& gguf);

/// Tensors whose content went into the configuration; they are no weights of the model.
bool is_config_tensor(std::string_view gguf_name);

}  // namespace infernum

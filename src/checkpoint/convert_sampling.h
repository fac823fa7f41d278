// generation_config.json to GGUF metadata: recommended sampling and tokens that are never to be chosen.
#pragma once
#include <string>

#include "checkpoint/gguf_writer.h"

namespace infernum {

/// Writes general.sampling.* and tokenizer.ggml.suppress_tokens; nothing for an empty text. `path` is for messages.
void write_sampling(const std::string& generation_config_json, const std::string& path, GgufWriter& writer);

}  // namespace infernum

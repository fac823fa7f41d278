// The tokenizer and chat template of a Hugging Face checkpoint as GGUF metadata.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace infernum {

struct Checkpoint;
class GgufWriter;

/// Sets tokenizer.*: tokenizer.json whole, and what other readers need in their own form. A list of tokens has `vocab_size` entries;
/// ids without a token get placeholders. Without a tokenizer.json the model is "no_vocab".
void write_tokenizer(const Checkpoint& checkpoint, int64_t vocab_size, GgufWriter& writer);

/// llama.cpp's name for the splitting rules of a byte-level tokenizer.json; empty when it has none that is known here.
std::string pre_tokenizer_name(const nlohmann::json& tokenizer);

}  // namespace infernum
